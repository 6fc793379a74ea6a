// A new password by mail, from the administrator's button to the next sign-in: one link, once, for an hour, for that person.
import { afterAll, beforeAll, beforeEach, describe, expect, test } from '@jest/globals'
import { queueMail } from '../../../src/core/mail/outbox.ts'
import { hasReset, redeemResetLink, sendReset, withdrawReset } from '../../../src/core/users/reset-links.ts'
import { setRole } from '../../../src/core/users/roles.ts'
import { setPassword } from '../../../src/core/users/sign-in.ts'
import { disableUser, enableUser } from '../../../src/core/users/store.ts'
import { many, one, run, sql, tx } from '../../../src/db/pool.ts'
import { against } from '../../cli/run.ts'
import { administrator, ageSignIns } from '../../pages/admin/admin-fixture.ts'
import { type App, PASSWORD, Person, type ServerFixture, startServerFixture } from '../../support/flow.ts'
import { until } from '../../support/patience.ts'
import { startApp, startServer, type TestApp } from '../../support/server.ts'
import { type SmtpFixture, startSmtpFixture } from './smtp-fixture.ts'

const ADMIN = { type: 'cli', id: 'tests' } as const
const NEXT = 'seven dry umbrellas'
const OVER = 'This link is over'

let smtp: SmtpFixture
let server: ServerFixture
let withoutMail: TestApp
let ada: Person
let jamie: Person
let app: App
beforeAll(async () => {
  smtp = await startSmtpFixture()
  server = await startServerFixture(smtp.env)
  ada = await administrator(server, 'Ada')
  await ada.account('/admin')
  app = await server.app()
})
afterAll(async () => {
  await withoutMail?.stop()
  await server?.stop()
  await smtp?.stop()
})
beforeEach(async () => {
  jamie = await server.person('Jamie')
})

test('an administrator sends the link, the person chooses a password, and every old sign-in is dead', async () => {
  const { refresh_token } = await app.connect(jamie)
  await jamie.account()
  const phone = jamie.elsewhere()
  await phone.account()

  const sent = await ada.press(await ada.open(`/admin/users/${jamie.id}/send-reset`), 'Send the link')
  expect(sent.text).toContain(`A mail to ${jamie.email} is on its way.`)
  expect(sent.html).not.toContain('/reset/')
  const path = await mailed()
  const stranger = new Person(server.origin, '', jamie.email)
  const page = await stranger.open(path)
  expect(page.title).toBe('Choose a new password · Valetkey')
  expect(page.text).toContain(jamie.email)
  expect(page.headers.get('referrer-policy')).toBe('no-referrer')
  expect(page.headers.get('cache-control')).toBe('no-store')
  const done = await stranger.press(page, 'Set the password', { password: NEXT })

  expect(done.url.pathname).toBe('/reset/done')
  expect(done.text).toContain('You were signed out everywhere')
  for (const browser of [jamie, phone]) {
    expect((await browser.open('/account')).title).toBe('Sign in · Valetkey')
  }
  expect((await jamie.signIn(await jamie.open('/account'), PASSWORD)).text).toContain('do not fit')
  const account = await stranger.signIn(await stranger.open('/account'), NEXT)
  expect(account.text).toContain(jamie.email)
  // Apps keep the access they were given, as after any new password.
  expect((await app.refresh(refresh_token)).status).toBe(200)
  const activity = await stranger.open('/account/activity')
  expect(activity.text).toContain('An administrator sent you a link to choose a new password')
  expect(activity.text).toContain('A new password was chosen with that link')
  const [reset] = await server.events({ type: 'user.password_reset', user_id: jamie.id })
  expect(reset).toMatchObject({ actor_id: jamie.id, ip: '127.0.0.1', data: { sessions: 2 } })
  const [asked] = await server.events({ type: 'user.reset_sent', user_id: jamie.id })
  expect(asked).toMatchObject({ actor_id: ada.id, data: { how: 'mail' } })
})

