// What an attacker with an account tries on the pages of developers and administrators: each of these went through once.
import { afterAll, beforeAll, beforeEach, describe, expect, test } from '@jest/globals'
import { SYSTEM } from '../../src/base/audit-events.ts'
import { rejectClient, verifyClient } from '../../src/core/clients/review.ts'
import { listSecrets } from '../../src/core/clients/secrets.ts'
import { sendReset } from '../../src/core/users/reset-links.ts'
import { disableUser, enableUser } from '../../src/core/users/store.ts'
import { one, run, sql } from '../../src/db/pool.ts'
import { startSmtpFixture } from '../core/mail/smtp-fixture.ts'
import { clientRow, csrfOf } from '../pages/admin/admin-fixture.ts'
import {
  type DeveloperFixture,
  lastApp,
  linkOn,
  ownApp,
  startDeveloperFixture,
  WEB,
} from '../pages/developer/developer-fixture.ts'
import { type App, PASSWORD, Person, type ServerFixture } from '../support/flow.ts'
import { heard } from '../support/heard.ts'
import { PATIENCE_MS } from '../support/patience.ts'
import { startApp } from '../support/server.ts'

let fixture: DeveloperFixture
let server: ServerFixture
let dev: Person
let other: Person
let sam: Person
let ada: Person
beforeAll(async () => {
  fixture = await startDeveloperFixture()
  ;({ server, dev, other, sam, ada } = fixture)
})
afterAll(() => fixture?.server.stop())
// Nobody may look after more than 25.
beforeEach(async () => {
  await run(server.db, sql`update clients set deleted_at = now() where registered_by = 'developer'`)
  await run(server.db, sql`delete from rate_limits`)
})

const invite = async (app: App, by: Person, person: Person): Promise<string> =>
  linkOn(
    await by.press(await by.open(`/developer/apps/${app.id}/owners/invite`), 'Make the link', {
      email: person.email,
    }),
  )
const owns = async (app: App, person: Person): Promise<boolean> => {
  const page = await person.open(`/developer/apps/${app.id}`)
  return page.status === 200
}

describe('an address that is not what it looks like', () => {
  test.each([
    'https:///bank.example@evil.example/cb',
    'https:bank.example@evil.example/cb',
    'https:/evil.example/cb',
    'https:evil.example/cb',
    'https:////evil.example/cb',
    'https://b\u0430nk.example/cb',
    'https://evil.example/\u202e/elpmaxe.knab//:sptth',
  ])('%s is no redirect URI: it leads where a person does not see it', async (uri) => {
    const page = await dev.press(await dev.open('/developer/apps/new'), 'Register', {
      ...WEB,
      redirect_uris: uri,
    })

    expect(page.status).toBe(422)
    expect(page.text).toContain('Redirect URIs')
  })

  test('is no web page either: a link without its host leads to a page of ours', async () => {
    const page = await dev.press(await dev.open('/developer/apps/new'), 'Register', {
      ...WEB,
      homepage_uri: 'https:/account/apps/remove-all',
    })

    expect(page.status).toBe(422)
  })

  test('nor is one that is shown from right to left', async () => {
    const page = await dev.press(await dev.open('/developer/apps/new'), 'Register', {
      ...WEB,
      policy_uri: 'https://evil.example/\u202e/elpmaxe.knab//:sptth',
    })

    expect(page.status).toBe(422)
  })
})

describe('what an administrator looks at is what is decided about', () => {
  test.each([
    ['approve', 'Approve'],
    ['verify', 'Mark as verified'],
  ])('%s: not an app that its owner changes while the page is open', async (step, button) => {
    const app = await ownApp(fixture, dev, { approval: true })
    const looking = await ada.open(`/admin/clients/${app.id}/${step}`)
    await dev.press(await dev.open(`/developer/apps/${app.id}/edit`), 'Save', {
      name: 'Bank of Example',
      redirect_uris: 'https://evil.example/cb',
    })

    const page = await ada.press(looking, button)

    expect(page.status).toBe(409)
    expect(page.text).toContain('changed')
    expect(page.text).toContain('Bank of Example')
    expect(await clientRow(server, app.id)).toMatchObject({ state: 'pending', verified_at: null })
    // Having seen that, it is one more press.
    await ada.press(page, button)
    const after = await clientRow(server, app.id)
    expect(after.state === 'active' || after.verified_at !== null).toBe(true)
  })

  test('nor one whose form does not say what was seen', async () => {
    const app = await ownApp(fixture, dev, { approval: true })
    const path = `/admin/clients/${app.id}/approve`

    const page = await ada.post(path, { csrf: csrfOf(await ada.open(path)) })

    expect(page.status).toBe(409)
    expect(await clientRow(server, app.id)).toMatchObject({ state: 'pending' })
  })

  test('what somebody vouches for stays as it was vouched for, whatever else is undecided', async () => {
    const app = await ownApp(fixture, dev, { approval: true })
    await verifyClient(server.db, app.id, SYSTEM)

    await dev.press(await dev.open(`/developer/apps/${app.id}/edit`), 'Save', {
      name: 'Bank of Example',
      description: 'New',
    })

    expect(await clientRow(server, app.id)).toMatchObject({ name: 'Calendar', description: 'New' })
  })
})

