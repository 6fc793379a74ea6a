// The closed list of events: whoever adds one about a person has to write what that person reads.
import { spawnSync } from 'node:child_process'
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, describe, expect, test } from '@jest/globals'
import { EVENT_TYPES, type RecordedEvent, sentenceOf } from '../../../src/base/audit-events.ts'

const ROOT = join(import.meta.dirname, '../../..')
const SOURCE = readFileSync(join(ROOT, 'src/base/audit-events.ts'), 'utf8')
const folder = mkdtempSync(join(tmpdir(), 'valetkey-events-'))
afterAll(() => rmSync(folder, { recursive: true }))

const NEW_EVENTS: [what: string, entry: string, isRight: boolean][] = [
  ['about a person, with a sentence', "ofPerson<OfUser>(() => info('You were greeted'))", true],
  ['about a person, without one', 'ofPerson<OfUser>()', false],
  ['about somebody who may be unknown, without one', 'ofNobody<{ user_id?: string }>()', false],
  ['about a person and an app, as if it were about nobody', 'ofNobody<OfUser & OfClient>()', false],
  ['about an app', 'ofNobody<OfClient>()', true],
]

test('the compiler refuses an event about a person that has no sentence', () => {
  const files = NEW_EVENTS.map(([, entry], i) => {
    const file = join(folder, `event-${i}.ts`)
    writeFileSync(file, SOURCE.replace("  'user.created': ", `  'user.greeted': ${entry},\n$&`))
    return file
  })
  const options = ['--ignoreConfig', '--noEmit', '--strict', '--target', 'es2024', '--pretty', 'false']

  const ran = spawnSync(process.execPath, [join(ROOT, 'node_modules/.bin/tsc'), ...options, ...files], {
    encoding: 'utf8',
  })

  expect(NEW_EVENTS.map(([what], i) => [what, !ran.stdout.includes(`event-${i}.ts(`)])).toEqual(
    NEW_EVENTS.map(([what, , isRight]) => [what, isRight]),
  )
})

describe('what a person reads', () => {
  const event: RecordedEvent = { type: 'user.created', user_id: 'u', client_id: 'c', data: {} }

  test.each([
    [{ ...event, type: 'sign_in.succeeded' }, 'You signed in to use Printer'],
    [{ ...event, type: 'sign_in.succeeded', client_id: null }, 'You signed in'],
    [
      { ...event, type: 'grant.revoked', data: { reason: 'narrowed' } },
      'Printer has to ask again on another device',
    ],
    [{ ...event, type: 'job.started', client_id: null }, 'Ending the access of all your apps was begun'],
  ] as [RecordedEvent, string][])('%j', (recorded, text) => {
    expect(sentenceOf(recorded, 'Printer').text).toBe(text)
  })

  test('an event of a newer version, which another node wrote, has words too', () => {
    const type = 'user.greeted' as RecordedEvent['type']

    expect(sentenceOf({ ...event, type }, 'Printer')).toEqual({
      text: 'Your account was looked after',
      detail: undefined,
      tone: 'info',
    })
  })

  test('types are listed once, in their order', () => {
    expect(EVENT_TYPES).toEqual([...new Set(EVENT_TYPES)].sort())
  })
})
