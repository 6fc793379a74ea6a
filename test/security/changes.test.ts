// What one person may have recorded for good: limited by account, at every node, wherever something is changed; and taking access away
// never waits.
import { afterAll, beforeAll, describe, expect, test } from '@jest/globals'
import { SYSTEM } from '../../src/base/audit-events.ts'
import { listSecrets } from '../../src/core/clients/secrets.ts'
import { acceptInvitation, createInvitation } from '../../src/core/ownership/invitations.ts'
import { addTestUser } from '../../src/core/ownership/test-users.ts'
import { one, sql } from '../../src/db/pool.ts'
import { csrfOf } from '../pages/admin/admin-fixture.ts'
import {
  type DeveloperFixture,
  lastApp,
  ownApp,
  startDeveloperFixture,
  WEB,
} from '../pages/developer/developer-fixture.ts'

import { PASSWORD, type Page, type Person, type ServerFixture } from '../support/flow.ts'
import { until } from '../support/patience.ts'
import { freePort, startApp, type TestApp } from '../support/server.ts'

const TOLD = /You have changed a lot in a short time\. Try again in (\d+) seconds\./

let fixture: DeveloperFixture
let server: ServerFixture
/** Another node. */
let two: TestApp
beforeAll(async () => {
  fixture = await startDeveloperFixture()
  ;({ server } = fixture)
  two = await startApp({ db: server.db, env: { ISSUER_URL: server.origin, PORT: String(await freePort()) } })
})
afterAll(async () => {
  await two?.stop()
  await fixture?.server.stop()
})

const somebody = async (name: string): Promise<Person> => {
  const person = await server.person(name)
  await person.account()
  return person
}

/** Renames until there is nothing left. @returns the refusal, and how many were taken */
async function useUp(person: Person): Promise<{ page: Page; taken: number }> {
  const csrf = csrfOf(await person.open('/account'))
  for (let taken = 0; taken < 500; taken++) {
    const page = await person.post('/account/name', { csrf, name: `Name ${taken} of many` })
    if (page.status === 429) return { page, taken }
    expect(page.text).toContain('Your name was changed.')
  }
  throw new Error('500 changes, and none was refused')
}

/** Sends something once nothing is left. The minute may turn in between: then it is sent again. */
async function refused(person: Person, work: () => Promise<Page>): Promise<Page> {
  let page: Page | undefined
  await until(async () => {
    await useUp(person)
    page = await work()
    return page.status === 429
  })
  return page!
}

test('an account renames itself sixty times in a row, then it is told how long to wait', async () => {
  const mallory = await somebody('Mallory')
  const other = await somebody('Other')

  const { page, taken } = await useUp(mallory)

  // Ten a minute, and fifty more; the minute may turn a few times on a slow machine.
  expect(taken).toBeGreaterThanOrEqual(60)
  expect(taken).toBeLessThan(400)
  expect(await renames(mallory)).toBe(taken)
  expect(Number(TOLD.exec(page.text)?.[1])).toBeLessThanOrEqual(60)
  expect(page.headers.get('retry-after')).toBe(TOLD.exec(page.text)?.[1])
  expect((await rename(other, 'Somebody Else')).text).toContain('Your name was changed.')
})

test('the limit is one for all nodes, and for everything a person changes', async () => {
  const dev = await somebody('Dev')
  const app = await ownApp(fixture, dev, { approval: true })
  const base = `/developer/apps/${app.id}`
  const csrf = csrfOf(await dev.open('/account'))

  await until(async () => {
    await useUp(dev)
    return (await postAt(two, dev, '/account/name', { csrf, name: 'At the other node' })).status === 429
  })
  for (const [path, fields] of [
    ['/developer/apps/new', { ...WEB, scope: 'openid' }],
    [`${base}/edit`, { version: '1' }],
    [`${base}/test-users`, { email: 'sam@example.com' }],
    [`${base}/owners/invite`, { email: 'sam@example.com' }],
    [`${base}/secrets/new`, { name: 'another' }],
    [`${base}/secrets/rotate`, { overlap: '0' }],
    [`${base}/logo`, { remove: '1' }],
    [`${base}/ask-again`, {}],
    [`${base}/change/withdraw`, {}],
    ['/developer/invitation', {}],
  ] as [string, Record<string, string>][]) {
    const page = await refused(dev, () => dev.submit(path, { csrf, ...fields }))
    expect([path, page.status, TOLD.test(page.text)]).toEqual([path, 429, true])
  }
})

