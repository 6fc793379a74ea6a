// Signing keys rotate while people sign in and apps work, on two nodes: no request fails, and whoever verifies with a cached
// key set, as jose caches it, refuses nothing.
import { setTimeout as sleep } from 'node:timers/promises'
import { afterAll, beforeAll, expect, test } from '@jest/globals'
import { createRemoteJWKSet, decodeProtectedHeader, jwtVerify } from 'jose'
import { SYSTEM } from '../../src/base/audit-events.ts'
import { secretsFrom } from '../../src/base/secrets.ts'
import { createClient } from '../../src/core/clients/create.ts'
import { listKeys, rotateKeys } from '../../src/core/keys/store.ts'
import { createResource } from '../../src/core/resources/store.ts'
import { createUser } from '../../src/core/users/store.ts'
import { createTestDatabase, type TestDatabase } from '../support/database.ts'
import { App, PASSWORD, Person } from '../support/flow.ts'
import { PATIENCE_MS, until } from '../support/patience.ts'
import { freePort, SECRET_KEYS, startServer, type TestServer } from '../support/server.ts'

const ROTATIONS = 3
const PAUSE_MS = 1_500
// A verifier fetches the set again no sooner than this after the last time; jose waits for 30 seconds. The pause between two
// rotations is longer, as a minute is longer than 30 seconds.
const COOLDOWN_MS = 700
const NOTES = 'https://notes.example'

let database: TestDatabase
let nodes: TestServer[]
beforeAll(async () => {
  database = await createTestDatabase()
  const env = { LOG_LEVEL: 'error' }
  const first = await startServer({ databaseUrl: database.url, env })
  // Two addresses of one server: the second node says the issuer of the first.
  const port = await freePort()
  const second = await startServer({
    databaseUrl: database.url,
    port,
    env: { ...env, ISSUER_URL: first.origin, PORT: String(port) },
  })
  nodes = [first, second]
})
afterAll(async () => {
  await Promise.all((nodes ?? []).map((node) => node.stop()))
  await database.drop()
})

test('no verification and no request fails while keys rotate several times', async () => {
  const { db } = database
  const issuer = nodes[0]!.origin
  await createResource(
    db,
    {
      identifier: NOTES,
      name: 'Notes',
      scopes: [{ name: 'notes.read', sentence: 'Read' }],
      token_format: 'jwt',
    },
    SYSTEM,
  )
  const made = await createClient(
    db,
    {
      name: 'Reader',
      type: 'web',
      scopes: ['openid', 'email', 'notes.read'],
      redirect_uris: ['https://reader.example/callback'],
      first_party: true,
    },
    SYSTEM,
  )
  const email = 'reader@example.com'
  const user = await createUser(
    db,
    { email, name: 'Reader', password: PASSWORD, email_verified: true },
    SYSTEM,
  )
  // Whoever asks finds one node or the other, as behind a balancer; keys are fetched from both.
  const appAt = (node: TestServer) =>
    new App(node.origin, made.client.id, made.secret, 'https://reader.example/callback')
  const keySets = nodes.map(({ origin }) =>
    createRemoteJWKSet(new URL(`${origin}/jwks`), {
      cooldownDuration: COOLDOWN_MS,
      timeoutDuration: PATIENCE_MS,
    }),
  )
  const seen = new Set<string>()
  let verified = 0
  const verify = async (token: string, audience: string): Promise<void> => {
    for (const keys of keySets) {
      await jwtVerify(token, keys, { issuer, audience })
      verified++
    }
    seen.add(decodeProtectedHeader(token).kid!)
  }
  await Promise.all(keySets.map((keys) => keys.reload()))

  const failures: string[] = []
  let stop = false
  const again = async (name: string, work: () => Promise<void>): Promise<void> => {
    while (!stop) {
      try {
        await work()
      } catch (error) {
        failures.push(`${name}: ${(error as Error).message}`)
        if (failures.length > 20) return
      }
      await sleep(20)
    }
  }
  const ok = <T extends { status: number; body: unknown }>(answer: T): T => {
    if (answer.status !== 200) throw new Error(`${answer.status} ${JSON.stringify(answer.body)}`)
    return answer
  }
  const scope = 'openid email notes.read'
  const person = new Person(issuer, user.id, email)
  const first = await appAt(nodes[0]!).connect(person, { scope })
  let refresh_token = first.refresh_token!

  const load = [
    again('sign-in', async () => {
      // The browser, and openid-client, which checks the ID token by itself, stay with the issuer's address.
      const tokens = await appAt(nodes[0]!).connect(person, { scope })
      await verify(tokens.id_token!, made.client.id)
      await verify(tokens.access_token, NOTES)
    }),
    ...nodes.map((node, i) =>
      again(`client credentials ${i}`, async () => {
        const form = { grant_type: 'client_credentials', scope: 'notes.read' }
        await verify(ok(await appAt(node).post('/token', form)).body.access_token, NOTES)
      }),
    ),
    again('refresh', async () => {
      for (const node of nodes) {
        const { body } = ok(await appAt(node).refresh(refresh_token))
        refresh_token = body.refresh_token
        await verify(body.id_token, made.client.id)
        await verify(body.access_token, NOTES)
      }
    }),
  ]
  const secrets = secretsFrom([SECRET_KEYS])
  const isPublished = async (): Promise<boolean> => {
    const kept = (await listKeys(db)).map(({ kid }) => kid).sort()
    const sets = await Promise.all(
      nodes.map(
        async ({ origin }) => (await (await fetch(`${origin}/jwks`)).json()) as { keys: { kid: string }[] },
      ),
    )
    return sets.every(
      ({ keys }) => JSON.stringify(keys.map(({ kid }) => kid).sort()) === JSON.stringify(kept),
    )
  }
  try {
    for (let i = 0; i < ROTATIONS; i++) {
      // Rotations are months apart: each was seen at work, and the key of the next one is known everywhere, long before that.
      await until(() => failures.length > 0 || seen.size > i)
      await sleep(PAUSE_MS)
      await rotateKeys(db, secrets, SYSTEM)
      await until(isPublished)
    }
    await until(() => failures.length > 0 || (seen.size > ROTATIONS && verified > 100))
  } finally {
    stop = true
  }
  await Promise.all(load)

  expect(failures).toEqual([])
  // Each rotation was seen at work.
  expect(seen.size).toBe(ROTATIONS + 1)
  expect(verified).toBeGreaterThan(100)
})
