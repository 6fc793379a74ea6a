// The table of codes, device codes, access tokens and refresh tokens: reading one together with everything that decides whether it lives,
// and the one statement that uses codes or refresh tokens up and issues their successors.
import type { AdapterPayload } from 'oidc-provider'
import type { GrantedScopes } from '../../core/grants/store.ts'
import type { User } from '../../core/users/store.ts'
import { type Answers, LATELY } from '../../db/answers.ts'
import { batched, whileLocked } from '../../db/batch.ts'
import { type Db, many, maybe, named, run, sql } from '../../db/pool.ts'
import { SWEEP_BATCH, type Sweep } from '../../db/sweep.ts'
import { type Exchanges, exchanges } from './exchanges.ts'
import {
  byteaArray,
  CLIENT_LIVES,
  NEW_TOKEN,
  type NewToken,
  type TokenKind,
  tokensAsJson,
} from './token-rows.ts'

/** A token whose grant, client and user live, with what the provider asks for next. Times are seconds since the epoch. */
export interface TokenRow {
  kind: TokenKind
  client_id: string
  payload: Record<string, unknown>
  iat: number
  exp: number
  consumed: boolean
  /** The exchange that used it up a moment ago: whether that was answered, {@link Answers} know. */
  used_by: string | null
  grant_id: string | null
  user_id: string | null
  grant_payload: GrantedScopes | null
  grant_iat: number | null
  grant_exp: number | null
  email: string | null
  email_verified: boolean | null
  name: string | null
  role: User['role'] | null
  /** Scopes that were removed since it was issued, parted by spaces. */
  gone_scopes: string | null
}

/** What a scope is without what was removed of it since its token was issued; undefined when nothing is left. */
export function scopeLeft(
  scope: string | undefined,
  { gone_scopes }: Pick<TokenRow, 'gone_scopes'>,
): string | undefined {
  if (gone_scopes === null) return scope
  const gone = new Set(gone_scopes.split(' '))
  const left = scope?.split(' ').filter((name) => !gone.has(name))
  return left?.join(' ') || undefined
}

/** A stored token as the provider reads it; a scope that was removed since is none of its scopes. */
export function tokenPayload(model: string, value: string, row: TokenRow): AdapterPayload {
  return {
    ...row.payload,
    ...(row.gone_scopes === null ? {} : { scope: scopeLeft(row.payload.scope as string, row) }),
    kind: model,
    jti: value,
    iat: row.iat,
    exp: row.exp,
    clientId: row.client_id,
    ...(row.grant_id === null ? {} : { grantId: row.grant_id, accountId: row.user_id! }),
    ...(row.consumed ? { consumed: true } : {}),
  }
}

/** Reads and writes of the tokens table. Tokens are named by SHA-256 of their value. */
export interface TokenStore {
  /** A token that lives: its grant is not revoked, its client active, its user enabled. It may be expired or consumed. */
  find(hash: Buffer): Promise<TokenRow | undefined>
  /** Stores one token, or renews a stored one. @returns false when its grant or client no longer lives. */
  insert(token: NewToken): Promise<boolean>
  /** Uses a token up. @returns false when somebody else did, or it no longer lives. */
  consume(hash: Buffer): Promise<boolean>
  /** See {@link Exchanges.exchange}. */
  exchange: Exchanges['exchange']
  destroy(hash: Buffer): Promise<void>
  /** Ends what runs in the background. */
  close(): Promise<void>
}

/** The tokens table in Postgres. @param answers learns of the exchanges that have happened. */
export function tokenStore(db: Db, answers: Answers): TokenStore {
  const read = batched((hashes: Buffer[]) => readTokens(db, hashes))
  const issue = batched((tokens: NewToken[]) => issueToClients(db, tokens))
  const { exchange, undo, close } = exchanges(db, answers)
  return {
    async find(hash) {
      await undo(hash)
      return read(hash)
    },
    insert: (token) => (token.grant_id === null ? whileLocked(() => issue(token)) : insertOnGrant(db, token)),
    async consume(hash) {
      const consumed = await run(
        db,
        sql`update tokens set consumed_at = now() where hash = ${hash} and consumed_at is null`,
      )
      return consumed === 1
    },
    exchange,
    async destroy(hash) {
      await run(db, sql`delete from tokens where hash = ${hash}`)
    },
    close,
  }
}