describe('the link', () => {
  test('works once', async () => {
    const path = await send()
    const page = await jamie.open(path)
    await jamie.press(page, 'Set the password', { password: NEXT })

    const again = await jamie.open(path)
    const pressed = await jamie.press(page, 'Set the password', { password: 'mallory was here' })

    for (const refused of [again, pressed]) {
      expect(refused.status).toBe(404)
      expect(refused.text).toContain(OVER)
    }
    expect(await signsIn(NEXT)).toBe(true)
  })

  test('its form does no harm when it comes again, while its password is that of the account', async () => {
    const page = await jamie.open(await send())
    const press = () => jamie.press(page, 'Set the password', { password: NEXT })
    await press()

    const again = await press()

    expect([again.status, again.url.pathname]).toEqual([200, '/reset/done'])
    expect(await server.events({ type: 'user.password_reset', user_id: jamie.id })).toHaveLength(1)
    await setPassword(server.db, jamie.id, PASSWORD, ADMIN)
    expect((await press()).status).toBe(404)
    expect(await signsIn(PASSWORD)).toBe(true)
  })

  test('works once, also for twenty at the same time', async () => {
    const secret = (await send()).split('/').at(-1)!

    const tries = Array.from({ length: 20 }, (_, i) =>
      redeemResetLink(server.db, secret, `umbrella number ${i}`, ADMIN),
    )
    const winners = (await Promise.all(tries)).flatMap((won, i) => (won ? [i] : []))

    expect(winners).toHaveLength(1)
    expect(await signsIn(`umbrella number ${winners[0]}`)).toBe(true)
    expect(await server.events({ type: 'user.password_reset', user_id: jamie.id })).toHaveLength(1)
  })

  test('ends after an hour, and when a newer one is asked for', async () => {
    const first = await send()
    await sendReset(server.db, jamie.id, 'mail', ADMIN)
    expect((await jamie.open(first)).status).toBe(404)
    const second = await mailed(2)
    const page = await jamie.open(second)
    expect(page.status).toBe(200)

    await run(server.db, sql`update user_links set expires_at = expires_at - interval '60 minutes'`)

    expect((await jamie.open(second)).text).toContain(OVER)
    expect((await jamie.press(page, 'Set the password', { password: NEXT })).status).toBe(404)
    expect(await signsIn(PASSWORD)).toBe(true)
  })

  test('is worth nothing to a disabled account, and nothing is sent to one', async () => {
    const path = await send()
    const page = await jamie.open(path)
    await disableUser(server.db, jamie.id, ADMIN)

    expect((await jamie.open(path)).status).toBe(404)
    expect((await jamie.press(page, 'Set the password', { password: NEXT })).status).toBe(404)
    expect((await ada.open(`/admin/users/${jamie.id}/send-reset`)).status).toBe(404)
    expect(await sendReset(server.db, jamie.id, 'hand', ADMIN)).toBeUndefined()
    await enableUser(server.db, jamie.id, ADMIN)
    expect(await signsIn(PASSWORD)).toBe(true)
  })

  test('is not sent when the account was disabled before it could be', async () => {
    const { db } = server
    await run(db, sql`update users set disabled_at = now() where id = ${jamie.id}`)
    await run(
      db,
      sql`insert into mails (recipient, kind, params)
          values (${jamie.email}, 'password_reset', ${JSON.stringify({ name: 'Jamie', user_id: jamie.id })})`,
    )

    await until(async () => (await states()).includes('withdrawn'))
    expect(smtp.mails.filter(({ recipient }) => recipient === jamie.email)).toEqual([])
  })

  test('is withdrawn by an administrator, also while its mail is being sent', async () => {
    const { db } = server
    const path = await send()
    const page = await ada.open(`/admin/users/${jamie.id}`)
    expect(page.html).toContain('withdraw-reset')
    const address = `/admin/users/${jamie.id}/withdraw-reset`
    const done = await ada.press(await ada.open(address), 'Withdraw the link')
    expect(done.text).toContain('The link is withdrawn.')
    expect(done.html).not.toContain('withdraw-reset')
    expect((await jamie.open(path)).text).toContain(OVER)
    expect((await ada.press(await ada.open(address), 'Withdraw the link')).text).toContain(
      'Nothing was changed',
    )

    await tx(db, async (t) => {
      await run(t, sql`select from users where id = ${jamie.id} for update`)
      await queueMail(db, {
        to: jamie.email,
        kind: 'password_reset',
        params: { name: 'Jamie', user_id: jamie.id },
      })
      // The sender has taken it, and waits for the account.
      await until(async () => (await waiting()) === 1)
      expect(await withdrawReset(t, jamie.id, ADMIN)).toBe(true)
    })

    await until(async () => (await states()).includes('withdrawn'))
    expect(await hasReset(db, jamie)).toBe(false)
    expect(smtp.mails.filter(({ recipient }) => recipient === jamie.email)).toHaveLength(1)
    expect(await server.events({ type: 'user.reset_withdrawn', user_id: jamie.id })).toHaveLength(2)
  })

  test.each(['guessed', 'x'.repeat(43), 'x'.repeat(3000), "'; drop table users; --", 'done/', '%2e%2e'])(
    'that was never one (%.12s…) leads nowhere',
    async (secret) => {
      expect((await jamie.open(`/reset/${encodeURIComponent(secret)}`)).status).toBe(404)
    },
  )
})

