// The table of codes, device codes, access tokens and refresh tokens: reading one together with everything that decides whether it lives,
// and the one statement that uses codes or refresh tokens up and issues their successors.
import { batched } from '../db/batch.ts'
import { type Db, fragment, many, maybe, named, run, sql } from '../db/pool.ts'
import { SWEEP_BATCH, type Sweep } from '../db/sweep.ts'
import type { GrantedScopes } from '../grants/store.ts'
import type { User } from '../users/store.ts'

/** What a row of tokens is. */
export type TokenKind =
  | 'authorization_code'
  | 'device_code'
  | 'access_token'
  | 'refresh_token'
  | 'client_credentials'

/** A token to be stored. */
export interface NewToken {
  hash: Buffer
  kind: TokenKind
  client_id: string
  grant_id: string | null
  /** JSON of what the provider keeps with it, without what stands in columns. */
  payload: string
  /** Seconds since the epoch. */
  exp: number
}

/** A token whose grant, client and user live, with what the provider asks for next. Times are seconds since the epoch. */
export interface TokenRow {
  kind: TokenKind
  client_id: string
  payload: Record<string, unknown>
  iat: number
  exp: number
  consumed: boolean
  grant_id: string | null
  user_id: string | null
  grant_payload: GrantedScopes | null
  grant_iat: number | null
  grant_exp: number | null
  email: string | null
  email_verified: boolean | null
  name: string | null
  role: User['role'] | null
}

/** Reads and writes of the tokens table. Tokens are named by SHA-256 of their value. */
export interface TokenStore {
  /** A token that lives: its grant is not revoked, its client active, its user enabled. It may be expired or consumed. */
  find(hash: Buffer): Promise<TokenRow | undefined>
  /** Stores one token, or renews a stored one. @returns false when its grant or client no longer lives. */
  insert(token: NewToken): Promise<boolean>
  /** Uses a token up. @returns false when somebody else did, or it no longer lives. */
  consume(hash: Buffer): Promise<boolean>
  /** Uses a token up and stores its successors on the same grant, all or nothing. @returns false as {@link consume}. */
  exchange(hash: Buffer, successors: NewToken[]): Promise<boolean>
  destroy(hash: Buffer): Promise<void>
}

/** The tokens table in Postgres. */
export function tokenStore(db: Db): TokenStore {
  const read = batched((hashes: Buffer[]) => readTokens(db, hashes))
  const issue = batched((tokens: NewToken[]) => issueToClients(db, tokens))
  const exchange = batched((asked: Exchange[]) => exchangeTokens(db, asked))
  return {
    find: read,
    insert: (token) => (token.grant_id === null ? issue(token) : insertOnGrant(db, token)),
    async consume(hash) {
      const consumed = await run(
        db,
        sql`update tokens set consumed_at = now() where hash = ${hash} and consumed_at is null`,
      )
      return consumed === 1
    },
    exchange: (hash, successors) => exchange({ hash, successors }),
    async destroy(hash) {
      await run(db, sql`delete from tokens where hash = ${hash}`)
    },
  }
}

/** Expired tokens; a consumed one stays until it expires, so that a replay is recognized. */
export const sweepTokens: Sweep = (db) =>
  run(
    db,
    sql`delete from tokens where hash = any(array(
          select hash from tokens where expires_at < now() limit ${SWEEP_BATCH} for update skip locked))`,
  )

// The text form of an array of digests, written at once.
function byteaArray(values: Buffer[]): string {
  return `{${values.map((value) => `"\\\\x${value.toString('hex')}"`).join(',')}}`
}

const CLIENT_LIVES = fragment`c.suspended_at is null and c.deleted_at is null and c.state <> 'rejected'`

