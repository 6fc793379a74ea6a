// An exchange whose answer was lost: it has happened and is told so, or it never happens; not even when its statement arrives late.
import { randomBytes } from 'node:crypto'
import { afterAll, afterEach, beforeAll, expect, test } from '@jest/globals'
import { digest } from '../../src/base/credentials.ts'
import { answersOfNodes } from '../../src/db/answers.ts'
import { DatabaseUnavailable } from '../../src/db/errors.ts'
import { type Db, many, openPool, type Pool, type Query, sql } from '../../src/db/pool.ts'
import type { NewToken } from '../../src/protocol/storage/token-rows.ts'
import { type TokenStore, tokenStore } from '../../src/protocol/storage/tokens.ts'
import { authUrl, Browser, populate, redeem, type World } from '../support/attack.ts'
import { createTestDatabase, type TestDatabase } from '../support/database.ts'
import { inOneOfFive, until } from '../support/patience.ts'
import { openProxy, placeOf, type TcpProxy, throughProxy } from '../support/proxy.ts'
import { startApp, type TestApp } from '../support/server.ts'

let database: TestDatabase
let app: TestApp
let world: World
let alice: Browser
let proxy: TcpProxy
let far: Pool
let tokens: TokenStore
beforeAll(async () => {
  database = await createTestDatabase()
  world = await populate(database.db)
  app = await startApp({ db: database.db })
  alice = new Browser(app.origin)
  await alice.code(authUrl(world.web), world.alice)
  proxy = await openProxy(placeOf(database.url), 'postgres')
  far = openPool(throughProxy(database.url, proxy), 4, 3)
  tokens = tokenStore(far, answersOfNodes(far))
})
afterAll(async () => {
  await tokens?.close()
  await far?.close()
  await proxy?.close()
  await app?.stop()
  await database?.drop()
})
afterEach(() => proxy.pass())

// What became of an exchange is asked for one second long, which a machine that stands still may take by itself.
const oneOf = (round: () => Promise<void>) =>
  inOneOfFive(() => {
    proxy.pass()
    return round()
  })

test('carried out, and the connection breaks before the answer: it is found out, and has happened', () =>
  oneOf(async () => {
    const { hash, successor } = await exchangeable()
    const cut = proxy.cutAt({ trip: 1, when: 'done', only: true })

    expect(await tokens.exchange(hash, [successor])).toBe(true)

    expect(cut.happened()).toBe(true)
    expect(await stateOf(hash, successor)).toEqual({ used: true, issued: true })
  }))

test('carried out, and nothing is reached for a while: it fails, and is undone before the token is read again', () =>
  oneOf(async () => {
    const { hash, successor } = await exchangeable()
    const cut = proxy.cutAt({ trip: 1, when: 'done', only: false })

    await expect(tokens.exchange(hash, [successor])).rejects.toThrow(DatabaseUnavailable)

    expect(cut.happened()).toBe(true)
    expect(await stateOf(hash, successor)).toEqual({ used: true, issued: true })
    await expect(tokens.find(hash)).rejects.toThrow(DatabaseUnavailable)
    proxy.pass()
    expect(await tokens.find(hash)).toMatchObject({ consumed: false })
    expect(await stateOf(hash, successor)).toEqual({ used: false, issued: false })
    expect(await tokens.exchange(hash, [successor])).toBe(true)
  }))

test('nobody asks again: it is undone all the same', () =>
  oneOf(async () => {
    const { hash, successor } = await exchangeable()
    proxy.cutAt({ trip: 1, when: 'done', only: false })
    await expect(tokens.exchange(hash, [successor])).rejects.toThrow(DatabaseUnavailable)

    proxy.pass()

    await until(async () => !(await stateOf(hash, successor)).used)
    expect(await stateOf(hash, successor)).toEqual({ used: false, issued: false })
  }))

test('held up in the network, and found not to have happened: it does not happen when it arrives', () =>
  oneOf(async () => {
    const { hash, successor } = await exchangeable()
    await many(far, sql`select 1`)
    proxy.silence({ way: 'up' })
    const failed = expect(tokens.exchange(hash, [successor])).rejects.toThrow(DatabaseUnavailable)
    await failed

    // What was held back arrives now, in whatever order.
    proxy.pass()
    await tokens.find(hash)
    await new Promise((resolve) => setTimeout(resolve, 800))

    expect(await stateOf(hash, successor)).toEqual({ used: false, issued: false })
    expect(await tokens.exchange(hash, [successor])).toBe(true)
  }))

test('carried out while somebody else looks: what they have used up is not undone', () =>
  oneOf(async () => {
    const { hash, successor } = await exchangeable()
    proxy.cutAt({ trip: 1, when: 'asked', only: false })
    await expect(tokens.exchange(hash, [successor])).rejects.toThrow(DatabaseUnavailable)
    const near = tokenStore(database.db, answersOfNodes(database.db))
    const other = { ...successor, hash: randomBytes(32) }

    expect(await near.exchange(hash, [other])).toBe(true)
    proxy.pass()
    await tokens.find(hash)

    expect(await stateOf(hash, other)).toEqual({ used: true, issued: true })
  }))

test('given up at two nodes: none of the two happens when it arrives', () =>
  oneOf(async () => {
    const { hash, successor } = await exchangeable()
    const [one, two] = [holdingBack(), holdingBack()]
    const nodes = [one, two].map((node) => tokenStore(node.db, answersOfNodes(node.db)))
    for (const node of nodes)
      await expect(node.exchange(hash, [{ ...successor, hash: randomBytes(32) }])).rejects.toThrow(
        DatabaseUnavailable,
      )

    for (const node of nodes) await node.close()
    for (const node of [one, two]) await node.arrive()

    expect((await stateOf(hash, successor)).used).toBe(false)
    expect(await tokens.exchange(hash, [successor])).toBe(true)
  }))

/** A database whose exchanges lie in the network until they arrive; whoever sent them has given up by then. */
function holdingBack(): { db: Db; arrive(): Promise<void> } {
  const held: Query[] = []
  const lost = () => Promise.reject(new DatabaseUnavailable('no answer', { cause: new Error('reset') }))
  const db: Db = {
    query(query) {
      if (query.name !== 'exchange tokens') return database.db.query(query)
      held.push(query)
      return lost()
    },
  }
  return { db, arrive: async () => void (await Promise.all(held.map((query) => database.db.query(query)))) }
}

/** A refresh token of a new grant, and what it may be exchanged for. */
async function exchangeable(): Promise<{ hash: Buffer; successor: NewToken }> {
  const { body } = await redeem(app.origin, world.web, await alice.code(authUrl(world.web)))
  const hash = digest(String(body.refresh_token))
  // The connection of the pool is there, so that what is counted is the exchange.
  await many(far, sql`select 1`)
  const row = await tokens.find(hash)
  return {
    hash,
    successor: {
      hash: randomBytes(32),
      kind: 'access_token',
      client_id: world.web.id,
      grant_id: row!.grant_id,
      payload: '{}',
      exp: Math.floor(Date.now() / 1000) + 600,
    },
  }
}

async function stateOf(hash: Buffer, successor: NewToken): Promise<{ used: boolean; issued: boolean }> {
  const rows = await many<{ hash: Buffer; used: boolean }>(
    database.db,
    sql`select hash, consumed_at is not null as used from tokens where hash in (${hash}, ${successor.hash})`,
  )
  return {
    used: rows.find((row) => row.hash.equals(hash))!.used,
    issued: rows.some((row) => row.hash.equals(successor.hash)),
  }
}
