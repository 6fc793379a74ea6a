// What people read: each kind of mail, as it arrives at a real server, with whatever strangers wrote into names and reasons.
import { afterAll, beforeAll, expect, test } from '@jest/globals'
import { approveClient, rejectClient } from '../../../src/core/clients/review.ts'
import { startMailer } from '../../../src/core/mail/mailer.ts'
import { messages } from '../../../src/core/mail/messages.ts'
import { type Mail, queueMail } from '../../../src/core/mail/outbox.ts'
import { one, run, sql, tx } from '../../../src/db/pool.ts'
import { createLogger } from '../../../src/http/log.ts'
import { makePending } from '../../pages/admin/admin-fixture.ts'
import { createTestDatabase } from '../../support/database.ts'
import { type App, type Person, type ServerFixture, startServerFixture } from '../../support/flow.ts'
import { until } from '../../support/patience.ts'
import { addressee, type ReceivedMail, type SmtpFixture, startSmtpFixture } from './smtp-fixture.ts'

const ADMIN = { type: 'cli', id: 'tests' } as const

let smtp: SmtpFixture
let server: ServerFixture
let jamie: Person
let robin: Person
let app: App
beforeAll(async () => {
  smtp = await startSmtpFixture()
  server = await startServerFixture({
    ...smtp.env,
    BRAND_NAME: 'Example ID',
    SUPPORT_ADDRESS: 'help@id.example',
  })
  jamie = await server.person('Jamie')
  robin = await server.person('Robin')
  app = await server.app()
  await makePending(server, app, jamie, robin)
})
afterAll(async () => {
  await server?.stop()
  await smtp?.stop()
})

test('owners read that their app is rejected, and why', async () => {
  const reason = 'The redirect host is <b>not</b> yours.\nShow that it is:\n  put a file there.'

  await rejectClient(server.db, app.id, reason, ADMIN)

  for (const owner of [jamie, robin]) {
    const mail = await smtp.mail(owner.email)
    expectProper(mail)
    expect(addressee(mail)).toEqual([{ address: owner.email, name: '' }])
    expect(mail.subject).toBe('Your app at Example ID is not approved')
    expect(mail.text).toContain('The app:\n    “Photo Printer”\n')
    expect(mail.text).toContain(
      '    The redirect host is <b>not</b> yours.\n    Show that it is:\n      put a file',
    )
    expect(mail.html).toContain('The redirect host is &lt;b&gt;not&lt;/b&gt; yours.\nShow that it is:')
    expect(mail.html).not.toContain('<b>')
  }
})

test('owners read that their app is approved', async () => {
  await approveClient(server.db, app.id, ADMIN)

  const mail = await smtp.mail(jamie.email, 2)
  expectProper(mail)
  expect(mail.subject).toBe('Your app at Example ID is approved')
  for (const part of [mail.text, mail.html]) {
    expect(part).toContain('Hello Jamie,')
    expect(part).toContain('From now on everybody with an account at Example ID can use it.')
    expect(part).toContain('help@id.example')
    expect(part).toContain(server.origin)
  }
})

test('a decision that changes nothing, or is undone, is told to nobody', async () => {
  const before = await queued()

  expect(await approveClient(server.db, app.id, ADMIN)).toBe(false)
  const undone = tx(server.db, async (t) => {
    await run(t, sql`update clients set state = 'pending' where id = ${app.id}`)
    await rejectClient(t, app.id, 'never mind', ADMIN)
    throw new Error('undone')
  })
  await expect(undone).rejects.toThrow('undone')

  expect(await queued()).toBe(before)
})

test('an invitation leads to the link that is made when it is sent', async () => {
  // Apart from the server, whose mailer knows of no such invitation and would take the mail as well.
  const database = await createTestDatabase()
  const config = { ...server.config, issuerUrl: new URL('https://id.example') }
  const mailer = startMailer({
    db: database.db,
    log: createLogger('silent'),
    config,
    links: { owner_invitation: async (_, { invitation_id }) => `/invitations/${invitation_id}?a=1&b=2` },
    lost: async () => {},
  })
  const params = {
    invitation_id: 'i1',
    client_id: app.id,
    client_name: 'Photo Printer',
    inviter_name: 'Jamie <script>alert(1)</script>',
  }

  await queueMail(database.db, { to: 'new@owner.example', kind: 'owner_invitation', params })
  mailer.wake()

  const mail = await smtp.mail('new@owner.example')
  await mailer.close()
  await database.drop()
  expectProper(mail)
  expect(mail.subject).toBe('You are invited to look after an app at Example ID')
  expect(mail.text).toContain('See the invitation:\nhttps://id.example/invitations/i1?a=1&b=2\n')
  expect(mail.html).toContain('href="https://id.example/invitations/i1?a=1&amp;b=2"')
  expect(mail.html).toContain('Jamie &lt;script&gt;')
})

