// Registrations for the protocol, kept in memory until an announcement says that they changed.
import { LRUCache } from 'lru-cache'
import { isShortId } from '../../base/ids.ts'
import { batched } from '../../db/batch.ts'
import type { Db } from '../../db/pool.ts'
import { fragment, many, maybe, named, sql } from '../../db/pool.ts'
import { CLIENT_LIVES } from './columns.ts'
import type { StoredSecret } from './secrets.ts'
import type { Client } from './store.ts'

/** A registration with the digests of its secrets. */
export interface Registration extends Client {
  secrets: StoredSecret[]
  /** The grant types that a dynamically registered client asked for; null: those of its kind. */
  grant_types: string[] | null
  /** When its branding changed; people who allowed it before are asked again. */
  branding_changed_at: Date | null
}

/** Live registrations by id. */
export interface ClientDirectory {
  /** The registration, unless the client is suspended, rejected or deleted. */
  find(id: string): Promise<Registration | undefined>
  /**
   * As {@link find}, but includes every change that any node acknowledged before the call: it compares the version in memory with the
   * row, by one statement for all calls at the same time.
   */
  current(id: string): Promise<Registration | undefined>
  /** Drops one registration, or all of them. */
  forget(id?: string): void
}

const MOST_KEPT = 10_000

/**
 * @param mayRemember false while announcements may be missed: every call then reads from the database.
 * @param acceptsDocument which addresses may be client ids.
 * @param most how many are kept; those that were not asked for the longest go first.
 */
export function clientDirectory(
  db: Db,
  mayRemember: () => boolean,
  acceptsDocument: (id: string) => boolean = () => false,
  most = MOST_KEPT,
): ClientDirectory {
  const kept = new LRUCache<string, Promise<Remembered | undefined>>({ max: most })
  const versionOf = batched((ids: string[]) => loadVersions(db, ids))
  const find = (id: string): Promise<Remembered | undefined> => {
    if (!isShortId(id) && !acceptsDocument(id)) return Promise.resolve(undefined)
    const known = kept.get(id)
    if (known && mayRemember()) return known
    const loading = load(db, id)
    kept.set(id, loading)
    const forget = () => {
      if (kept.get(id) === loading) kept.delete(id)
    }
    // Unknown ids are not kept: anybody could fill the memory with them.
    loading.then((found) => found ?? forget(), forget)
    return loading
  }
  return {
    find,
    async current(id) {
      // Compare with the row, because the announcement of a change may not have arrived yet.
      const known = kept.get(id)
      if (!known) return find(id)
      const [registration, version] = await Promise.all([known, versionOf(id)])
      if (registration?.row_version === version) return registration
      // If another entry has taken its place, that one was read after this call began.
      if (kept.get(id) === known) kept.delete(id)
      return find(id)
    },
    forget(id) {
      if (id === undefined) kept.clear()
      else kept.delete(id)
    },
  }
}

/** A registration with the version of its rows: a text that changes when anything of it changes. */
type Remembered = Registration & { row_version: string }

// The transactions that wrote the rows last, the secrets that are valid now, and the scopes that were removed.
const VERSION = fragment`concat_ws(' ', c.xmin, r.xmin, s.ids, gone.scopes)`

const ROWS = fragment`
          from clients c
          left join client_registrations r on r.client_id = c.id
          left join lateral (
            select array_agg(id order by id) as ids, array_agg(hash order by id) as hashes, array_agg(expires_at order by id) as ends
            from client_secrets
            where client_id = c.id and revoked_at is null and (expires_at is null or expires_at > now())
          ) s on true
          cross join lateral (
            select array(select name from resource_scopes where name = any(c.scopes) and removed_at is not null
                         order by name) as scopes
          ) gone`

async function loadVersions(db: Db, ids: string[]): Promise<(string | undefined)[]> {
  const rows = await many<{ id: string; version: string }>(
    db,
    named(
      'client versions',
      sql`select c.id, ${VERSION} as version ${ROWS} where c.id = any(${[...new Set(ids)]}) and ${CLIENT_LIVES}`,
    ),
  )
  const versions = new Map(rows.map(({ id, version }) => [id, version]))
  return ids.map((id) => versions.get(id))
}

async function load(db: Db, id: string): Promise<Remembered | undefined> {
  const row = await maybe<Omit<Remembered, 'secrets'> & SecretColumns & { gone_scopes: string[] }>(
    db,
    named(
      'client by id',
      sql`select c.*, r.grant_types, r.looks_changed_at as branding_changed_at, ${VERSION} as row_version,
                 gone.scopes as gone_scopes, s.ids as secret_ids, s.hashes as secret_hashes, s.ends as secret_ends
          ${ROWS}
          where c.id = ${id} and ${CLIENT_LIVES}`,
    ),
  )
  if (!row) return undefined
  const { secret_ids, secret_hashes, secret_ends, gone_scopes, ...client } = row
  return {
    ...client,
    scopes: client.scopes.filter((scope) => !gone_scopes.includes(scope)),
    secrets: (secret_ids ?? []).map((id, i) => ({
      id,
      hash: secret_hashes![i]!,
      expires_at: secret_ends?.[i] ?? null,
    })),
  }
}

interface SecretColumns {
  secret_ids: string[] | null
  secret_hashes: Buffer[] | null
  secret_ends: (Date | null)[] | null
}
