// What people are told by mail of what others did: to their account, to who looks after their app, to who administers.
import { afterAll, beforeAll, beforeEach, describe, expect, test } from '@jest/globals'
import { SYSTEM } from '../../../src/base/audit-events.ts'
import { removeOwner } from '../../../src/core/clients/owners.ts'
import { verifyClient } from '../../../src/core/clients/review.ts'
import { acceptInvitation, createInvitation } from '../../../src/core/ownership/invitations.ts'
import { redeemResetLink, sendReset } from '../../../src/core/users/reset-links.ts'
import { setRole } from '../../../src/core/users/roles.ts'
import { endSessions } from '../../../src/core/users/search.ts'
import { setPassword } from '../../../src/core/users/sign-in.ts'
import { createUser, disableUser, enableUser } from '../../../src/core/users/store.ts'
import { many, one, run, sql } from '../../../src/db/pool.ts'
import { administrator } from '../../pages/admin/admin-fixture.ts'
import { ownApp } from '../../pages/developer/developer-fixture.ts'
import {
  type App,
  PASSWORD,
  type Person,
  type ServerFixture,
  startServerFixture,
} from '../../support/flow.ts'
import { type SmtpFixture, startSmtpFixture } from './smtp-fixture.ts'

const CLI = { type: 'cli', id: 'tests' } as const
const NEXT = 'seven dry umbrellas'

let smtp: SmtpFixture
let server: ServerFixture
let ada: Person
let bob: Person
let jamie: Person
let since: string
beforeAll(async () => {
  smtp = await startSmtpFixture()
  server = await startServerFixture({ ...smtp.env, DEVELOPER_REGISTRATION: 'open' })
  ada = await administrator(server, 'Ada')
  bob = await administrator(server, 'Bob')
})
afterAll(async () => {
  await server?.stop()
  await smtp?.stop()
})
beforeEach(async () => {
  jamie = await server.person('Jamie')
  await begin()
})

const asUser = ({ id }: Person) => ({ type: 'user' as const, id })

// No mail program makes a link of it.
const shown = (email: string) => email.replace(/(?<=\w)\.(?=\w)/g, '[.]')

/** From here on mails count. */
async function begin(): Promise<void> {
  ;({ since } = await one<{ since: string }>(server.db, sql`select clock_timestamp()::text as since`))
}

/** Who was sent what since then, as `kind to`. */
async function told(): Promise<string[]> {
  const rows = await many<{ kind: string; recipient: string }>(
    server.db,
    sql`select kind, recipient from mails where created_at >= ${since}::timestamptz order by kind, recipient`,
  )
  const names = new Map([ada, bob, jamie].map(({ email }) => [email, email.split('.')[0]]))
  return rows.map(({ kind, recipient }) => `${kind} ${names.get(recipient) ?? recipient.split('.')[0]}`)
}

const summary = sql`select extract(epoch from max(next_try_at) - now())::int / 60 as minutes from mails
                    where kind = 'more_notices' and state = 'waiting'`

async function minutesUntilSummary(): Promise<number> {
  return (await one<{ minutes: number }>(server.db, summary)).minutes
}

/** Lets the time pass; queueing another mail wakes the mailer. */
async function sendSummary(): Promise<void> {
  await run(
    server.db,
    sql`update mails set next_try_at = now() where kind = 'more_notices' and state = 'waiting'`,
  )
  await run(server.db, sql`notify valetkey, 'mails'`)
}

