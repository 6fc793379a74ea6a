// An invitation to look after an app, by mail: the link goes to the address it is for, and to nobody else.
import { afterAll, beforeAll, describe, expect, test } from '@jest/globals'
import { findOwners } from '../../../src/core/clients/owners.ts'
import { createInvitation } from '../../../src/core/ownership/invitations.ts'
import { many, one, openPool, run, sql } from '../../../src/db/pool.ts'
import {
  type DeveloperFixture,
  ownApp,
  startDeveloperFixture,
} from '../../pages/developer/developer-fixture.ts'
import type { App, Page, Person } from '../../support/flow.ts'
import { until } from '../../support/patience.ts'
import { dueNow, type SmtpFixture, startSmtpFixture } from './smtp-fixture.ts'

let smtp: SmtpFixture
let fixture: DeveloperFixture
let app: App
beforeAll(async () => {
  smtp = await startSmtpFixture()
  fixture = await startDeveloperFixture(smtp.env)
  app = await ownApp(fixture, fixture.dev)
})
afterAll(async () => {
  await fixture?.server.stop()
  await smtp?.stop()
})

const invite = async (email: string): Promise<Page> =>
  fixture.dev.press(await fixture.dev.open(`/developer/apps/${app.id}/owners/invite`), 'Invite', { email })
const linkTo = async (email: string, count = 1): Promise<string> =>
  /\/developer\/invitations\/[\w-]+/.exec((await smtp.mail(email, count)).text)![0]

test('who is invited gets a mail, accepts, and looks after the app; the page shows no link', async () => {
  const { sam, dev } = fixture

  const page = await invite(sam.email)
  const link = await linkTo(sam.email)

  expect(page.text).toContain(`${sam.email} gets a mail with the invitation.`)
  expect(page.html).not.toContain('/developer/invitations/')
  const mail = await smtp.mail(sam.email)
  expect(mail.subject).toBe('You are invited to look after an app at Valetkey')
  expect(mail.text).toContain('Who invites you:\n    Dev (dev[.]')
  const accepted = await sam.press(await sam.open(link), 'Accept')
  expect(accepted.url.pathname).toBe(`/developer/apps/${app.id}`)
  const owners = await findOwners(fixture.server.db, app.id)
  expect(owners.map(({ id }) => id)).toEqual([dev.id, sam.id])
})

test('a mail that is sent again has another link, and the first one is dead', async () => {
  const { other } = fixture
  await invite(other.email)
  const first = await linkTo(other.email)
  // As if the process had died between sending the mail and noting it.
  await until(async () => (await stateOf(other.email)) === 'sent')
  const { id } = await one<{ id: string }>(
    fixture.server.db,
    sql`select id from client_invitations where email = ${other.email}`,
  )
  const params = JSON.stringify({
    invitation_id: id,
    client_id: app.id,
    client_name: 'Calendar',
    inviter_name: 'Dev',
  })
  await run(
    fixture.server.db,
    sql`update mails set state = 'waiting', finished_at = null, params = ${params} where recipient = ${other.email}`,
  )
  await dueNow(fixture.server.db)
  const second = await linkTo(other.email, 2)

  expect(second).not.toBe(first)
  expect((await other.open(first)).text).not.toContain('Accept')
  const accepted = await other.press(await other.open(second), 'Accept')
  expect(accepted.url.pathname).toBe(`/developer/apps/${app.id}`)
})

describe('at most five within a day reach one mailbox, whoever they are from:', () => {
  let mine: App
  beforeAll(async () => {
    mine = await ownApp(fixture, fixture.dev)
  })
  const countOf = async (mailbox: string) => {
    const { mails } = await one<{ mails: number }>(
      fixture.server.db,
      sql`select count(*)::int as mails from mails where mailbox = ${mailbox}`,
    )
    return mails
  }
  const invited = () =>
    many(fixture.server.db, sql`select id, withdrawn_at from client_invitations order by id`)
  const inviteBy = async (dev: Person, of: App, email: string): Promise<Page> =>
    dev.press(await dev.open(`/developer/apps/${of.id}/owners/invite`), 'Invite', { email })

  test('the sixth says so, and nothing is stored', async () => {
    const { dev, other } = fixture
    const theirs = await ownApp(fixture, other)
    for (const tag of ['', '+a', '+b']) await inviteBy(dev, mine, `pat${tag}@example.org`)
    for (const tag of ['+c', '+D']) await inviteBy(other, theirs, `Pat${tag}@example.org`)
    const before = await invited()

    const page = await inviteBy(other, theirs, 'pat@example.org')

    expect(page.status).toBe(429)
    expect(page.text).toContain('as many invitations as one address gets within a day')
    expect(Number(page.headers.get('retry-after'))).toBeGreaterThan(23 * 3600)
    expect(await invited()).toEqual(before)
    expect(await countOf('pat@example.org')).toBe(5)
    await until(() => smtp.mails.filter(({ recipient }) => recipient.startsWith('pat')).length === 5)
  })

  test('a day later there may be more', async () => {
    await run(fixture.server.db, sql`update mails set created_at = now() - interval '24 hours'`)

    const page = await inviteBy(fixture.dev, mine, 'pat@example.org')

    expect(page.text).toContain('gets a mail with the invitation')
  })

  test('many apps at once on two nodes', async () => {
    const { server, dev } = fixture
    const second = openPool(server.databaseUrl)
    const apps = await Promise.all(Array.from({ length: 10 }, () => ownApp(fixture, dev)))
    const by = { type: 'user' as const, id: dev.id }

    const answers = await Promise.allSettled(
      apps.map(({ id }, i) =>
        createInvitation(i % 2 ? second : server.db, id, `kit+${i}@example.org`, { mailed: true }, by),
      ),
    )

    expect(answers.filter(({ status }) => status === 'fulfilled')).toHaveLength(5)
    expect(await countOf('kit@example.org')).toBe(5)
    await second.close()
  })

  test('Gmail’s dots make no other mailbox', async () => {
    for (const email of [
      'lou.k@gmail.com',
      'l.ouk@gmail.com',
      'louk@googlemail.com',
      'l.o.u.k+x@gmail.com',
      'lo.uk@gmail.com',
    ])
      await inviteBy(fixture.dev, mine, email)

    expect((await inviteBy(fixture.dev, mine, 'l.o.uk@gmail.com')).status).toBe(429)
  })
})

test('one that is withdrawn before its mail is sent sends none', async () => {
  const { server, dev } = fixture
  await run(server.db, sql`update mails set next_try_at = now() + interval '1 day' where state = 'waiting'`)
  await smtp.stop()
  await invite('late@example.org')
  const owners = await dev.open(`/developer/apps/${app.id}/owners`)
  await dev.press(owners, 'Withdraw')

  await until(async () => {
    await dueNow(server.db)
    return (await stateOf('late@example.org')) !== 'waiting'
  })
  expect(smtp.mails.filter(({ recipient }) => recipient === 'late@example.org')).toEqual([])
})

async function stateOf(recipient: string): Promise<string> {
  const { state } = await one<{ state: string }>(
    fixture.server.db,
    sql`select state from mails where recipient = ${recipient}`,
  )
  return state
}