describe('the form', () => {
  test.each([
    ['short', 'Use at least 8 characters.'],
    ['password123', 'Too many people use this password.'],
    ['x'.repeat(300), 'Use at most 256 characters.'],
  ])(
    '%.12s is told to be too weak, is not shown again, and the link still works',
    async (password, words) => {
      const path = await send()

      const page = await jamie.press(await jamie.open(path), 'Set the password', { password })

      expect(page.status).toBe(422)
      expect(page.text).toContain(words)
      expect(page.title).toMatch(/^Error: /)
      expect(page.html).not.toContain(password)
      await jamie.press(page, 'Set the password', { password: NEXT })
      expect(await signsIn(NEXT)).toBe(true)
    },
  )

  test('that another site sends, or that belongs to another link, changes nothing', async () => {
    const path = await send()
    const fields = { password: NEXT }

    expect((await jamie.post(path, fields)).status).toBe(403)
    expect((await jamie.post(path, fields, { 'Sec-Fetch-Site': 'cross-site' })).status).toBe(403)
    expect(await signsIn(PASSWORD)).toBe(true)
  })

  test('can be sent twenty times in a quarter of an hour for one link; what is no link is in nobody’s way', async () => {
    const path = await send()
    const page = await jamie.open(path)
    const post = async (to: string, times: number) => {
      const statuses = []
      for (let i = 0; i < times; i++) statuses.push((await jamie.post(to, {})).status)
      return statuses
    }

    expect(await post('/reset/guessed', 21)).toEqual(Array(21).fill(404))
    expect(await post(path, 19)).toEqual(Array(19).fill(403))
    await jamie.press(page, 'Set the password', { password: NEXT })
    expect(await signsIn(NEXT)).toBe(true)
    await sendReset(server.db, jamie.id, 'mail', ADMIN)
    // The second one tells of the new password.
    const next = await mailed(3)
    expect(await post(next, 21)).toEqual([...Array(20).fill(403), 429])
    expect((await jamie.post(next, {})).headers.get('retry-after')).toMatch(/^\d+$/)
  })
})

test('only a recent administrator may send one', async () => {
  const address = `/admin/users/${jamie.id}/send-reset`
  const page = await ada.open(address)
  await jamie.account()
  expect((await jamie.open(address)).status).toBe(404)

  await ageSignIns(server, ada, 16)
  const asked = await ada.press(page, 'Send the link')

  expect(asked.title).toBe('Sign in · Valetkey')
  expect(await server.events({ type: 'user.reset_sent', user_id: jamie.id })).toEqual([])
  await ada.signIn(asked)
})

test('a second one takes back the first, if that was not sent yet', async () => {
  await run(
    server.db,
    sql`insert into mails (recipient, kind, params, next_try_at)
        values (${jamie.email}, 'password_reset', ${JSON.stringify({ name: 'Jamie', user_id: jamie.id })},
                now() + interval '1 hour')`,
  )

  await send()

  await until(async () => (await states()).join() === 'withdrawn,sent')
})

test('a link that was sent to somebody with another role is over', async () => {
  await send()
  const link = await mailed()

  await setRole(server.db, jamie.id, 'admin', ADMIN)

  expect((await jamie.elsewhere().open(link)).text).toContain(OVER)
})

describe('without a mail server', () => {
  let grace: Person
  beforeAll(async () => {
    withoutMail = await startApp({ db: server.db })
    const { id, email } = await administrator(server, 'Grace')
    grace = new Person(withoutMail.origin, id, email)
    await grace.account('/admin')
  })

  test('the console says so, and shows the link once', async () => {
    expect((await grace.open('/admin')).text).toContain('Mail is off.')
    expect((await ada.open('/admin')).text).not.toContain('Mail is off.')
    const form = await grace.open(`/admin/users/${jamie.id}/send-reset`)
    expect(form.text).toContain('Mail is off: nothing is sent.')

    const page = await grace.press(form, 'Make the link')

    const [link] = new RegExp(`${withoutMail.origin}/reset/[\\w-]{43}`).exec(page.html)!
    expect(page.headers.get('cache-control')).toBe('no-store')
    expect((await grace.open(`/admin/users/${jamie.id}`)).html).not.toContain('/reset/')
    const set = await grace.elsewhere().open(link)
    await grace.elsewhere().press(set, 'Set the password', { password: NEXT })
    expect(await signsIn(NEXT)).toBe(true)
    const [event] = await server.events({ type: 'user.reset_sent', user_id: jamie.id })
    expect(event).toMatchObject({ data: { how: 'hand' } })
    expect(JSON.stringify(event)).not.toContain(link.slice(-43))
  })

  test('who decides about an app is told that its owners are not', async () => {
    const page = await grace.open(`/admin/clients/${app.id}/reject`)

    expect(page.text).toContain('Mail is off: its owners are not told. Tell them yourself.')
    expect((await ada.open(`/admin/clients/${app.id}/reject`)).text).toContain('Its owners are told by mail.')
  })
})

