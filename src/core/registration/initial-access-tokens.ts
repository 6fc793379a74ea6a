// Initial access tokens (RFC 7591 §3). Whoever holds one may register a limited number of apps with its scopes until it expires. Only
// digests are stored.
import type { Actor } from '../../base/audit-events.ts'
import { digest, kindOf, newCredential } from '../../base/credentials.ts'
import { isPlainName } from '../../base/printable.ts'
import { CURSOR, isAfter, type Listed } from '../../db/cursor.ts'
import { type Db, fragment, many, maybe, one, run, sql, tx } from '../../db/pool.ts'
import { record } from '../audit/store.ts'
import { InvalidMetadata } from '../clients/metadata.ts'
import { checkScopes } from '../clients/scopes.ts'

/** An initial access token, without its value. */
export interface RegistrationToken {
  id: string
  prefix: string
  name: string
  /** What apps registered with it may ask for. */
  scopes: string[]
  /** Whether they may act for themselves, without a person. */
  client_credentials: boolean
  max_uses: number
  uses: number
  created_at: Date
  expires_at: Date
  last_used_at: Date | null
  revoked_at: Date | null
}

/** A new token. */
export interface NewRegistrationToken {
  name?: string
  scopes: string[]
  client_credentials?: boolean
  maxUses: number
  days: number
}

/** How many apps one token may register, and how many days it may live, at most. */
export const MOST = { uses: 10_000, days: 3650 } as const

const PREFIX_LENGTH = 12
const COLUMNS = fragment`id, prefix, name, scopes, client_credentials, max_uses, uses, created_at, expires_at,
  last_used_at, revoked_at`
const LIVES = fragment`revoked_at is null and expires_at > now() and uses < max_uses`

/** Makes a token. @returns its value, too, which is never shown again. @throws InvalidMetadata */
export function createRegistrationToken(
  db: Db,
  { name = '', scopes, client_credentials = false, maxUses, days }: NewRegistrationToken,
  by: Actor,
): Promise<{ token: RegistrationToken; value: string }> {
  const value = newCredential('initial_access')
  return tx(db, async (t) => {
    if (name.length > 100 || (name !== '' && !isPlainName(name))) {
      throw new InvalidMetadata(
        'name',
        'has more than 100 characters, or some that cannot be seen, e.g. "CI of team A"',
      )
    }
    await checkScopes(t, scopes, 'itself', undefined)
    const token = await one<RegistrationToken>(
      t,
      sql`insert into registration_tokens (hash, prefix, name, scopes, client_credentials, max_uses, expires_at)
          values (${digest(value)}, ${value.slice(0, PREFIX_LENGTH)}, ${name}, ${[...new Set(scopes)]},
                  ${client_credentials}, ${maxUses}, now() + make_interval(days => ${days}))
          returning ${COLUMNS}`,
    )
    await record(
      t,
      {
        type: 'registration_token.created',
        token_id: token.id,
        name,
        scopes: token.scopes,
        client_credentials,
        max_uses: maxUses,
        expires_at: token.expires_at.toISOString(),
      },
      by,
    )
    return { token, value }
  })
}

/** A token by id, also one that is used up, expired or revoked. */
export function findRegistrationToken(db: Db, id: string): Promise<RegistrationToken | undefined> {
  return maybe<RegistrationToken>(db, sql`select ${COLUMNS} from registration_tokens where id = ${id}`)
}

/**
 * All tokens, oldest first.
 * @param page.after the cursor of the last one already seen, or its id while it is there.
 */
export function listRegistrationTokens(
  db: Db,
  page: { limit?: number; after?: string | undefined } = {},
): Promise<Listed<RegistrationToken>[]> {
  return many<Listed<RegistrationToken>>(
    db,
    sql`select ${COLUMNS}, ${CURSOR} from registration_tokens
        where ${isAfter(fragment`registration_tokens`, page.after)}
        order by created_at, id
        limit ${page.limit ?? 100}`,
  )
}

/** Revokes a token; clients registered with it stay. @returns whether it was not revoked yet. */
export function revokeRegistrationToken(db: Db, id: string, by: Actor): Promise<boolean> {
  return tx(db, async (t) => {
    const ended = await run(
      t,
      sql`update registration_tokens set revoked_at = now() where id = ${id} and revoked_at is null`,
    )
    if (ended === 0) return false
    await record(t, { type: 'registration_token.revoked', token_id: id }, by)
    return true
  })
}

/** Whether a value would let somebody register now. It does not count as a use. */
export async function isRegistrationToken(db: Db, value: string): Promise<boolean> {
  if (kindOf(value) !== 'initial_access') return false
  const found = await maybe(
    db,
    sql`select id from registration_tokens where hash = ${digest(value)} and ${LIVES}`,
  )
  return found !== undefined
}

/**
 * Counts one use of a token. Call it in the transaction of the registration: the row stays locked until the commit, so that parallel
 * registrations are counted one after the other. @returns undefined when the token is used up, expired or revoked
 */
export function useRegistrationToken(
  db: Db,
  value: string,
  used_by: string | null,
): Promise<RegistrationToken | undefined> {
  return maybe<RegistrationToken>(
    db,
    sql`update registration_tokens set uses = uses + 1, last_used_at = now(), used_by = ${used_by}::uuid
        where hash = ${digest(value)} and ${LIVES}
        returning ${COLUMNS}`,
  )
}

/** `live`, or why it lets nobody register. */
export function tokenState({ revoked_at, expires_at, uses, max_uses }: RegistrationToken): string {
  if (revoked_at) return 'revoked'
  if (uses >= max_uses) return 'used up'
  return expires_at.getTime() <= Date.now() ? 'expired' : 'live'
}
