// What oidc-provider asks of storage, as one list of behaviours: run on the provider's own adapter in memory, which says what
// is asked, and on ours. Below it, what only ours promises.
import { randomBytes } from 'node:crypto'
import { setTimeout as sleep } from 'node:timers/promises'
import { afterAll, beforeAll, describe, expect, test } from '@jest/globals'
import type { Context } from 'koa'
import type { Adapter, AdapterPayload } from 'oidc-provider'
import { SYSTEM } from '../../src/base/audit-events.ts'
import { digest, newCredential } from '../../src/base/credentials.ts'
import { secretsFrom } from '../../src/base/secrets.ts'
import { clientDirectory } from '../../src/core/clients/cache.ts'
import { createClient } from '../../src/core/clients/create.ts'
import { giveConsent } from '../../src/core/grants/consents.ts'
import { revokeGrant } from '../../src/core/grants/store.ts'
import { sessionRotations } from '../../src/core/users/sessions.ts'
import { createUser } from '../../src/core/users/store.ts'
import { type Answers, answersOfNodes } from '../../src/db/answers.ts'
import { many, type Pool, run, sql } from '../../src/db/pool.ts'
import { blockLimits } from '../../src/http/block-limits.ts'
import { createLogger } from '../../src/http/log.ts'
import { adapterFactory } from '../../src/protocol/adapters/adapter.ts'
import { unverifiedClientLimits } from '../../src/protocol/rules/unverified-clients.ts'
import { userCodeRateLimit } from '../../src/protocol/rules/user-code-limit.ts'
import { giveBacks, saveNewState } from '../../src/protocol/storage/state.ts'
import { tokenStore } from '../../src/protocol/storage/tokens.ts'
import { noteAnswered } from '../../src/protocol/storage/unit-of-work.ts'
import { createTestDatabase, type TestDatabase } from '../support/database.ts'
import { inOneOfFive } from '../support/patience.ts'
import { SECRET_KEYS } from '../support/server.ts'

/** A storage under test. */
interface Storage {
  adapter(model: string): Adapter
  /** The id of a grant that lives. */
  grant(): Promise<string>
  client_id: string
  user_id: string
}

const ISSUER = 'http://localhost:3000'
const PROVIDER = new URL('../../node_modules/oidc-provider/lib/', import.meta.url).href

const TOKENS = {
  AuthorizationCode: 'authorization_code',
  AccessToken: 'access_token',
  RefreshToken: 'refresh_token',
  ClientCredentials: 'client_credentials',
} as const
const STATES = ['Session', 'Interaction', 'PushedAuthorizationRequest', 'ReplayDetection'] as const
const MODELS = [...(Object.keys(TOKENS) as (keyof typeof TOKENS)[]), ...STATES]
const ON_GRANT = ['AuthorizationCode', 'AccessToken', 'RefreshToken'] as const
const CONSUMED = ['AuthorizationCode', 'RefreshToken', 'PushedAuthorizationRequest'] as const
type Model = (typeof MODELS)[number]

let database: TestDatabase
let ours: Storage
let memory: Storage
let answers: Answers
let inRequest: <T>(work: () => Promise<T>) => Promise<T>
beforeAll(async () => {
  // The provider exports neither; both are what it runs with itself.
  const { createMemoryAdapter } = await import(`${PROVIDER}adapters/memory_adapter.js`)
  const { default: requests } = await import(`${PROVIDER}helpers/als.js`)
  inRequest = (work) => {
    const ctx = requestOfBrowser()
    return requests.run(ctx, async () => {
      const done = await work()
      noteAnswered(answers, ctx as unknown as Context)
      return done
    })
  }
  database = await createTestDatabase()
  ours = await inPostgres(database.db)
  memory = {
    adapter: createMemoryAdapter(),
    grant: async () => randomBytes(8).toString('hex'),
    client_id: 'c_memory',
    user_id: 'somebody',
  }
})
afterAll(() => database.drop())

// The browser that every request here comes from. It sends the cookie of an interaction to the address of that one only.
const kept = new Map<string, string>()
let asked = ''
function requestOfBrowser(): object {
  const state = {}
  return {
    state,
    get path() {
      return `/interaction/${asked}`
    },
    cookies: {
      get: (name: string) => kept.get(`${name} /interaction/${asked}`) ?? kept.get(`${name} /`),
      set(name: string, value: string | null, { path }: { path: string }) {
        if (value === null) kept.delete(`${name} ${path}`)
        else kept.set(`${name} ${path}`, value)
      },
    },
  }
}

