// The audit log as a file from the console: what the filter finds, of any size, no faster than it is taken.
import { afterAll, beforeAll, expect, test } from '@jest/globals'
import { run, sql } from '../../../src/db/pool.ts'
import { settled } from '../../support/audit.ts'
import type { Person, ServerFixture } from '../../support/flow.ts'
import { type AdminFixture, ageSignIns, startAdminFixture } from './admin-fixture.ts'

let fixture: AdminFixture
let server: ServerFixture
let ada: Person
beforeAll(async () => {
  fixture = await startAdminFixture({ LOG_LEVEL: 'error' })
  ;({ server, ada } = fixture)
  await fixture.app.connect(fixture.jamie)
})
afterAll(() => server.stop())

const download = async (query: string, format: string) => {
  await settled(server.db)
  return ada.press(await ada.open(`/admin/audit/export${query}`), 'Download', { format })
}

test('the list leads to the export of what it shows, as CSV', async () => {
  const list = await ada.open('/admin/audit?type=consent.given')
  const href = /href="(\/admin\/audit\/export\?[^"]*)"/.exec(list.html)![1]!
  expect(href).toBe('/admin/audit/export?type=consent.given')

  const file = await download('?type=consent.given', 'csv')

  expect(file.status).toBe(200)
  expect(file.headers.get('content-type')).toBe('text/csv; charset=utf-8')
  expect(file.headers.get('content-disposition')).toMatch(
    /^attachment; filename="audit-\d{4}-\d\d-\d\d\.csv"$/,
  )
  expect(file.headers.get('cache-control')).toBe('no-store')
  const lines = file.html.trimEnd().split('\r\n')
  expect(lines[0]).toBe('id,at,type,actor_type,actor_id,user_id,client_id,ip,user_agent,request_id,data')
  expect(lines).toHaveLength(2)
  expect(lines[1]).toContain(fixture.jamie.id)
})

test('as JSON lines, by person and day', async () => {
  const today = new Date().toISOString().slice(0, 10)

  const file = await download(`?user=${encodeURIComponent(fixture.jamie.email)}&since=${today}`, 'jsonl')

  expect(file.headers.get('content-type')).toBe('application/x-ndjson; charset=utf-8')
  const rows = file.html
    .trimEnd()
    .split('\n')
    .map((line) => JSON.parse(line))
  expect(rows.length).toBeGreaterThan(2)
  expect(new Set(rows.map(({ user_id }) => user_id))).toEqual(new Set([fixture.jamie.id]))
  expect(file.html).not.toMatch(/vk_(at|rt|cs|ac)_/)
})

test('no cell is a formula', async () => {
  await run(
    server.db,
    sql`insert into audit_events (type, actor_type, actor_id, user_agent)
        values ('sign_out', 'cli', '=cmd|calc', '@SUM(A1)'), ('sign_out', 'cli', '+1', '-1')`,
  )

  const { html } = await download('?type=sign_out', 'csv')

  expect(html).toContain(`"'=cmd|calc"`)
  expect(html).toContain(`"'@SUM(A1)"`)
  expect(html).toContain(`"'+1"`)
  expect(html).not.toMatch(/(^|,)[=+@-]/m)
})

test.each([
  ['?type=no.such', {}, 'There is no such type of event.'],
  ['?user=nobody@example.com', {}, 'No account has this email address.'],
  ['', { since: 'yesterday' }, 'Give a day like 2026-05-03.'],
  ['', { format: 'exe' }, 'Choose what it is written as.'],
  ['', { type: 'no.such' }, 'There is no such type of event.'],
])('%s %j is refused, and never becomes everything', async (query, fields, words) => {
  const form = await ada.open(`/admin/audit/export${query}`)
  const page =
    Object.keys(fields).length > 0 ? await ada.press(form, 'Download', { format: 'csv', ...fields }) : form

  expect(page.status).toBe(422)
  expect(page.text).toContain(words)
})

test('a hundred thousand events come whole', async () => {
  await run(
    server.db,
    sql`insert into audit_events (type, actor_type, client_id, user_agent)
        select 'client.resumed', 'cli', 'c_' || n, repeat('x', 200) from generate_series(1, 100000) n`,
  )

  const { html } = await download('?type=client.resumed', 'jsonl')

  expect(html.split('\n')).toHaveLength(100_001)
  expect(html.endsWith('\n')).toBe(true)
})

test('an old sign-in gets nothing', async () => {
  const form = await ada.open('/admin/audit/export')
  await ageSignIns(server, ada, 16)

  const page = await ada.press(form, 'Download', { format: 'csv' })

  expect(page.title).toBe('Sign in · Valetkey')
})