describe('an invitation', () => {
  test('of an owner who was removed is over', async () => {
    const app = await ownApp(fixture, dev)
    await other.open(await invite(app, dev, other))
    await other.press(await other.open('/developer/invitation'), 'Accept')
    const link = await invite(app, other, sam)

    await dev.press(await dev.open(`/developer/apps/${app.id}/owners/${other.id}/remove`), 'Remove')
    const page = await sam.open(link)

    expect(page.status).toBe(404)
    expect((await dev.open(`/developer/apps/${app.id}/owners`)).text).not.toContain(sam.email)
    expect(await owns(app, sam)).toBe(false)
  })

  test('of an owner whose account is disabled is not accepted', async () => {
    const app = await ownApp(fixture, dev)
    const thief = await server.person('Thief')
    await thief.account()
    await thief.open(await invite(app, dev, thief))
    await thief.press(await thief.open('/developer/invitation'), 'Accept')
    await thief.open(`/developer/apps/${app.id}`)
    const accomplice = await server.person('Accomplice')
    await accomplice.account()
    const link = await invite(app, thief, accomplice)
    const asking = await accomplice.open(link)
    await disableUser(server.db, thief.id, SYSTEM)

    const page = await accomplice.press(asking, 'Accept')

    expect(page.status).toBe(404)
    expect(await owns(app, accomplice)).toBe(false)
  })
})

test('who was taken off a rejected app does not come back with the next try for approval', async () => {
  const app = await ownApp(fixture, dev, { approval: true })
  await dev.press(await dev.open(`/developer/apps/${app.id}/test-users`), 'Add', { email: sam.email })
  const { access_token } = await app.connect(sam, { scope: 'openid' })
  await rejectClient(server.db, app.id, 'No', SYSTEM)
  await heard(server)
  const users = await dev.open(`/developer/apps/${app.id}/test-users`)
  await dev.press(users, 'Remove')

  await dev.press(await dev.open(`/developer/apps/${app.id}`), 'Ask again')
  await heard(server)

  expect(await clientRow(server, app.id)).toMatchObject({ state: 'pending' })
  expect((await app.userinfo(access_token)).status).toBe(401)
})

describe('a link for a new password ends', () => {
  const linkFor = async (person: Person): Promise<string> =>
    (await sendReset(server.db, person.id, 'hand', SYSTEM))!.path!

  test('when its person chooses a password without it', async () => {
    const jamie = await server.person('Jamie')
    const link = await linkFor(jamie)
    await jamie.press(await jamie.account(), 'Change password', {
      current_password: PASSWORD,
      new_password: 'seven dry umbrellas',
    })

    const page = await new Person(server.origin, '', jamie.email).open(link)

    expect(page.status).toBe(404)
  })

  test('when the account is disabled, also for when it is enabled again', async () => {
    const jamie = await server.person('Jamie')
    const link = await linkFor(jamie)
    await disableUser(server.db, jamie.id, SYSTEM)
    await enableUser(server.db, jamie.id, SYSTEM)

    expect((await new Person(server.origin, '', jamie.email).open(link)).status).toBe(404)
  })

  test('and so does one that still waits to be mailed', async () => {
    const jamie = await server.person('Jamie')
    await sendReset(server.db, jamie.id, 'mail', SYSTEM)
    await jamie.press(await jamie.account(), 'Change password', {
      current_password: PASSWORD,
      new_password: 'seven dry umbrellas',
    })

    const { waiting } = await one<{ waiting: number }>(
      server.db,
      sql`select count(*)::int as waiting from mails where recipient = ${jamie.email} and kind = 'password_reset' and state = 'waiting'`,
    )
    expect(waiting).toBe(0)
  })
})

test('replacing a secret again and again does not heap up secrets that all still work', async () => {
  const app = await ownApp(fixture, dev)
  const path = `/developer/apps/${app.id}/secrets/rotate`
  const form = await dev.open(path)
  let last = form
  for (let i = 0; i < 12; i++) last = await dev.press(form, 'Make a new secret', { overlap: '604800' })

  expect(last.status).toBe(422)
  expect(last.text).toContain('revoke one')
  expect(await listSecrets(server.db, app.id)).toHaveLength(10)
  // The way out of a leak is open whatever there is.
  expect((await dev.press(form, 'Make a new secret', { overlap: '0' })).status).toBe(200)
  expect(await listSecrets(server.db, app.id)).toHaveLength(1)
})

