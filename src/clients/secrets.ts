// Client secrets: several may be valid at once, so that one can be replaced without an outage. Only digests are kept.
import { timingSafeEqual } from 'node:crypto'
import type { Actor } from '../audit/events.ts'
import { record } from '../audit/store.ts'
import { digest, newCredential } from '../credentials.ts'
import { type Db, maybe, run, sql, tx } from '../db/pool.ts'

const PREFIX_LENGTH = 12

/** What authentication compares a presented secret with. */
export interface StoredSecret {
  hash: Buffer
  expires_at: Date | null
}

/** Adds a secret to a client. @returns the value, shown this once. */
export async function addSecret(db: Db, client_id: string): Promise<string> {
  const secret = newCredential('client_secret')
  await run(
    db,
    sql`insert into client_secrets (client_id, hash, prefix)
        values (${client_id}, ${digest(secret)}, ${secret.slice(0, PREFIX_LENGTH)})`,
  )
  return secret
}

/**
 * Gives a confidential client a new secret; those it had stay valid for the overlap, then end.
 * @param overlapSeconds 0 ends them at once. @returns the new value, or undefined when there is no such confidential client.
 */
export function rotateSecret(
  db: Db,
  client_id: string,
  by: Actor,
  { overlapSeconds = 0 }: { overlapSeconds?: number } = {},
): Promise<string | undefined> {
  return tx(db, async (t) => {
    const client = await maybe(
      t,
      sql`select id from clients
          where id = ${client_id} and deleted_at is null and type in ('web', 'service', 'resource_server')
          for update`,
    )
    if (!client) return undefined
    await run(
      t,
      sql`update client_secrets
          set expires_at = least(expires_at, now() + make_interval(secs => ${overlapSeconds}))
          where client_id = ${client_id} and revoked_at is null`,
    )
    const secret = await addSecret(t, client_id)
    await record(
      t,
      { type: 'client.secret_rotated', client_id, secret_prefix: secret.slice(0, PREFIX_LENGTH) },
      by,
    )
    return secret
  })
}

/** Whether a presented value is one of the secrets, in a time that does not depend on which or how nearly. */
export function matchesSecret(stored: readonly StoredSecret[], presented: string): boolean {
  const hash = digest(presented)
  const now = Date.now()
  return stored
    .map(
      (secret) =>
        timingSafeEqual(secret.hash, hash) && (!secret.expires_at || secret.expires_at.getTime() > now),
    )
    .includes(true)
}
