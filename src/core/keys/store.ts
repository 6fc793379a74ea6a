// Signing keys. One signs, the next one is published beforehand, and a retired one stays published for a while, so that verifiers
// always find the key of a signature. Private keys are stored encrypted.
import { calculateJwkThumbprint, exportJWK, generateKeyPair, type JWK } from 'jose'
import { type Actor, SYSTEM } from '../../base/audit-events.ts'
import type { Secrets } from '../../base/secrets.ts'
import { type Db, many, maybe, run, sql, tx } from '../../db/pool.ts'
import type { Sweep } from '../../db/sweep.ts'
import { record } from '../audit/store.ts'

/** Algorithms that ID tokens are signed with; RS256 is what a client gets that asks for none (OpenID Registration §2). */
const SIGNING_ALGS = ['ES256', 'RS256'] as const

type Alg = (typeof SIGNING_ALGS)[number]

/** A signing key without its private part. */
export interface SigningKey {
  kid: string
  alg: Alg
  state: 'next' | 'current' | 'retired'
  created_at: Date
  activated_at: Date | null
  retired_at: Date | null
}

/** How long a retired key stays published: longer than ID tokens are checked, and than verifiers cache a key set. */
export const RETIRED_DAYS = 7

/** All keys, newest first, including retired ones that are no longer published. */
export function listKeys(db: Db): Promise<SigningKey[]> {
  return many<SigningKey>(
    db,
    sql`select kid, alg, state, created_at, activated_at, retired_at from signing_keys order by created_at desc, kid`,
  )
}

/** The private key set, current keys first: what the provider signs with and publishes. @throws when a key cannot be decrypted. */
export async function loadKeySet(db: Db, secrets: Secrets): Promise<{ keys: JWK[] }> {
  const rows = await many<{ kid: string; alg: Alg; private_jwk_encrypted: Buffer }>(
    db,
    sql`select kid, alg, private_jwk_encrypted from signing_keys
        where state <> 'retired' or retired_at > now() - make_interval(days => ${RETIRED_DAYS})
        order by case state when 'current' then 0 when 'next' then 1 else 2 end, alg, created_at desc`,
  )
  return {
    keys: rows.map(({ kid, alg, private_jwk_encrypted }) => ({
      ...JSON.parse(secrets.decrypt(private_jwk_encrypted)),
      kid,
      alg,
      use: 'sig',
    })),
  }
}

/** Makes the keys that are missing, and encrypts anew what an old secret key encrypted. Safe on many nodes at once. */
export async function ensureKeys(db: Db, secrets: Secrets): Promise<void> {
  const missing = await missingKeys(db)
  const fresh = await Promise.all(
    missing.map(async (place) => ({ ...place, key: await freshKey(secrets, place.alg) })),
  )
  await tx(db, async (t) => {
    await lockKeys(t)
    // Another node may have been first.
    const still = await missingKeys(t)
    for (const { alg, state, key } of fresh) {
      if (still.some((place) => place.alg === alg && place.state === state))
        await storeKey(t, key, state, SYSTEM)
    }
    const rows = await many<{ kid: string; private_jwk_encrypted: Buffer }>(
      t,
      sql`select kid, private_jwk_encrypted from signing_keys`,
    )
    for (const { kid, private_jwk_encrypted } of rows.filter((row) =>
      secrets.isSealedByOldKey(row.private_jwk_encrypted),
    )) {
      const sealed = secrets.encrypt(secrets.decrypt(private_jwk_encrypted))
      await run(t, sql`update signing_keys set private_jwk_encrypted = ${sealed} where kid = ${kid}`)
    }
  })
}

/**
 * Rotates every algorithm: the next key signs from now on, the current one retires and stays published for 7 days, a new
 * next one is made. @returns all keys afterwards.
 */
export async function rotateKeys(db: Db, secrets: Secrets, by: Actor): Promise<SigningKey[]> {
  const fresh = await freshKeys(secrets)
  return tx(db, async (t) => {
    await lockKeys(t)
    return rotateTo(t, secrets, fresh, by)
  })
}