test('valetkey users send-reset mails the link, or prints it when mail is off', async () => {
  const cli = against((server.db.pg.options as { connectionString: string }).connectionString)
  const env = { ...smtp.env, ISSUER_URL: server.origin }

  expect(await cli.run(['users', 'send-reset', jamie.email], { env })).toEqual({
    code: 0,
    stdout: `a mail to ${jamie.email} is on its way\n`,
    stderr: '',
  })
  const path = await mailed()
  const printed = await cli.run(['users', 'send-reset', jamie.email], { env: { ISSUER_URL: server.origin } })
  expect(printed.stdout).toMatch(/^http:\/\/localhost:\d+\/reset\/[\w-]{43}\n$/)
  expect(printed.stderr).toContain('mail is off')
  const json = await cli.json<{ link: string; sent: boolean }>(['users', 'send-reset', jamie.id])
  expect(json).toMatchObject({ sent: false, link: expect.stringContaining('/reset/') })

  for (const old of [path, new URL(printed.stdout.trim()).pathname]) {
    expect((await jamie.open(old)).status).toBe(404)
  }
  expect((await jamie.open(new URL(json.link).pathname)).status).toBe(200)
  await disableUser(server.db, jamie.id, ADMIN)
  const refused = await cli.run(['users', 'send-reset', jamie.email])
  expect(refused).toMatchObject({ code: 1, stderr: expect.stringContaining('is disabled') })
})

test('neither the log nor any table ever holds a link or what was chosen with it', async () => {
  const child = await startServer({
    databaseUrl: (server.db.pg.options as { connectionString: string }).connectionString,
    env: { ...smtp.env, LOG_LEVEL: 'debug' },
  })
  const visitor = new Person(child.origin, '', jamie.email)
  const texts: string[] = []
  await sendReset(server.db, jamie.id, 'mail', ADMIN)
  texts.push(await dump())
  const path = await mailed()
  texts.push(await dump())
  const page = await visitor.open(path)
  await visitor.press(page, 'Set the password', { password: 'short' })
  await visitor.press(page, 'Set the password', { password: NEXT })
  await visitor.open(path)
  texts.push(await dump())
  await child.stop()

  texts.push(child.output())
  expect(child.output()).toContain('/reset/…')
  const secret = path.split('/').at(-1)!
  for (const value of [secret, Buffer.from(secret).toString('hex'), NEXT]) {
    expect(texts.map((text) => text.includes(value))).toEqual([false, false, false, false])
  }
})

/** Has a link mailed. @returns its path */
async function send(): Promise<string> {
  await sendReset(server.db, jamie.id, 'mail', ADMIN)
  return mailed()
}

/** The path of the link in a mail to Jamie. */
async function mailed(count = 1): Promise<string> {
  const { text, html, subject } = await smtp.mail(jamie.email, count)
  const [, path] = /^https?:\/\/localhost:\d+(\/reset\/[\w-]{43})$/m.exec(text)!
  expect(html).toContain(path)
  expect(subject).toBe('Choose a new password for Valetkey')
  return path!
}

async function signsIn(password: string): Promise<boolean> {
  const browser = new Person(server.origin, jamie.id, jamie.email)
  return (await browser.signIn(await browser.open('/account'), password)).text.includes('Sign out')
}

async function states(): Promise<string[]> {
  const rows = await many<{ state: string }>(
    server.db,
    sql`select state from mails where recipient = ${jamie.email} order by created_at`,
  )
  return rows.map(({ state }) => state)
}

async function dump(): Promise<string> {
  const { text } = await one<{ text: string }>(
    server.db,
    sql`select (select string_agg(m::text, ' ') from mails m) || (select string_agg(l::text, ' ') from user_links l)
            || (select string_agg(a::text, ' ') from audit_events a) as text`,
  )
  return text
}

/** How many statements wait for the lock of an account; a transaction sees one moment of this view. */
async function waiting(): Promise<number> {
  const { count } = await one<{ count: number }>(
    server.db,
    sql`select count(*)::int as count from pg_stat_activity
        where datname = current_database() and wait_event_type = 'Lock' and query like 'select name, email from users%'`,
  )
  return count
}