describe('an account', () => {
  const changes: [string, () => Promise<unknown>, words: string, all: boolean][] = [
    [
      'is made an administrator',
      () => setRole(server.db, jamie.id, 'admin', asUser(ada)),
      'is an administrator now',
      true,
    ],
    ['is disabled', () => disableUser(server.db, jamie.id, asUser(ada)), 'is disabled', false],
    [
      'gets a password',
      () => setPassword(server.db, jamie.id, NEXT, asUser(ada)),
      'has another password',
      false,
    ],
    [
      'is signed out',
      () => endSessions(server.db, jamie.id, asUser(ada)),
      'was signed out everywhere',
      false,
    ],
  ]
  test.each(changes)('that %s by somebody else: its person is told', async (_, change, words, all) => {
    await change()

    expect(await told()).toEqual(['account_changed jamie', ...(all ? ['person_changed bob'] : [])])
    const mail = await smtp.mail(jamie.email)
    expect(mail.text).toContain(words)
    expect(mail.text).toContain(`Done by:\n    Ada (${shown(ada.email)})`)
    await setRole(server.db, jamie.id, 'user', SYSTEM)
  })

  test('that administers: the other administrators are told of all of it', async () => {
    const mighty = await administrator(server, 'Mighty')
    await begin()

    await endSessions(server.db, mighty.id, asUser(ada))
    await setPassword(server.db, mighty.id, NEXT, CLI)
    await disableUser(server.db, mighty.id, CLI)
    await enableUser(server.db, mighty.id, CLI)
    await setRole(server.db, mighty.id, 'user', asUser(bob))

    const all = await told()
    expect(all.filter((each) => each === 'account_changed mighty')).toHaveLength(5)
    expect(all.filter((each) => each === 'person_changed ada')).toHaveLength(4)
    expect(all.filter((each) => each === 'person_changed bob')).toHaveLength(4)
    expect(all).toHaveLength(13)
  })

  test('that is made with the role: the administrators are told', async () => {
    const made = { email: 'new@example.com', name: 'New', password: PASSWORD, role: 'admin' } as const
    const { id } = await createUser(server.db, made, CLI)

    expect(await told()).toEqual(['person_changed ada', 'person_changed bob'])
    await setRole(server.db, id, 'user', SYSTEM)
  })

  test('whose person chooses a password: they are told, and nobody else', async () => {
    const page = await jamie.account()
    const fields = { current_password: PASSWORD, new_password: NEXT }
    await jamie.press(page, 'Change password', fields)
    expect(await told()).toEqual(['account_changed jamie'])
    expect((await smtp.mail(jamie.email)).text).toContain('If it was not you')

    const sent = await sendReset(server.db, jamie.id, 'hand', CLI)
    await redeemResetLink(server.db, sent!.path!.split('/').at(-1)!, PASSWORD, { type: 'user' })
    expect(await told()).toEqual(['account_changed jamie', 'account_changed jamie'])
  })

  test('that stands like that already: nobody is told', async () => {
    await setRole(server.db, jamie.id, 'user', CLI)
    await enableUser(server.db, jamie.id, CLI)

    expect(await told()).toEqual([])
  })

  test('that is changed again and again: some mails, the last one says so, and one more counts what else happened', async () => {
    for (let i = 0; i < 30; i++) await endSessions(server.db, jamie.id, CLI)
    // What matters comes last.
    await setPassword(server.db, jamie.id, NEXT, CLI)

    expect(await told()).toEqual([...Array(20).fill('account_changed jamie'), 'more_notices jamie'])
    const last = await smtp.mail(jamie.email, 20)
    expect(last.text).toContain('What else does is summed up')
    expect(smtp.mails.filter(({ text }) => text.includes('summed up'))).toHaveLength(1)
    expect(await server.events({ type: 'user.signed_out_everywhere', user_id: jamie.id })).toHaveLength(30)

    expect(await minutesUntilSummary()).toBeGreaterThan(10)
    await sendSummary()
    const { subject, text } = await smtp.mail(jamie.email, 21)
    expect(subject).toBe('More has happened at Valetkey')
    expect(text).toContain('Your account at Valetkey has another password: once.')
    expect(text).toContain('Your account at Valetkey was signed out everywhere: 10 times.')

    // One that was sent takes nothing up any more.
    await endSessions(server.db, jamie.id, CLI)
    await sendSummary()
    expect((await smtp.mail(jamie.email, 22)).text).toContain('was signed out everywhere: once.')
  })

  test('is summed up for each administrator, however much happens at once', async () => {
    await run(
      server.db,
      sql`insert into mails (recipient, kind, state, finished_at)
          select email, 'person_changed', 'sent', now()
          from unnest(${[ada.email, bob.email]}::text[]) email, generate_series(1, 20)`,
    )
    await run(server.db, sql`delete from mails where kind = 'more_notices'`)
    const people = await Promise.all([1, 2, 3, 4].map((n) => server.person(`New${n}`)))

    await Promise.all(people.map(({ id }) => setRole(server.db, id, 'admin', CLI)))
    await Promise.all(people.map(({ id }) => setRole(server.db, id, 'user', CLI)))

    const summaries = await many(
      server.db,
      sql`select recipient, params -> 'counts' as counts from mails
          where kind = 'more_notices' and recipient = any(${[ada.email, bob.email]}) order by recipient`,
    )
    const counts = { 'person_changed:made_admin': 4, 'person_changed:made_user': 4 }
    expect(summaries).toEqual([ada, bob].map(({ email }) => ({ recipient: email, counts })))
    await run(server.db, sql`delete from mails`)
  })
})

describe('an app', () => {
  let app: App
  let other: Person
  beforeEach(async () => {
    other = await server.person('Other')
    app = await ownApp({ server }, jamie)
    await verifyClient(server.db, app.id, SYSTEM)
    await begin()
  })
  const join = async () => {
    const made = await createInvitation(server.db, app.id, other.email, { mailed: false }, asUser(jamie))
    await acceptInvitation(server.db, made!.secret!, asUser(other))
  }

  test('gets an owner: the owners and the administrators are told, but for who came', async () => {
    await join()

    expect(await told()).toEqual(['owner_came ada', 'owner_came bob', 'owner_came jamie'])
    const { subject, text } = await smtp.mail(jamie.email)
    expect(subject).toBe('An app at Valetkey has a new owner')
    expect(text).toContain(`The app:\n    “Calendar”\n\nWho:\n    Other (${shown(other.email)})`)
  })

  test('loses an owner who leaves: the others are told, and that it is no longer verified', async () => {
    await join()
    await begin()

    await removeOwner(server.db, app.id, jamie.id, asUser(jamie))

    expect(await told()).toEqual([
      'owner_gone ada',
      'owner_gone bob',
      'owner_gone other',
      'verification_fell ada',
      'verification_fell bob',
      'verification_fell other',
    ])
    const mails = [await smtp.mail(other.email), await smtp.mail(other.email, 2)]
    const text = mails.map((mail) => mail.text).join('\n')
    expect(text).toContain(`Somebody no longer looks after an app at Valetkey`)
    expect(text).toContain(`Who:\n    Jamie (${shown(jamie.email)})`)
    expect(text).toContain('read that it is not verified')
  })

  test('loses an owner who is removed: they are told by whom', async () => {
    await join()
    await begin()

    await removeOwner(server.db, app.id, jamie.id, asUser(other))

    expect((await told()).slice(0, 3)).toEqual(['owner_gone ada', 'owner_gone bob', 'owner_gone jamie'])
    const { text } = await smtp.mail(jamie.email, 2)
    expect(text).toContain('You no longer look after an app')
    expect(text).toContain(`Done by:\n    Other (${shown(other.email)})`)
  })

  test('falls with an account that is disabled: whoever is left is told', async () => {
    await join()
    await begin()

    await disableUser(server.db, jamie.id, CLI)

    expect(await told()).toEqual([
      'account_changed jamie',
      'verification_fell ada',
      'verification_fell bob',
      'verification_fell other',
    ])
  })
})