/** Storage whose calls say which one they are about, as the address of a request does. */
function addressed(adapter: Adapter): Adapter {
  const calls = Object.entries(adapter).map(([name, call]) => [
    name,
    (id: string, ...more: unknown[]) => {
      asked = id
      return (call as (...args: unknown[]) => unknown)(id, ...more)
    },
  ])
  return Object.fromEntries(calls) as Adapter
}

describe.each([
  ['the provider’s adapter in memory', () => memory],
  ['our adapter on Postgres', () => ours],
])('%s', (_, storage) => {
  test.each(MODELS)('finds a stored %s again, with all that it holds', async (model) => {
    const { adapter, id, payload } = await stored(storage(), model)

    const found = await inRequest(() => adapter.find(id))

    const { iat, ...rest } = payload
    expect(found).toMatchObject(rest)
    if (iat) expect(Math.abs((found as AdapterPayload).iat! - iat)).toBeLessThanOrEqual(2)
    if (CONSUMED.includes(model as (typeof CONSUMED)[number]))
      expect((found as AdapterPayload).consumed).toBeFalsy()
  })

  test.each(MODELS)('finds no %s that was never stored', async (model) => {
    const adapter = storage().adapter(model)

    for (const id of [
      newId(model),
      '',
      'x',
      '../../etc/passwd',
      '__proto__',
      '\0',
      'ÿ🗝\ud800',
      'x'.repeat(5000),
    ]) {
      expect(await inRequest(() => adapter.find(id))).toBeUndefined()
    }
  })

  // A proof that was seen is never forgotten before its time, and nobody asks for it. An interaction goes on once, see below.
  test.each(MODELS.filter((model) => model !== 'ReplayDetection' && model !== 'Interaction'))(
    'forgets a %s, and does not mind when it is gone already',
    async (model) => {
      const { adapter, id } = await stored(storage(), model)
      const other = await stored(storage(), model)

      await inRequest(async () => adapter.destroy(id))
      await inRequest(async () => adapter.destroy(id))

      expect(await inRequest(() => adapter.find(id))).toBeUndefined()
      expect(await inRequest(() => adapter.find(other.id))).toBeDefined()
    },
  )

  test('keeps models apart: an id of one is not found as another', async () => {
    for (const model of MODELS) {
      const { id } = await stored(storage(), model)
      for (const other of MODELS) {
        if (other === model) continue
        expect(await inRequest(() => storage().adapter(other).find(id))).toBeUndefined()
      }
    }
  })

  test('ends everything at its time: it is not found, or its exp says so', async () => {
    const all = await Promise.all(MODELS.map((model) => stored(storage(), model, { seconds: 1 })))

    await sleep(2100)

    for (const { adapter, id } of all) {
      const found = (await inRequest(() => adapter.find(id))) as AdapterPayload | undefined
      expect(found?.exp ?? 0).toBeLessThanOrEqual(Math.floor(Date.now() / 1000))
    }
  })

  test.each(CONSUMED)('marks a %s as consumed, and still finds it', async (model) => {
    const { adapter, id, payload } = await stored(storage(), model)
    const untouched = await stored(storage(), model)

    await inRequest(async () => adapter.consume(id))

    const found = (await inRequest(() => adapter.find(id))) as AdapterPayload
    expect(found.consumed).toBeTruthy()
    expect(found).toMatchObject({ jti: payload.jti, kind: model })
    expect(
      ((await inRequest(() => untouched.adapter.find(untouched.id))) as AdapterPayload).consumed,
    ).toBeFalsy()
  })

  test.each(ON_GRANT)('ends every %s of a grant, and none of another', async (model) => {
    const grantId = await storage().grant()
    const first = await stored(storage(), model, { grantId })
    const second = await stored(storage(), model, { grantId })
    const foreign = await stored(storage(), model)

    await first.adapter.revokeByGrantId(grantId)

    for (const { adapter, id } of [first, second])
      expect(await inRequest(() => adapter.find(id))).toBeUndefined()
    expect(await inRequest(() => foreign.adapter.find(foreign.id))).toBeDefined()
  })

  test('does not mind ending a grant that nobody knows', async () => {
    for (const model of ON_GRANT) await storage().adapter(model).revokeByGrantId('nobody')
  })

  test('finds a session by its uid, which stays when the session gets a new id', async () => {
    const { adapter, id, payload } = await stored(storage(), 'Session')
    const uid = payload.uid as string
    expect(await inRequest(() => adapter.findByUid(uid))).toMatchObject({ uid, accountId: storage().user_id })

    await inRequest(async () => {
      await adapter.find(id)
      await adapter.destroy(id)
      await adapter.upsert('renewed id', { ...payload, jti: 'renewed id' }, 60)
    })

    expect(await inRequest(() => adapter.find(id))).toBeUndefined()
    expect(await inRequest(() => adapter.find('renewed id'))).toMatchObject({ uid, jti: 'renewed id' })
    expect(await inRequest(() => adapter.findByUid(uid))).toMatchObject({ uid, accountId: storage().user_id })
    expect(await inRequest(() => adapter.findByUid('nobody'))).toBeUndefined()
  })

  test('replaces what it holds of a state, and its time', async () => {
    const models = ['Session', 'Interaction', 'PushedAuthorizationRequest'] as const
    await inOneOfFive(async () => {
      const all = await Promise.all(models.map((model) => stored(storage(), model, { seconds: 2 })))
      for (const { adapter, id, payload } of all) {
        await inRequest(async () => {
          await adapter.find(id)
          await adapter.upsert(id, { ...payload, exp: payload.exp! + 60, loginTs: 7, trusted: ['scope'] }, 60)
        })
      }

      await sleep(2100)

      for (const { adapter, id, payload } of all) {
        const renewed = { exp: payload.exp! + 60, loginTs: 7, trusted: ['scope'] }
        expect(await inRequest(() => adapter.find(id))).toMatchObject(renewed)
      }
    })
  })

  test.each(STATES)('takes ids of a %s as they come', async (model) => {
    const ids = [
      "a'b--",
      'a b',
      'ünïcødé 🗝',
      '%00',
      'a\\b',
      '{"a":1}',
      'constructor',
      'A',
      'a',
      'x'.repeat(3000),
    ]

    for (const id of ids) {
      const payload = payloadOf(storage(), model, id, 60)
      await inRequest(async () => storage().adapter(model).upsert(id, payload, 60))
      expect(await inRequest(() => storage().adapter(model).find(id))).toMatchObject({ jti: id })
    }
  })

  test('gives back text as it came: quotes, line feeds, backslashes, emoji', async () => {
    const state = '\'"\n\t\\ \\u0000 \\ud800 </script> 🗝️ \u2028 %s $1 {{}}'
    const adapter = storage().adapter('Interaction')
    const payload = { ...payloadOf(storage(), 'Interaction', 'text', 60), params: { state, client_id: 'x' } }

    await inRequest(async () => adapter.upsert('text', payload, 60))

    expect(await inRequest(() => adapter.find('text'))).toMatchObject({ params: { state } })
  })
})

