// Whatever the mail server does, each mail goes out once, nobody waits for it, and the log says nothing it must not say.
import { afterAll, afterEach, beforeAll, expect, test } from '@jest/globals'
import { pino } from 'pino'
import type { SMTPServerOptions } from 'smtp-server'
import { SYSTEM } from '../../../src/base/audit-events.ts'
import type { MailConfig } from '../../../src/base/config.ts'
import { listEvents } from '../../../src/core/audit/store.ts'
import { rejectClient } from '../../../src/core/clients/review.ts'
import { startMailer } from '../../../src/core/mail/mailer.ts'
import { type LostMail, queueMail } from '../../../src/core/mail/outbox.ts'
import { many, one, run, sql } from '../../../src/db/pool.ts'
import type { Lane } from '../../../src/jobs/lane.ts'
import { administrator, makePending } from '../../pages/admin/admin-fixture.ts'
import { type App, Person, type ServerFixture, startServerFixture } from '../../support/flow.ts'
import { until } from '../../support/patience.ts'
import { freePort, startApp, startServer } from '../../support/server.ts'
import { dueNow, type SmtpFixture, startSmtpFixture } from './smtp-fixture.ts'

const TO = 'jamie@owner.example'
const PASSWORD = 'hunter2:of/the@server'
const AUTH = { user: 'post', pass: PASSWORD }

let server: ServerFixture
let port: number
let jamie: Person
let app: App
const opened: { stop(): unknown }[] = []
const senders: Lane[] = []
beforeAll(async () => {
  port = await freePort()
  // Its own mail is off: each test starts the nodes that send.
  server = await startServerFixture()
  jamie = await server.person('Jamie')
  app = await server.app()
})
afterEach(async () => {
  for (const each of opened.splice(0)) await each.stop()
  senders.length = 0
  await run(server.db, sql`delete from mails`)
})
afterAll(() => server?.stop())

test('a server that is down holds nobody up; when it is back, the mail comes once', async () => {
  const { id, email } = await administrator(server, 'Ada')
  // Of her new role she is told, too.
  await run(server.db, sql`delete from mails`)
  const ada = new Person((await node()).origin, id, email)
  await ada.account('/admin')
  await makePending(server, app, jamie)
  let turnedAway = 0
  const closed = await open(
    {
      onConnect(_session, done) {
        turnedAway++
        done(Object.assign(new Error('come back later'), { responseCode: 421 }))
      },
    },
    port,
  )

  const page = await ada.press(await ada.open(`/admin/clients/${app.id}/approve`), 'Approve')
  expect(page.text).toContain('is approved. Everybody can use it.')
  await until(() => turnedAway === 1)
  expect(await row()).toMatchObject({ state: 'waiting', attempts: 1, pause: 60 })
  await closed.stop()
  await dueNow(server.db)
  // Nobody listens at all now.
  await until(async () => (await row()).attempts === 2)

  const smtp = await open({}, port)
  await dueNow(server.db)
  await dueNow(server.db)
  const mail = await smtp.mail(jamie.email)
  await until(async () => (await row()).state === 'sent')
  await dueNow(server.db)

  expect(mail.from?.value).toEqual([{ name: 'Post', address: 'post@id.example' }])
  expect(await row()).toMatchObject({ params: null })
  expect(smtp.mails).toHaveLength(1)
})

test('the pauses grow to an hour, and after a day it is given up, which is recorded', async () => {
  const { db } = server
  await node()
  await run(db, sql`update clients set state = 'pending' where id = ${app.id}`)
  await rejectClient(db, app.id, 'not yet', SYSTEM)
  const pauses: number[] = []

  for (let tries = 1; tries <= 9; tries++) {
    await until(async () => (await row()).attempts === tries)
    pauses.push((await row()).pause as number)
    await dueNow(db)
  }
  expect(pauses).toEqual([60, 120, 240, 480, 960, 1920, 3600, 3600, 3600])
  await run(db, sql`update mails set created_at = now() - interval '25 hours'`)
  await dueNow(db)

  await until(async () => (await row()).state === 'given_up')
  expect(await row()).toMatchObject({ params: null })
  const [event] = await listEvents(db, { type: 'mail.given_up' })
  expect(event).toMatchObject({ client_id: app.id, actor_type: 'system', data: { kind: 'app_rejected' } })
  expect(JSON.stringify(event)).not.toContain(jamie.email)
})

