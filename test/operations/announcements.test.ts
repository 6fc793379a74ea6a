// Announcements that do not arrive: nothing is believed that may have changed unheard, and somebody is told.
import { afterAll, afterEach, beforeAll, describe, expect, test } from '@jest/globals'
import { formsOf } from '../../demo/form.ts'
import { secretsFrom } from '../../src/base/secrets.ts'
import { resumeClient, suspendClient } from '../../src/core/clients/lifecycle.ts'
import { rotateSecret } from '../../src/core/clients/secrets.ts'
import { type ClientChange, updateClient } from '../../src/core/clients/update.ts'
import { listKeys, rotateKeys } from '../../src/core/keys/store.ts'
import { followDatabase } from '../../src/db/clock.ts'
import { listen } from '../../src/db/listen.ts'
import { many, openPool, sql } from '../../src/db/pool.ts'
import { createLogger } from '../../src/http/log.ts'
import { valetkey } from '../cli/run.ts'
import {
  type App,
  asking,
  authUrl,
  Browser,
  call,
  populate,
  REDIRECT_URI,
  send,
  type World,
} from '../support/attack.ts'
import { createTestDatabase, type TestDatabase } from '../support/database.ts'
import { type DatabaseLink, openDatabaseLink } from '../support/database-link.ts'
import { inOneOfFive, until } from '../support/patience.ts'
import { runMain, SECRET_KEYS, startServer, type TestServer } from '../support/server.ts'

const BY = { type: 'cli' } as const
const BELIEVED_MS = 5_000
// Between what is right, which is over by then, and what is broken: believed for good.
const LATE_MS = 5_000
// Who waits for the connection that is being made, waits for four seconds.
const HUNG_UP_MS = 3_000

let database: TestDatabase
let link: DatabaseLink
let server: TestServer
let world: World
beforeAll(async () => {
  database = await createTestDatabase()
  world = await populate(database.db)
  link = await openDatabaseLink(database.url)
  server = await startServer({ databaseUrl: link.url, env: { LOG_LEVEL: 'info' } })
})
afterAll(async () => {
  await server?.stop()
  link?.close()
  await database?.drop()
})
afterEach(async () => {
  link.open()
  await until(async () => (await ready()).announcements === 'ok')
})

const machine = { grant_type: 'client_credentials', scope: 'photos.read' }
const status = async (secret: string) =>
  (await call(server.origin, '/token', { ...world.service, secret }, machine)).status
const ready = async () => JSON.parse((await send('GET', server.origin, '/readyz')).text)
const published = async (): Promise<string[]> =>
  JSON.parse((await send('GET', server.origin, '/jwks')).text)
    .keys.map(({ kid }: { kid: string }) => kid)
    .sort()
const keptKeys = async () => (await listKeys(database.db)).map(({ kid }) => kid).sort()
const rotate = () => rotateKeys(database.db, secretsFrom([SECRET_KEYS]), BY)
const said = (words: string) => server.output().split(words).length - 1

async function replaceSecret(): Promise<{ old: string; fresh: string }> {
  const old = world.service.secret
  const fresh = (await rotateSecret(database.db, world.service.id, BY))!
  world.service.secret = fresh
  return { old, fresh }
}

async function millisecondsUntil(condition: () => Promise<boolean>): Promise<number> {
  const started = performance.now()
  await until(condition)
  return performance.now() - started
}

describe.each([
  ['whose connection is swallowed', () => link.silenceListeners()],
  ['to whom nobody passes announcements on', () => link.dropAnnouncements()],
])('a node %s', (_name, fall) => {
  test('believes no secret and signs with no key for longer than five seconds', async () => {
    await inOneOfFive(async () => {
      link.open()
      await until(async () => (await ready()).announcements === 'ok')
      expect(await status(world.service.secret)).toBe(200)
      fall()

      const { old } = await replaceSecret()
      await rotate()
      const [secretMs, keysMs] = await Promise.all([
        millisecondsUntil(async () => (await status(old)) === 401),
        millisecondsUntil(async () => JSON.stringify(await published()) === JSON.stringify(await keptKeys())),
      ])

      expect(secretMs).toBeLessThan(BELIEVED_MS + LATE_MS)
      expect(keysMs).toBeLessThan(BELIEVED_MS + LATE_MS)
    })
  })
})

