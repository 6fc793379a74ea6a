// Client secrets: several may be valid at once, so that one can be replaced without an outage. Only digests are kept.
import { timingSafeEqual } from 'node:crypto'
import type { Actor } from '../../base/audit-events.ts'
import { digest, newCredential } from '../../base/credentials.ts'
import { type Db, many, maybe, one, run, sql, tx } from '../../db/pool.ts'
import { record } from '../audit/store.ts'
import { checkClientEscalation } from '../escalation/clients.ts'
import { InvalidMetadata } from './metadata.ts'

const PREFIX_LENGTH = 12
const MOST_LIVE = 10
const MOST_NAME = 100

/** What authentication compares a presented secret with. */
export interface StoredSecret {
  id: string
  hash: Buffer
  expires_at: Date | null
}

/** A secret in a list, without its value, which nobody can show again. */
export interface SecretRow {
  id: string
  name: string
  /** The first characters. */
  prefix: string
  created_at: Date
  expires_at: Date | null
  /** To the minute. */
  last_used_at: Date | null
}

/** The secrets of a client that are valid now, newest first. */
export function listSecrets(db: Db, client_id: string): Promise<SecretRow[]> {
  return many<SecretRow>(
    db,
    sql`select id, name, prefix, created_at, expires_at, last_used_at
        from client_secrets
        where client_id = ${client_id} and revoked_at is null and (expires_at is null or expires_at > now())
        order by created_at desc, id`,
  )
}

/** Adds a secret to a client. @returns the value, shown this once. */
export async function addSecret(db: Db, client_id: string, name = ''): Promise<string> {
  const secrets = await addSecrets(db, [client_id], name)
  return secrets.get(client_id)!
}

/** Adds a secret to each of these clients. @returns the values by client, shown this once. */
export async function addSecrets(db: Db, client_ids: string[], name = ''): Promise<Map<string, string>> {
  const secrets = new Map(client_ids.map((id) => [id, newCredential('client_secret')]))
  if (secrets.size === 0) return secrets
  const rows = [...secrets].map(([client_id, secret]) => ({
    client_id,
    hash: digest(secret).toString('hex'),
    prefix: prefixOf(secret),
  }))
  await run(
    db,
    sql`insert into client_secrets (client_id, name, hash, prefix)
        select client_id, ${name}, decode(hash, 'hex'), prefix
        from json_to_recordset(${JSON.stringify(rows)}) as secret (client_id text, hash text, prefix text)`,
  )
  return secrets
}

/**
 * Gives a confidential client one more secret; those it has go on. @param name tells it from the others, e.g. where it is used.
 * @returns the value, shown this once, or undefined when there is no such confidential client.
 * @throws InvalidMetadata, LesserPower
 */
export function addNamedSecret(
  db: Db,
  client_id: string,
  name: string,
  by: Actor,
): Promise<string | undefined> {
  const text = name.trim()
  if (!text) throw new InvalidMetadata('name', 'is missing, e.g. "web server 2"')
  if (text.length > MOST_NAME) throw new InvalidMetadata('name', `has more than ${MOST_NAME} characters`)
  if (/\p{Cc}/u.test(text)) throw new InvalidMetadata('name', 'holds control characters')
  return tx(db, async (t) => {
    await checkClientEscalation(t, client_id, by)
    if (!(await lockConfidential(t, client_id))) return undefined
    await checkRoom(t, client_id, 'name')
    const secret = await addSecret(t, client_id, text)
    await record(
      t,
      { type: 'client.secret_added', client_id, secret_prefix: prefixOf(secret), name: text },
      by,
    )
    return secret
  })
}

/** Ends one secret at once. @returns whether it was valid until now. @throws LesserPower */
export function revokeSecret(db: Db, client_id: string, id: string, by: Actor): Promise<boolean> {
  return tx(db, async (t) => {
    await checkClientEscalation(t, client_id, by)
    const revoked = await maybe<{ prefix: string; name: string }>(
      t,
      sql`update client_secrets set revoked_at = now()
          where id = ${id} and client_id = ${client_id} and revoked_at is null
            and (expires_at is null or expires_at > now())
          returning prefix, name`,
    )
    if (!revoked) return false
    const { prefix: secret_prefix, name } = revoked
    await record(t, { type: 'client.secret_revoked', client_id, secret_prefix, name }, by)
    return true
  })
}

/**
 * Gives a confidential client a new secret; those it had stay valid for the overlap, then end.
 * @param overlapSeconds 0 ends them at once. @returns the new value, or undefined when there is no such confidential client.
 * @throws InvalidMetadata when as many as there may be would go on, LesserPower
 */
export function rotateSecret(
  db: Db,
  client_id: string,
  by: Actor,
  { overlapSeconds = 0 }: { overlapSeconds?: number } = {},
): Promise<string | undefined> {
  return tx(db, async (t) => {
    await checkClientEscalation(t, client_id, by)
    if (!(await lockConfidential(t, client_id))) return undefined
    if (overlapSeconds > 0) await checkRoom(t, client_id, 'overlap_seconds')
    await run(
      t,
      sql`update client_secrets
          set expires_at = least(expires_at, now() + make_interval(secs => ${overlapSeconds}))
          where client_id = ${client_id} and revoked_at is null`,
    )
    const secret = await addSecret(t, client_id)
    await record(t, { type: 'client.secret_rotated', client_id, secret_prefix: prefixOf(secret) }, by)
    return secret
  })
}

/** The secret that a presented value equals, in a time that does not depend on which one it is or how similar it is. */
export function matchingSecret(stored: readonly StoredSecret[], presented: string): StoredSecret | undefined {
  const hash = digest(presented)
  const now = Date.now()
  const fits = stored.map(
    (secret) =>
      timingSafeEqual(secret.hash, hash) && (!secret.expires_at || secret.expires_at.getTime() > now),
  )
  return stored[fits.indexOf(true)]
}

// A limit, because authentication compares with each secret.
async function checkRoom(t: Db, client_id: string, field: string): Promise<void> {
  const { live } = await one<{ live: number }>(
    t,
    sql`select count(*)::int as live from client_secrets
        where client_id = ${client_id} and revoked_at is null and (expires_at is null or expires_at > now())`,
  )
  if (live < MOST_LIVE) return
  throw new InvalidMetadata(field, `there are ${live} secrets already; revoke one that is not used`)
}

function prefixOf(secret: string): string {
  return secret.slice(0, PREFIX_LENGTH)
}

async function lockConfidential(db: Db, client_id: string): Promise<boolean> {
  const client = await maybe(
    db,
    sql`select id from clients
        where id = ${client_id} and deleted_at is null and type in ('web', 'service', 'resource_server')
        for update`,
  )
  return client !== undefined
}