test('an address that is refused for good is given up at once; one that is refused for now is not', async () => {
  const smtp = await open({
    onRcptTo({ address }, _session, done) {
      if (address.startsWith('full')) return done(Object.assign(new Error('full'), { responseCode: 452 }))
      done(address.startsWith('gone') ? Object.assign(new Error('gone'), { responseCode: 550 }) : null)
    },
  })
  const { lines, lost } = mailer(smtp.port)

  await queue('gone@owner.example')
  await queue('full@owner.example')
  await queue(TO)

  await smtp.mail(TO)
  await until(async () => (await states()).every(({ attempts }) => attempts === 1))
  await until(async () => (await states()).filter(({ state }) => state === 'waiting').length === 1)
  expect(await states()).toEqual([
    { recipient: 'full@owner.example', state: 'waiting', attempts: 1 },
    { recipient: 'gone@owner.example', state: 'given_up', attempts: 1 },
    { recipient: TO, state: 'sent', attempts: 1 },
  ])
  expect(lost).toEqual([expect.objectContaining({ kind: 'app_approved', client_id: app.id, attempts: 1 })])
  expect(lines.join('')).toContain('"response":550')
  expect(lines.join('')).not.toMatch(/owner\.example/)
})

test('many nodes, many mails: each comes once', async () => {
  const smtp = await open({}, port)
  for (let n = 0; n < 3; n++) await node()

  await Promise.all(Array.from({ length: 30 }, (_, i) => queue(`owner${i}@owner.example`)))
  await until(async () => (await states()).every(({ state }) => state === 'sent'))

  expect(smtp.mails).toHaveLength(30)
  expect(new Set(smtp.mails.map(({ recipient }) => recipient)).size).toBe(30)
  expect((await states()).every(({ attempts }) => attempts === 1)).toBe(true)
})

let reached = false
const reach = () => {
  reached = true
}
test.each<[string, SMTPServerOptions]>([
  ['says nothing', { onConnect: reach }],
  ['takes the mail and does not say so', { onData: (stream) => void stream.resume().on('end', reach) }],
])('a server that %s does not hold up a shutdown; another node sends the mail', async (_, options) => {
  reached = false
  const silent = await open(options)
  const stopping = await node(silent.port)
  await queue(TO)
  await until(() => reached)

  const started = performance.now()
  await stopping.stop()

  // It waits for three; sending one may take 45.
  expect(performance.now() - started).toBeLessThan(30_000)
  expect(await row()).toMatchObject({ state: 'waiting', attempts: 1 })
  const smtp = await open({}, port)
  await node()
  await dueNow(server.db)
  await smtp.mail(TO)
  await until(async () => (await row()).state === 'sent')
  expect(smtp.mails).toHaveLength(1)
})

test('where TLS is required, nothing is said without it: no name, no password, no mail', async () => {
  const said: string[] = []
  const listening = {
    onAuth(_auth, _session, done) {
      said.push('password')
      done(null, { user: 'post' })
    },
    onMailFrom(_from, _session, done) {
      said.push('sender')
      done()
    },
  } satisfies SMTPServerOptions
  const plain = await open({ ...listening, allowInsecureAuth: true })
  const homemade = await open({ ...listening, disabledCommands: [] })

  for (const [smtp, why] of [
    [plain, /ETLS/],
    // A certificate that nobody vouches for.
    [homemade, /certificate/],
  ] as const) {
    const { lines, stop } = mailer(smtp.port, { requireTls: true, isLoopback: false, auth: AUTH })
    await queue(TO)
    await until(() => lines.some((line) => line.includes('could not be sent')))
    await stop()

    expect(lines.join('')).toMatch(why)
    expect(said).toEqual([])
    expect(smtp.mails).toEqual([])
    await run(server.db, sql`delete from mails`)
  }
})