async function rotateTo(t: Db, secrets: Secrets, fresh: FreshKey[], by: Actor): Promise<SigningKey[]> {
  for (const key of fresh) {
    const { alg } = key
    await run(
      t,
      sql`update signing_keys set state = 'retired', retired_at = now()
                     where alg = ${alg} and state = 'current'`,
    )
    const activated = await maybe<{ kid: string }>(
      t,
      sql`update signing_keys set state = 'current', activated_at = now()
          where alg = ${alg} and state = 'next' returning kid`,
    )
    const kid = activated?.kid ?? (await storeKey(t, await freshKey(secrets, alg), 'current', by))
    await storeKey(t, key, 'next', by)
    await record(t, { type: 'key.rotated', kid, alg }, by)
  }
  return listKeys(t)
}

/**
 * How long the next keys should be published before they sign. Verifiers that meet an unknown key fetch the key set again, but not too
 * often: those of jose wait 30 seconds.
 */
const PUBLISHED_SECONDS = 60

/** When the keys were rotated last, if some verifiers may not know the next keys yet. */
export async function justRotated(db: Db): Promise<Date | undefined> {
  const row = await maybe<{ retired_at: Date }>(
    db,
    sql`select retired_at from signing_keys
        where retired_at > now() - make_interval(secs => ${PUBLISHED_SECONDS})
        order by retired_at desc limit 1`,
  )
  return row?.retired_at
}

/** Rotates the keys when the current one is older than that. Of several nodes only one does it. @returns whether it did. */
export async function rotateKeysIfDue(db: Db, secrets: Secrets, days: number): Promise<boolean> {
  if (!(await isDue(db, days))) return false
  const fresh = await freshKeys(secrets)
  return tx(db, async (t) => {
    await lockKeys(t)
    // Another node may have been first.
    if (!(await isDue(t, days))) return false
    await rotateTo(t, secrets, fresh, SYSTEM)
    return true
  })
}

/** Deletes keys that were retired so long ago that nobody needs them. */
export const sweepKeys: Sweep = (db) =>
  run(
    db,
    sql`delete from signing_keys
        where state = 'retired' and retired_at < now() - make_interval(days => ${RETIRED_DAYS * 2})`,
  )

async function isDue(db: Db, days: number): Promise<boolean> {
  const due = await maybe(
    db,
    sql`select from signing_keys
        where state = 'current' and coalesce(activated_at, created_at) < now() - make_interval(days => ${days})`,
  )
  return due !== undefined
}

// Two nodes that start together, or two rotations at once, wait for each other.
async function lockKeys(db: Db): Promise<void> {
  await run(db, sql`select pg_advisory_xact_lock(hashtext('valetkey signing keys'))`)
}

/** A key that is not stored yet. */
interface FreshKey {
  kid: string
  alg: Alg
  publicJwk: JWK
  /** The private part, encrypted. */
  sealed: Buffer
}

function freshKeys(secrets: Secrets): Promise<FreshKey[]> {
  return Promise.all(SIGNING_ALGS.map((alg) => freshKey(secrets, alg)))
}

// Make keys before the transaction, because that can take seconds, and others would wait for its locks.
async function freshKey(secrets: Secrets, alg: Alg): Promise<FreshKey> {
  const { publicKey, privateKey } = await generateKeyPair(alg, { extractable: true, modulusLength: 2048 })
  const [publicJwk, privateJwk] = await Promise.all([exportJWK(publicKey), exportJWK(privateKey)])
  const kid = await calculateJwkThumbprint(publicJwk)
  return { kid, alg, publicJwk, sealed: secrets.encrypt(JSON.stringify(privateJwk)) }
}

async function storeKey(
  db: Db,
  { kid, alg, publicJwk, sealed }: FreshKey,
  state: 'current' | 'next',
  by: Actor,
): Promise<string> {
  await run(
    db,
    sql`insert into signing_keys (kid, alg, public_jwk, private_jwk_encrypted, state, activated_at)
        values (${kid}, ${alg}, ${JSON.stringify(publicJwk)}, ${sealed}, ${state},
                case when ${state === 'current'} then now() end)`,
  )
  await record(db, { type: 'key.created', kid, alg }, by)
  return kid
}

async function missingKeys(db: Db): Promise<{ alg: Alg; state: 'current' | 'next' }[]> {
  const present = await many<{ alg: Alg; state: string }>(
    db,
    sql`select alg, state from signing_keys where state in ('current', 'next')`,
  )
  return SIGNING_ALGS.flatMap((alg) =>
    (['current', 'next'] as const)
      .filter((state) => !present.some((key) => key.alg === alg && key.state === state))
      .map((state) => ({ alg, state })),
  )
}