describe('at a node that has not heard of a change, what was acknowledged elsewhere holds at once', () => {
  let wasUnheard: boolean
  /** The node still believes what it remembers, and hears of no change. */
  async function unheard(work: () => Promise<void>): Promise<void> {
    await until(async () => (await ready()).announcements === 'ok')
    link.dropAnnouncements()
    await work()
    wasUnheard = (await ready()).announcements === 'ok'
    link.open()
  }
  /** A test that begins anew where it took so long that the node believes nothing any more: then it shows less. */
  const whileItBelieves = (work: () => Promise<void>) => () =>
    inOneOfFive(async () => {
      await work()
      expect(wasUnheard).toBe(true)
    })
  const change = (app: App, more: ClientChange) => updateClient(database.db, app.id, more, BY)

  test(
    'a replaced secret is dead, and the new one good',
    whileItBelieves(async () => {
      expect(await status(world.service.secret)).toBe(200)
      const api = world.api
      const { body } = await call(server.origin, '/token', world.service, machine)
      const token = String(body.access_token)
      const introspect = async (secret: string) =>
        (await call(server.origin, '/introspect', { ...api, secret }, { token })).status
      expect(await introspect(api.secret)).toBe(200)

      await unheard(async () => {
        const { old, fresh } = await replaceSecret()
        expect([await status(old), await status(fresh)]).toEqual([401, 200])

        const newSecret = (await rotateSecret(database.db, api.id, BY))!
        expect([await introspect(api.secret), await introspect(newSecret)]).toEqual([401, 200])
        api.secret = newSecret
      })
    }),
  )

  test(
    'a redirect URI that was removed leads nowhere, and a new one works',
    whileItBelieves(async () => {
      const other = 'https://printer.example/elsewhere'
      const at = async (redirect_uri: string) => {
        const reply = await new Browser(server.origin).open(authUrl({ ...world.spa, redirect_uri }))
        return reply.status
      }
      const pushed = async (redirect_uri: string) =>
        (await call(server.origin, '/par', world.web, asking({ ...world.web, redirect_uri }))).status
      expect([await at(REDIRECT_URI), await pushed(REDIRECT_URI)]).toEqual([200, 201])

      await unheard(async () => {
        for (const app of [world.spa, world.web]) await change(app, { redirect_uris: [other] })
        expect([await at(REDIRECT_URI), await pushed(REDIRECT_URI)]).toEqual([400, 400])
        expect([await at(other), await pushed(other)]).toEqual([200, 201])
      })

      for (const app of [world.spa, world.web]) await change(app, { redirect_uris: [REDIRECT_URI] })
    }),
  )

  test.each(['consent', 'abort'])(
    'somebody whose answer is “%s” is not sent to a redirect URI that was removed',
    (answer) =>
      whileItBelieves(async () => {
        const browser = new Browser(server.origin)
        const page = await browser.open(authUrl(world.spa, { prompt: 'consent' }))
        const { email, password } = world.bob
        const consent = await browser.follow(await browser.submit(page, 'Sign in', { email, password }))
        const form = formsOf(consent.text, consent.url).find(({ action }) => String(action).endsWith(answer))!

        await unheard(async () => {
          await change(world.spa, { redirect_uris: ['https://printer.example/elsewhere'] })
          const reply = await browser.follow(
            await browser.request('POST', form.action, { form: form.fields }),
          )
          expect([reply.status, reply.next]).toEqual([400, undefined])
        })

        await change(world.spa, { redirect_uris: [REDIRECT_URI] })
      })(),
  )

  test(
    'somebody who signs out is not sent to an address that was removed',
    whileItBelieves(async () => {
      const bye = 'https://printer.example/bye'
      await change(world.web, { post_logout_redirect_uris: [bye] })
      const browser = new Browser(server.origin)
      await browser.code(authUrl(world.web), world.alice)
      const query = new URLSearchParams({ client_id: world.web.id, post_logout_redirect_uri: bye })
      const page = await browser.open(`/session/end?${query}`)
      expect(page.status).toBe(200)

      await unheard(async () => {
        await change(world.web, { post_logout_redirect_uris: [] })
        const { next } = await browser.submit(page, 'Sign out')
        expect(next?.href).toBe(`${server.origin}/session/end/success`)
      })

      expect((await browser.open('/account')).text).toContain('name="password"')
    }),
  )

  test(
    'a scope that was taken from a client is refused, and so is the client when it is suspended',
    whileItBelieves(async () => {
      expect(await status(world.service.secret)).toBe(200)

      await unheard(async () => {
        await change(world.service, { scopes: [] })
        const { body } = await call(server.origin, '/token', world.service, machine)
        expect(body.error).toBe('invalid_scope')
        await suspendClient(database.db, world.service.id, BY)
        expect(await status(world.service.secret)).toBe(401)
      })

      await resumeClient(database.db, world.service.id, BY)
      await change(world.service, { scopes: ['photos.read'] })
    }),
  )
})