describe('somebody who has nothing left', () => {
  test('may take every access away, that of people and that of apps', async () => {
    const pat = await somebody('Pat')
    const friend = await somebody('Friend')
    const [first, second, third] = [await server.app(), await server.app(), await server.app()]
    await first.connect(pat)
    await first.connect(pat.elsewhere())
    await second.connect(pat)
    await third.connect(pat)
    const app = await ownApp(fixture, pat)
    const by = { ...SYSTEM, type: 'user' as const, id: pat.id }
    const waiting = await ownApp(fixture, pat, { approval: true })
    await addTestUser(server.db, waiting.id, friend.email, by)
    const invitation = await createInvitation(server.db, app.id, friend.email, { mailed: false }, by)
    await acceptInvitation(server.db, invitation!.secret!, { ...by, id: friend.id })
    await createInvitation(server.db, app.id, 'somebody@example.com', { mailed: false }, by)
    const [secret] = await listSecrets(server.db, app.id)
    const device = /\/account\/apps\/[^/"]+\/devices\/[^/"]+\/remove/.exec(
      (await pat.open('/account/apps')).html,
    )![0]
    const base = `/developer/apps/${app.id}`
    const pages = {
      'Remove this device': device,
      'Remove access': `/account/apps/${second.id}/remove`,
      'Remove all': '/account/apps/remove-all',
      'Revoke this secret': `${base}/secrets/${secret!.id}/revoke`,
      Withdraw: `${base}/owners`,
      Remove: `${base}/owners/${friend.id}/remove`,
    }
    await refused(pat, () => rename(pat, 'Nothing is left'))

    for (const [button, path] of Object.entries(pages)) {
      const page = await pat.press(await pat.open(path), button)
      expect([button, page.status]).toEqual([button, 200])
      expect(page.text).toMatch(/no access|No app has access|withdrawn|revoked|no longer looks after/)
    }
    const named = await pat.press(await pat.open(`/developer/apps/${waiting.id}/test-users`), 'Remove')
    expect(named.text).toContain('may no longer try the app out')
    const deleted = await pat.press(await pat.open(`${base}/delete`), 'Delete for good', {
      confirm: 'Calendar',
    })
    expect(deleted.text).toContain('Calendar is deleted.')
  })

  test('may choose a new password, which signs out everywhere else, and may sign out', async () => {
    const kim = await somebody('Kim')
    const elsewhere = kim.elsewhere()
    await elsewhere.account()
    await refused(kim, () => rename(kim, 'Nothing is left'))

    const changed = await kim.press(await kim.open('/account'), 'Change password', {
      current_password: PASSWORD,
      new_password: 'six dry umbrellas',
    })
    expect(changed.text).toContain('You were signed out everywhere else.')
    expect((await elsewhere.open('/account')).title).toContain('Sign in')
    const gone = await kim.press(await kim.open('/session/end'), 'Sign out')
    expect(gone.status).toBe(200)
    expect((await kim.open('/account')).title).toContain('Sign in')
  })

  test('is told on the consent page, which stays as it is, and nothing is given or recorded', async () => {
    const lee = await somebody('Lee')
    const app = await server.app()
    const asked = await lee.open((await app.begin()).url)
    expect(asked.title).toContain('wants access')

    const page = await refused(lee, () => lee.press(asked, 'Allow'))

    expect(page.title).toContain('wants access')
    expect(page.text).toMatch(TOLD)
    expect(page.away).toBeUndefined()
    expect((await refused(lee, () => lee.press(asked, 'Don’t allow'))).status).toBe(429)
    expect(await server.events({ client_id: app.id, user_id: lee.id })).toEqual([])
  })
})

test('new passwords are limited by themselves, right ones too', async () => {
  const kit = await somebody('Kit')
  let [current, taken] = [PASSWORD, 0]
  for (; taken < 30; taken++) {
    const next = `${taken} wet umbrellas`
    const page = await kit.press(await kit.open('/account'), 'Change password', {
      current_password: current,
      new_password: next,
    })
    if (page.status === 429) break
    current = next
  }

  expect(taken).toBe(10)
})

test('a name that stays as it is is not recorded', async () => {
  const ann = await somebody('Ann')
  await rename(ann, 'Ann Other')
  expect(await renames(ann)).toBe(1)

  expect((await rename(ann, 'Ann Other')).text).toContain('Your name is as it was.')

  expect(await renames(ann)).toBe(1)
})

test('administrators are not told to wait before they may put things right', async () => {
  const app = await server.app()
  for (let i = 0; i < 30; i++) {
    for (const [path, button] of [
      ['suspend', 'Suspend'],
      ['resume', 'Resume'],
    ] as const) {
      const page = await fixture.ada.press(await fixture.ada.open(`/admin/clients/${app.id}/${path}`), button)
      expect(page.status).toBe(200)
    }
  }

  expect(await server.events({ type: 'client.suspended', client_id: app.id })).toHaveLength(30)
})

test('what developers have registered is theirs to delete, however much of it there is', async () => {
  const dev = await somebody('Busy')
  await refused(dev, () => rename(dev, 'Nothing is left'))
  for (let i = 0; i < 5; i++) {
    const app = await ownApp(fixture, dev)
    expect(await lastApp(fixture)).toBe(app.id)
    const page = await dev.press(await dev.open(`/developer/apps/${app.id}/delete`), 'Delete for good', {
      confirm: 'Calendar',
    })
    expect(page.text).toContain('Calendar is deleted.')
  }
})

async function rename(person: Person, name: string): Promise<Page> {
  return person.press(await person.open('/account'), 'Save name', { name })
}

async function renames(person: Person): Promise<number> {
  const { count } = await one<{ count: number }>(
    server.db,
    sql`select count(*)::int as count from audit_events where type = 'user.renamed' and user_id = ${person.id}`,
  )
  return count
}

/** Sends a form to another node, as the same browser. */
function postAt(
  node: TestApp,
  person: Person,
  path: string,
  fields: Record<string, string>,
): Promise<Response> {
  const cookie = ['_session', '_session.sig'].map((name) => `${name}=${person.cookie(name)}`).join('; ')
  return fetch(`http://localhost:${node.config.port}${path}`, {
    method: 'POST',
    body: new URLSearchParams(fields),
    redirect: 'manual',
    headers: { cookie, origin: server.origin, accept: 'text/html' },
  })
}