test('what was tried out with a rejected app stays ended, whoever asks again', async () => {
  const app = await ownApp(fixture, dev, { approval: true })
  const { access_token, refresh_token } = await app.connect(dev, { scope: 'openid offline_access' })
  await rejectClient(server.db, app.id, 'No', SYSTEM)
  await heard(server)

  await dev.press(await dev.open(`/developer/apps/${app.id}`), 'Ask again')
  await heard(server)

  expect((await app.userinfo(access_token)).status).toBe(401)
  if (refresh_token) expect((await app.refresh(refresh_token)).status).toBe(400)
})

describe('a character that no text can hold', () => {
  test.each([
    ['test-users/remove', 'email'],
    ['owners/invite', 'email'],
    ['secrets/new', 'name'],
    ['secrets/rotate', 'overlap'],
    ['delete', 'confirm'],
  ])('is refused at %s as a mistake, and is none of ours', async (path, field) => {
    const app = await ownApp(fixture, dev)
    const csrf = csrfOf(await dev.open(`/developer/apps/${app.id}/edit`))

    const page = await dev.post(`/developer/apps/${app.id}/${path}`, { csrf, [field]: 'a\0b' })

    expect(page.status).toBe(400)
  })

  test.each(['reject', 'secrets/new'])('nor at the administrators’ %s', async (path) => {
    const app = await ownApp(fixture, dev, { approval: true })
    const csrf = csrfOf(await ada.open(`/admin/clients/${app.id}/${path}`))

    const page = await ada.post(`/admin/clients/${app.id}/${path}`, { csrf, reason: 'a\0b', name: 'a\0b' })

    expect(page.status).toBe(400)
  })
})

describe('a form with a file', () => {
  // Never ended, so that whoever waits for the end of it gives no answer.
  const endless = async (path: string, headers: Record<string, string> = {}): Promise<number> => {
    const body = new ReadableStream({
      start(stream) {
        stream.enqueue(new TextEncoder().encode('--x\r\n'))
      },
    })
    const answer = await fetch(`${server.origin}${path}`, {
      method: 'POST',
      body,
      duplex: 'half',
      redirect: 'manual',
      headers: { 'Content-Type': 'multipart/form-data; boundary=x', ...headers },
      signal: AbortSignal.timeout(PATIENCE_MS),
    } as RequestInit)
    return answer.status
  }

  test('is not read of somebody who is not signed in', async () => {
    const app = await ownApp(fixture, dev)

    expect(await endless(`/developer/apps/${app.id}/logo`)).toBe(303)
    expect(await endless(`/admin/clients/${app.id}/logo`)).toBe(303)
  })

  test('nor of somebody whom the page is not for', async () => {
    const app = await ownApp(fixture, dev)
    const Cookie = ['_session', '_session.sig'].map((name) => `${name}=${sam.cookie(name)}`).join('; ')

    expect(await endless(`/admin/clients/${app.id}/logo`, { Cookie })).toBe(404)
  })
})

test('an app that nobody checked does not go by the host of somebody else', async () => {
  const app = await ownApp(fixture, dev, { homepage_uri: 'https://bank.example/' })
  await app.connect(sam)

  const page = await sam.open('/account/apps')

  expect(page.text).toContain('calendar.example')
  expect(page.text).not.toContain('bank.example')
})

test('twenty-one ticks are as good as twenty', async () => {
  const names = Array.from({ length: 25 }, (_, i) => `many.scope${i}`)
  const scopes = names.map((name) => ({ name, sentence: `Do ${name}` }))
  await server.api({ identifier: 'https://many.example', name: 'Many', scopes })
  await heard(server)

  const page = await dev.press(await dev.open('/developer/apps/new'), 'Register', {
    ...WEB,
    name: 'Ticker',
    scope: ['openid', ...names],
  })

  expect(page.text).toContain('Ticker is registered')
  expect((await clientRow(server, await lastApp(fixture))).scopes).toHaveLength(26)
})

test('nobody’s mailbox is filled with invitations', async () => {
  const smtp = await startSmtpFixture()
  const mailing = await startApp({ db: server.db, env: smtp.env })
  try {
    const app = await ownApp(fixture, dev)
    const me = new Person(mailing.origin, dev.id, dev.email)
    await me.account()
    const form = await me.open(`/developer/apps/${app.id}/owners/invite`)
    const asked: number[] = []
    for (let i = 0; i < 7; i++) {
      const email = i % 2 ? 'victim@example.com' : ' Victim@Example.com '
      asked.push((await me.press(form, 'Invite', { email })).status)
    }

    expect(asked).toEqual([200, 200, 200, 200, 200, 429, 429])
    expect((await me.press(form, 'Invite', { email: 'x'.repeat(400) })).status).toBe(422)
    // Others are none of its business.
    expect((await me.press(form, 'Invite', { email: 'another@example.com' })).status).toBe(200)
  } finally {
    await mailing.stop()
    await smtp.stop()
  }
})