test('a node that hears nothing says so once, works on, and sees each change at once', async () => {
  const [lost, back] = ['no announcements of changes arrive', 'announcements of changes arrive again']
  const before = [said(lost), said(back)]
  link.dropAnnouncements()
  await until(async () => (await ready()).announcements === 'silent')
  await until(() => said(lost) > before[0]!)

  const { status: health } = await send('GET', server.origin, '/readyz')
  expect(health).toBe(200)
  for (let i = 0; i < 3; i++) {
    const { old, fresh } = await replaceSecret()
    expect([await status(old), await status(fresh)]).toEqual([401, 200])
  }
  link.open()
  await until(async () => (await ready()).announcements === 'ok')

  // What a process writes takes a moment to get here.
  await until(() => said(back) > before[1]!)
  // Never twice in a row, though it looks every second; a machine that stands still may make it say so again later.
  const told = server.output().match(/announcements of changes arrive(?: again|:)/g)!
  for (const [i, words] of told.entries()) expect(words).not.toBe(told[i + 1])
})

test('a listener that is closed while it connects leaves no connection behind', () =>
  inOneOfFive(async () => {
    const ownLink = await openDatabaseLink(database.url)
    const pool = openPool(ownLink.url)
    const clock = followDatabase()
    const ears = { heard() {}, missedSome() {}, deaf() {} }
    const listener = await listen({ pool, clock, log: createLogger('silent'), node: 1 }, ears)
    ownLink.cut()
    ownLink.silence()
    const before = ownLink.attempts()
    await until(async () => ownLink.attempts() > before)

    const started = performance.now()
    await listener.close()
    clock.close()
    await pool.close()

    expect(performance.now() - started).toBeLessThan(HUNG_UP_MS)
    await until(async () => ownLink.openConnections() === 0)
    ownLink.close()
  }))

test('a listener over a network that fell silent is closed all the same', async () => {
  const ownLink = await openDatabaseLink(database.url)
  const pool = openPool(ownLink.url)
  const clock = followDatabase()
  const ears = { heard() {}, missedSome() {}, deaf() {} }
  const listener = await listen({ pool, clock, log: createLogger('silent'), node: 1 }, ears)
  ownLink.silence()

  await listener.close()
  clock.close()
  await pool.close()

  await until(async () => ownLink.openConnections() === 0)
  ownLink.close()
})

describe('behind a pooler that loses announcements', () => {
  const SENTENCE = /^(valetkey: )?DATABASE_URL leads through a pooler .* pool_mode = session\.$/m

  test('the server does not start, and says why', async () => {
    link.dropAnnouncements()

    const { output, exited } = runMain({
      DATABASE_URL: link.url,
      SECRET_KEYS,
      ISSUER_URL: 'http://localhost:1',
    })

    expect(await exited).toBe(78)
    expect(output()).toMatch(SENTENCE)
    expect(output()).not.toContain('    at ')
  })

  test('the command line does not migrate, and nobody is left waiting for a lock', async () => {
    link.dropAnnouncements()

    const ran = await valetkey(['migrate', 'up'], { env: { DATABASE_URL: link.url, SECRET_KEYS } })

    expect([ran.code, ran.stdout]).toEqual([78, ''])
    expect(ran.stderr).toMatch(SENTENCE)
    const locks = await many(
      database.db,
      sql`select l.pid from pg_locks l join pg_database d on d.oid = l.database
          -- Of one key, as that of migrations; those of two keys show which nodes live.
          where l.locktype = 'advisory' and l.objsubid = 1 and d.datname = current_database()`,
    )
    expect(locks).toEqual([])
  })
})