test('on this machine, STARTTLS with a certificate of its own making will do', async () => {
  const secure: boolean[] = []
  const smtp = await open({
    disabledCommands: [],
    onAuth: ({ username, password }, session, done) => {
      secure.push(session.secure)
      const fits = username === 'post' && password === PASSWORD
      done(fits ? null : new Error('wrong'), fits ? { user: 'post' } : undefined)
    },
  })
  mailer(smtp.port, { auth: AUTH })

  await queue(TO)
  await smtp.mail(TO)

  expect(secure).toEqual([true])
})

test('the real server says neither the password nor an address, however talkative and whatever fails', async () => {
  const smtp = await open({
    allowInsecureAuth: true,
    onAuth: ({ username, password }, _session, done) =>
      done(Object.assign(new Error(`no ${username} ${password} here`), { responseCode: 535 })),
  })
  const credentials = `post:${encodeURIComponent(PASSWORD)}`
  const child = await startServer({
    databaseUrl: (server.db.pg.options as { connectionString: string }).connectionString,
    env: {
      SMTP_URL: `smtp://${credentials}@127.0.0.1:${smtp.port}`,
      MAIL_FROM: 'post@id.example',
      LOG_LEVEL: 'debug',
      WORKERS: '2',
    },
  })
  opened.unshift(child)

  await queue(TO)
  await until(() => child.output().includes('could not be sent'))
  await child.stop()

  expect(child.output()).toContain('"response":535')
  for (const secret of [PASSWORD, encodeURIComponent(PASSWORD), TO, 'jamie@']) {
    expect(child.output()).not.toContain(secret)
  }
})

test('what is given up long ago is forgotten; what waits is not', async () => {
  await queue(TO)
  await run(
    server.db,
    sql`insert into mails (recipient, kind, state, finished_at)
        values ('old@x.example', 'app_approved', 'sent', now() - interval '91 days'),
               ('new@x.example', 'app_approved', 'sent', now() - interval '1 day')`,
  )

  opened.push(await startApp({ db: server.db, env: { SWEEP_INTERVAL_SECONDS: '1' } }))

  await until(async () => (await states()).length === 2)
  expect((await states()).map(({ recipient }) => recipient)).toEqual([TO, 'new@x.example'])
})

/** An SMTP server that stops after the test. */
async function open(options: SMTPServerOptions = {}, at?: number): Promise<SmtpFixture> {
  const smtp = await startSmtpFixture(options, at)
  opened.push(smtp)
  return smtp
}

/** A sender of its own, beside the server's, with what it logs. */
function mailer(at: number, more: Partial<MailConfig> = {}) {
  const lines: string[] = []
  const lost: LostMail[] = []
  const log = pino({ level: 'debug' }, { write: (line: string) => void lines.push(line) })
  const mail: MailConfig = {
    host: '127.0.0.1',
    port: at,
    secure: false,
    requireTls: false,
    isLoopback: true,
    auth: undefined,
    from: { name: '', address: 'post@id.example' },
    ...more,
  }
  const { config, db } = server
  const sender: Lane = startMailer({
    db,
    log,
    config: { ...config, mail },
    links: {},
    lost: async (_, each) => void lost.push(each),
  })
  opened.unshift({ stop: () => sender.close() })
  senders.push(sender)
  return { lines, lost, stop: () => sender.close() }
}

/** A server that sends. */
async function node(at = port) {
  const env = { SMTP_URL: `smtp://localhost:${at}`, MAIL_FROM: 'Post <post@id.example>' }
  const served = await startApp({ db: server.db, env })
  let stopped: Promise<void> | undefined
  const once = { ...served, stop: () => (stopped ??= served.stop()) }
  opened.unshift(once)
  return once
}

async function queue(to: string): Promise<void> {
  const params = { name: 'Jamie', client_id: app.id, client_name: 'Photo Printer' }
  await queueMail(server.db, { to, kind: 'app_approved', params })
  for (const sender of senders) sender.wake()
}

function row(): Promise<Record<string, unknown>> {
  return one(
    server.db,
    sql`select *, round(extract(epoch from next_try_at - now()) / 30)::int * 30 as pause from mails`,
  )
}

function states(): Promise<{ recipient: string; state: string; attempts: number }[]> {
  return many(server.db, sql`select recipient, state, attempts from mails order by recipient collate "C"`)
}