describe('our adapter promises besides', () => {
  test.each(CONSUMED)('that a %s is consumed once, also by twenty at the same time', async (model) => {
    const { adapter, id } = await stored(ours, model)

    const tries = await Promise.allSettled(
      Array.from({ length: 20 }, () => inRequest(async () => adapter.consume(id))),
    )

    const refused = tries.flatMap((each) => (each.status === 'rejected' ? [each.reason] : []))
    expect(refused).toHaveLength(19)
    for (const error of refused) {
      expect(error.error).toBe(
        model === 'PushedAuthorizationRequest' ? 'invalid_request_uri' : 'invalid_grant',
      )
    }
  })

  test('that a proof is seen once, also by twenty at the same time', async () => {
    const adapter = ours.adapter('ReplayDetection')
    const payload = payloadOf(ours, 'ReplayDetection', 'proof', 60)

    const tries = await Promise.allSettled(
      Array.from({ length: 20 }, () => inRequest(async () => adapter.upsert('proof', payload, 60))),
    )

    expect(tries.filter(({ status }) => status === 'fulfilled')).toHaveLength(1)
  })

  test('that no id stands in the database in clear', async () => {
    const ids = (await Promise.all(MODELS.map((model) => stored(ours, model)))).map(({ id }) => id)

    const rows = await Promise.all(
      [
        sql`select t::text as row from tokens t`,
        sql`select s::text as row from sessions s`,
        sql`select p::text as row from provider_state p`,
      ].map((query) => many<{ row: string }>(database.db, query)),
    )

    const text = rows
      .flat()
      .map(({ row }) => row)
      .join('\n')
    expect(text.length).toBeGreaterThan(1000)
    for (const [i, id] of ids.entries()) {
      expect(text).not.toContain(id)
      // Nothing is stored of an interaction that nobody has decided about.
      const isStored = MODELS[i] !== 'Interaction'
      expect([MODELS[i], text.includes(digest(id).toString('hex'))]).toEqual([MODELS[i], isStored])
    }
  })

  test.each([...ON_GRANT])('that a %s cannot be stored on a grant that was revoked', async (model) => {
    const grantId = await ours.grant()
    await revokeGrant(database.db, grantId, 'revoked_by_admin', SYSTEM)

    await expect(stored(ours, model, { grantId })).rejects.toMatchObject({ error: 'invalid_grant' })
  })

  test.each([...ON_GRANT])(
    'that a %s dies with its grant, its client, its person, and its time',
    async (model) => {
      for (const end of [
        (id: string) => sql`update grants set revoked_at = now() where id = ${id}`,
        (id: string) => sql`update grants set ends_at = now() where id = ${id}`,
        () => sql`update clients set suspended_at = now() where id = ${ours.client_id}`,
        () => sql`update clients set deleted_at = now() where id = ${ours.client_id}`,
        () => sql`update users set disabled_at = now() where id = ${ours.user_id}`,
      ]) {
        const grantId = await ours.grant()
        const { adapter, id } = await stored(ours, model, { grantId })
        expect(await adapter.find(id)).toBeDefined()

        await run(database.db, end(grantId))

        expect(await adapter.find(id)).toBeUndefined()
        expect(await ours.adapter('Grant').find(grantId)).toBeUndefined()
        await run(database.db, sql`update clients set suspended_at = null, deleted_at = null`)
        await run(database.db, sql`update users set disabled_at = null`)
      }
    },
  )

  test('that a token of a service dies with its client', async () => {
    const { adapter, id } = await stored(ours, 'ClientCredentials')

    await run(database.db, sql`update clients set suspended_at = now()`)

    expect(await adapter.find(id)).toBeUndefined()
    await expect(stored(ours, 'ClientCredentials')).rejects.toMatchObject({ error: 'invalid_grant' })
    await run(database.db, sql`update clients set suspended_at = null`)
  })

  test.each(['Session', 'Interaction', 'PushedAuthorizationRequest', 'RefreshToken'] as const)(
    'that text Postgres cannot hold in a %s is the sender’s mistake',
    async (model) => {
      const params = { state: 'a\0b' }
      const half = { state: `a${'\ud800'}b` }

      for (const extra of [{ params }, { params: half }]) {
        const payload = { ...payloadOf(ours, model, newId(model), 60), ...extra, grantId: await ours.grant() }
        const storing = async () => ours.adapter(model).upsert(payload.jti!, payload, 60)
        await expect(inRequest(storing)).rejects.toMatchObject({ error: 'invalid_request', status: 400 })
      }
    },
  )

  test('that a session which ended elsewhere is not brought back by a request under way', async () => {
    const { adapter, id, payload } = await stored(ours, 'Session')

    await inRequest(async () => {
      await adapter.find(id)
      await run(database.db, sql`delete from sessions where hash = ${digest(id)}`)
      await adapter.upsert(id, payload, 60)
    })

    expect(await adapter.find(id)).toBeUndefined()
  })

  test('that the grant says what was allowed, and a client what was registered', async () => {
    const id = await ours.grant()

    expect(await ours.adapter('Grant').find(id)).toMatchObject({
      jti: id,
      kind: 'Grant',
      accountId: ours.user_id,
      clientId: ours.client_id,
      openid: { scope: 'openid email' },
      exp: expect.any(Number),
    })
    expect(await ours.adapter('Client').find(ours.client_id)).toMatchObject({
      client_id: ours.client_id,
      redirect_uris: ['https://app.example/callback'],
      scope: 'openid email',
    })
    for (const unknown of ['nobody', '', '\0', '__proto__', 'x'.repeat(200)]) {
      expect(await ours.adapter('Grant').find(unknown.replace('\0', '?'))).toBeUndefined()
      expect(await ours.adapter('Client').find(unknown)).toBeUndefined()
    }
  })

  test('that an interaction goes on once, with what was decided', async () => {
    const { adapter, id } = await stored(ours, 'Interaction')
    await expect(inRequest(async () => adapter.destroy(id))).rejects.toThrow('invalid_request')
    const decided = JSON.stringify({ client_id: 'c_x', result: { consent: { grantId: 'g' } } })
    expect(await saveNewState(database.db, 'decision', id, decided, 60)).toBe(true)
    expect(await saveNewState(database.db, 'decision', id, decided, 60)).toBe(false)
    expect(await inRequest(() => adapter.find(id))).toMatchObject({ result: { consent: { grantId: 'g' } } })

    const tries = await Promise.allSettled(
      Array.from({ length: 20 }, () => inRequest(async () => adapter.destroy(id))),
    )

    expect(tries.filter(({ status }) => status === 'fulfilled')).toHaveLength(1)
    expect(await inRequest(() => adapter.find(id))).toBeUndefined()
  })

  test('that a model of a feature which is off is refused rather than half stored', async () => {
    const adapter = ours.adapter('BackchannelAuthenticationRequest')

    await expect(async () => adapter.upsert('x', {}, 60)).rejects.toThrow(
      'BackchannelAuthenticationRequest is not stored this way',
    )
  })
})