test.each([
  [
    'a line of a header',
    'Printer\r\nBcc: mallory@evil.example\r\n\r\nBuy now',
    'Printer Bcc: mallory@evil[.]example Buy now',
  ],
  ['a reversed direction of reading', 'Printer \u202Emoc live\u2066', 'Printer moc live'],
  ['what nobody sees', 'Prin\u200bter\u2060', 'Prin ter'],
  ['markup', '<img src=//evil/x> & "co"', '<img src=//evil/x> & "co"'],
  ['an address', 'https://evil.example/a?b', 'https[:]//evil[.]example/a?b'],
  ['a host', 'go to www.evil.example now', 'go to www[.]evil[.]example now'],
  ['a host with other dots', 'evil。example evil．example', 'evil[.]example evil[.]example'],
  ['a host that ends with a mark', 'evile\u0301.example x-.example', 'evile\u0301[.]example x-[.]example'],
  ['a host of pictures', 'go to 💩.example', 'go to 💩[.]example'],
  ['a host with small dots', 'evil\u2024example evil\ufe52example', 'evil[.]example evil[.]example'],
  ['dots', 'Wait... J. R. Smith Inc.', 'Wait... J. R. Smith Inc.'],
  ['a telephone', 'tel:+1900', 'tel[:]+1900'],
  ['a novel', 'x'.repeat(5_000), `${'x'.repeat(100)}…`],
  ['words of the world', 'Фото 🖨️ プリンター', 'Фото 🖨️ プリンター'],
])('%s in a name stays a name', async (what, client_name, shown) => {
  const to = `${what.replaceAll(' ', '-')}@owner.example`
  const params = { name: client_name, client_id: app.id, client_name }

  await queueMail(server.db, { to, kind: 'app_approved', params })

  const mail = await smtp.mail(to)
  expectProper(mail)
  expect(mail.recipient).toBe(to)
  expect(mail.headers.has('bcc')).toBe(false)
  expect(mail.subject).toBe('Your app at Example ID is approved')
  expect(mail.text).toContain(`Hello ${shown},`)
  expect(mail.text).toContain(`The app:\n    “${shown}”\n`)
  expect(mail.html).not.toContain('<img')
})

// Whatever others may write into a mail, and how they shout.
const SHOUT = 'YOUR ACCOUNT IS LOCKED, visit https://evil.example'
const NOTICE = { client_id: 'c_1', client_name: SHOUT, name: 'Ada', person: SHOUT, by: SHOUT }
const LOUD: [Mail['kind'], object][] = [
  ['app_approved', { ...NOTICE }],
  ['app_rejected', { ...NOTICE, reason: 'not yours' }],
  [
    'owner_invitation',
    { ...NOTICE, invitation_id: 'i1', inviter_name: SHOUT, inviter_email: 'LOCKED@evil.example' },
  ],
  ['owner_came', NOTICE],
  ['owner_gone', NOTICE],
  ['verification_fell', NOTICE],
  ['account_changed', { ...NOTICE, user_id: 'u1', what: 'disabled' }],
  ['person_changed', { ...NOTICE, user_id: 'u1', what: 'disabled' }],
]
test.each(LOUD)(
  '%s: subject and first lines are ours alone, and others’ words lead nowhere',
  (kind, params) => {
    const write = messages(server.config.brand, 'https://id.example')

    const { subject, text, html } = write(
      { to: 'x@y.example', kind, params } as Mail,
      'https://id.example/link',
    )

    const quoteAt = text.indexOf('\n    ')
    expect(subject).not.toMatch(/locked|evil/i)
    expect(text.slice(0, quoteAt)).not.toMatch(/locked|evil/i)
    expect(text.slice(0, quoteAt).length).toBeGreaterThan(60)
    expect(text).toContain('YOUR ACCOUNT IS LOCKED, visit https[:]//evil[.]example')
    expect(html.slice(0, html.indexOf('<blockquote'))).not.toMatch(/locked|evil/i)
    expect(text + html).not.toMatch(/evil\.example|https?:\/\/evil/)
  },
)

test('an address that looks like several is one that is refused, not several', async () => {
  const sent: Mail = {
    to: 'a@x.example, mallory@evil.example',
    kind: 'app_approved',
    params: { name: 'A', client_id: app.id, client_name: 'App' },
  }

  await queueMail(server.db, sent)
  await queueMail(server.db, { ...sent, to: 'next@x.example' })

  await smtp.mail('next@x.example')
  await until(
    async () =>
      (await one(server.db, sql`select state from mails where recipient = ${sent.to}`)).state !== 'waiting',
  )
  expect(smtp.mails.filter(({ recipient }) => /mallory|a@x/.test(recipient))).toEqual([])
})

async function queued(): Promise<number> {
  const { mails } = await one<{ mails: number }>(server.db, sql`select count(*)::int as mails from mails`)
  return mails
}

/** Two parts that say the same, from us, that no program answers and that nobody can follow. */
function expectProper(mail: ReceivedMail): void {
  expect(mail.headers.get('auto-submitted')).toBe('auto-generated')
  expect(mail.headers.get('content-type')).toMatchObject({ value: 'multipart/alternative' })
  expect(mail.from?.value).toEqual([{ address: 'no-reply@id.example', name: 'Example ID' }])
  expect(mail.messageId).toMatch(/^<[0-9a-f-]{36}(\.1)?@id\.example>$/)
  expect(mail.attachments).toEqual([])
  expect(mail.text.length).toBeGreaterThan(40)
  expect(mail.html).toMatch(/^<!DOCTYPE html>/i)
  expect(mail.html).not.toMatch(/<(img|script|link|iframe|form)\b|url\(/i)
}