async function readTokens(db: Db, hashes: Buffer[]): Promise<(TokenRow | undefined)[]> {
  const rows = await many<TokenRow & { hash: Buffer }>(
    db,
    named(
      'tokens by hash',
      sql`select t.hash, t.kind, t.client_id, t.payload, t.consumed_at is not null as consumed,
                 -- Rounded down: an iat in the future would be refused by whoever looks closely.
                 floor(extract(epoch from t.issued_at))::int as iat, extract(epoch from t.expires_at)::int as exp,
                 t.grant_id, g.user_id, g.payload as grant_payload,
                 floor(extract(epoch from g.created_at))::int as grant_iat,
                 floor(extract(epoch from g.ends_at))::int as grant_exp,
                 u.email, u.email_verified, u.name, u.role
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

// The client is looked at in the statement itself: whatever a node remembers of it, a suspended one gets no token.
async function issueToClients(db: Db, tokens: NewToken[]): Promise<boolean[]> {
  const issued = await run(
    db,
    named(
      'issue to clients',
      sql`insert into tokens (hash, kind, client_id, payload, expires_at)
          select decode(n.hash, 'hex'), n.kind, c.id, n.payload, to_timestamp(n.exp)
          from json_to_recordset(${asJson(tokens)}) as n (${NEW_TOKEN})
          join clients c on c.id = n.client_id and ${CLIENT_LIVES}
          on conflict (hash) do update set payload = excluded.payload, expires_at = excluded.expires_at`,
    ),
  )
  if (issued === tokens.length) return tokens.map(() => true)
  const stored = await readTokens(
    db,
    tokens.map(({ hash }) => hash),
  )
  return stored.map((row) => row !== undefined)
}

const NEW_TOKEN = fragment`hash text, kind text, client_id text, payload json, exp float8`

// One JSON text a statement: arrays of Postgres cost this process several times as much to write.
function asJson(tokens: NewToken[]): string {
  const rows = tokens.map(
    ({ hash, kind, client_id, payload, exp }) =>
      `{"hash":"${hash.toString('hex')}","kind":"${kind}","client_id":${JSON.stringify(client_id)},"payload":${payload},"exp":${exp}}`,
  )
  return `[${rows.join(',')}]`
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

interface Exchange {
  hash: Buffer
  successors: NewToken[]
}

// Rows are locked in one order, tokens by digest and then grants by id, as wherever grants are locked: two nodes whose
// batches share some wait for each other in a line, never in a ring.
async function exchangeTokens(db: Db, asked: Exchange[]): Promise<boolean[]> {
  // Shown twice at once: whoever came first uses it up, the other shows a replay.
  const first = new Map<string, Exchange>()
  for (const each of asked) {
    const key = each.hash.toString('latin1')
    if (!first.has(key)) first.set(key, each)
  }
  const rows = await many<{ hash: Buffer }>(
    db,
    named(
      'exchange tokens',
      sql`with asked as materialized (
            select decode(hash, 'hex') as hash, last, successors
            from json_to_recordset(${exchangesAsJson([...first.values()])})
              as asked (hash text, last float8, successors json)
          ), held as materialized (
            select hash, grant_id from tokens
            where hash = any(${byteaArray([...first.values()].map(({ hash }) => hash))}::bytea[])
              and consumed_at is null and expires_at > now()
            order by hash for no key update
          ), live as materialized (
            select g.id
            from grants g
            join users u on u.id = g.user_id
            join clients c on c.id = g.client_id
            where g.id in (select grant_id from held)
              and g.revoked_at is null and (g.ends_at is null or g.ends_at > now())
              and u.disabled_at is null and ${CLIENT_LIVES}
            order by g.id for no key update of g
          ), source as (
            update tokens t set consumed_at = now()
            from held join live on live.id = held.grant_id
            where t.hash = held.hash
            returning t.hash, t.grant_id, t.client_id
          ), issued as (
            insert into tokens (hash, kind, client_id, grant_id, payload, expires_at)
            select decode(n.hash, 'hex'), n.kind, source.client_id, source.grant_id, n.payload, to_timestamp(n.exp)
            from source join asked on asked.hash = source.hash,
              json_to_recordset(asked.successors) as n (${NEW_TOKEN})
          ), used as (
            -- A day's step: the indexed column then changes once a day and not at every refresh.
            update grants g
            set last_used_at = now(),
                expires_at = greatest(g.expires_at, date_trunc('day', to_timestamp(latest.last)) + interval '1 day')
            from (select source.grant_id, max(asked.last) as last
                  from source join asked on asked.hash = source.hash group by 1) latest
            where g.id = latest.grant_id
          )
          select hash from source`,
    ),
  )
  const used = new Set(rows.map(({ hash }) => hash.toString('latin1')))
  return asked.map((each) => {
    const key = each.hash.toString('latin1')
    return used.has(key) && first.get(key) === each
  })
}

function exchangesAsJson(asked: Exchange[]): string {
  const rows = asked.map(({ hash, successors }) => {
    const last = Math.max(0, ...successors.map(({ exp }) => exp))
    return `{"hash":"${hash.toString('hex')}","last":${last},"successors":${asJson(successors)}}`
  })
  return `[${rows.join(',')}]`
}