async function inPostgres(db: Pool): Promise<Storage> {
  const user = await createUser(db, { email: 'jamie@example.com', name: 'Jamie' }, SYSTEM)
  const { client } = await createClient(
    db,
    {
      name: 'App',
      type: 'web',
      redirect_uris: ['https://app.example/callback'],
      scopes: ['openid', 'email'],
    },
    SYSTEM,
  )
  answers = answersOfNodes(db)
  const limits = blockLimits()
  const parts = {
    db,
    tokens: tokenStore(db, answers),
    answers,
    clients: clientDirectory(db, () => false),
    issuer: ISSUER,
    secrets: secretsFrom([SECRET_KEYS]),
    countUserCode: userCodeRateLimit(db, limits),
    unverifiedLimits: unverifiedClientLimits({ db, limits, log: createLogger('silent') }),
    uses: giveBacks(db),
    rotations: sessionRotations(db),
  }
  return {
    adapter: (model) => addressed(adapterFactory(parts)(model) as Adapter),
    client_id: client.id,
    user_id: user.id,
    grant: () =>
      giveConsent(
        db,
        {
          user_id: user.id,
          client: { id: client.id, name: client.name, host: 'app.example' },
          scopes: ['openid', 'email'],
          rejected_scopes: [],
          expires_at: null,
          granted: { openid: { scope: 'openid email' } },
          device: { id: 'uid', name: 'A device' },
        },
        SYSTEM,
      ),
  }
}