/** Expired tokens; a consumed one stays until it expires, so that a replay is recognized. */
export const sweepTokens: Sweep = (db) =>
  run(
    db,
    sql`delete from tokens where hash = any(array(
          select hash from tokens where expires_at < now() limit ${SWEEP_BATCH} for update skip locked))`,
  )

async function readTokens(db: Db, hashes: Buffer[]): Promise<(TokenRow | undefined)[]> {
  const rows = await many<TokenRow & { hash: Buffer }>(
    db,
    named(
      'tokens by hash',
      sql`select t.hash, t.kind, t.client_id, t.payload, t.consumed_at is not null as consumed,
                 case when t.consumed_at > now() - ${LATELY} then t.exchange_id end as used_by,
                 -- Rounded down: an iat in the future would be refused by whoever looks closely.
                 floor(extract(epoch from t.issued_at))::float8 as iat, round(extract(epoch from t.expires_at))::float8 as exp,
                 t.grant_id, g.user_id, g.payload as grant_payload,
                 floor(extract(epoch from g.created_at))::float8 as grant_iat,
                 floor(extract(epoch from g.ends_at))::float8 as grant_exp,
                 u.email, u.email_verified, u.name, u.role,
                 (select string_agg(s.name, ' ') from resource_scopes s
                  where (s.removed_at is not null or s.returned_at > t.issued_at)
                    and s.name = any(string_to_array(t.payload ->> 'scope', ' '))) as gone_scopes
          from tokens t
          join clients c on c.id = t.client_id
          left join grants g on g.id = t.grant_id
          left join users u on u.id = g.user_id
          where t.hash = any(${byteaArray(hashes)}::bytea[])
            and ${CLIENT_LIVES}
            and (t.grant_id is null
                 or (g.revoked_at is null and (g.ends_at is null or g.ends_at > now()) and u.disabled_at is null))`,
    ),
  )
  if (hashes.length === 1) return [rows[0]]
  const byHash = new Map(rows.map((row) => [row.hash.toString('latin1'), row]))
  return hashes.map((hash) => byHash.get(hash.toString('latin1')))
}

// The client is looked at in the statement itself: whatever a node remembers of it, a suspended one gets no token. One that
// somebody is changing is skipped, as the foreign key would wait for it and make all others wait.
async function issueToClients(db: Db, tokens: NewToken[]): Promise<(boolean | 'locked')[]> {
  const issued = await run(
    db,
    named(
      'issue to clients',
      sql`insert into tokens (hash, kind, client_id, payload, expires_at)
          select decode(n.hash, 'hex'), n.kind, c.id, n.payload, to_timestamp(n.exp)
          from json_to_recordset(${tokensAsJson(tokens)}) as n (${NEW_TOKEN})
          -- By their ids: Postgres takes any JSON for a hundred rows, and would read the whole table for them.
          join clients c on c.id = n.client_id and c.id = any(${[...new Set(tokens.map((token) => token.client_id))]})
            and ${CLIENT_LIVES}
          for key share of c skip locked
          on conflict (hash) do update set payload = excluded.payload, expires_at = excluded.expires_at`,
    ),
  )
  if (issued === tokens.length) return tokens.map(() => true)
  const [stored, living] = await Promise.all([
    readTokens(
      db,
      tokens.map(({ hash }) => hash),
    ),
    livingClients(
      db,
      tokens.map(({ client_id }) => client_id),
    ),
  ])
  return tokens.map(({ client_id }, i) => stored[i] !== undefined || (living.has(client_id) && 'locked'))
}

async function livingClients(db: Db, ids: string[]): Promise<Set<string>> {
  const rows = await many<{ id: string }>(
    db,
    sql`select c.id from clients c where c.id = any(${ids}::text[]) and ${CLIENT_LIVES}`,
  )
  return new Set(rows.map(({ id }) => id))
}

async function insertOnGrant(db: Db, { hash, kind, grant_id, payload, exp }: NewToken): Promise<boolean> {
  const inserted = await maybe(
    db,
    named(
      'insert token on grant',
      sql`insert into tokens (hash, kind, client_id, grant_id, payload, expires_at)
          select ${hash}::bytea, ${kind}::text, g.client_id, g.id, ${payload}::json, to_timestamp(${exp}::float8)
          from grants g
          where g.id = ${grant_id}::text and g.revoked_at is null
          on conflict (hash) do update set payload = excluded.payload, expires_at = excluded.expires_at
          returning true`,
    ),
  )
  return inserted !== undefined
}