interface Stored {
  adapter: Adapter
  id: string
  payload: AdapterPayload
}

/** Stores one of a model, on a grant of its own unless told otherwise. */
async function stored(
  storage: Storage,
  model: Model,
  { grantId, seconds = 60 }: { grantId?: string; seconds?: number } = {},
): Promise<Stored> {
  const id = newId(model)
  const adapter = storage.adapter(model)
  const payload = payloadOf(storage, model, id, seconds)
  if ((ON_GRANT as readonly string[]).includes(model)) payload.grantId = grantId ?? (await storage.grant())
  await inRequest(async () => adapter.upsert(id, payload, seconds))
  return { adapter, id, payload }
}

function newId(model: Model): string {
  return model in TOKENS
    ? newCredential(TOKENS[model as keyof typeof TOKENS])
    : randomBytes(24).toString('base64url')
}

/** What the provider would store. */
function payloadOf(storage: Storage, model: Model, jti: string, seconds: number): AdapterPayload {
  const iat = Math.floor(Date.now() / 1000)
  const common = { jti, kind: model, exp: iat + seconds }
  if (model in TOKENS) {
    return {
      ...common,
      iat,
      clientId: storage.client_id,
      scope: 'openid email',
      ...(model === 'ClientCredentials'
        ? {}
        : { accountId: storage.user_id, sessionUid: 'uid', gty: 'authorization_code' }),
      ...(model === 'RefreshToken' ? { rotations: 3, iiat: iat - 5, jkt: 'k'.repeat(43) } : {}),
      ...(model === 'AuthorizationCode'
        ? { codeChallenge: 'c'.repeat(43), codeChallengeMethod: 'S256' }
        : {}),
    }
  }
  if (model === 'Session') {
    return {
      ...common,
      uid: randomBytes(16).toString('base64url'),
      accountId: storage.user_id,
      loginTs: iat,
      amr: ['pwd'],
    }
  }
  if (model === 'Interaction') {
    return {
      ...common,
      returnTo: `${ISSUER}/auth/${jti}`,
      prompt: { name: 'login', reasons: ['no_session'], details: {} },
      params: { client_id: 'c_x', state: 's' },
      cid: 'cid',
    }
  }
  if (model === 'PushedAuthorizationRequest')
    return { ...common, request: 'e30.e30.', trusted: [] as unknown as string[] }
  return common
}
