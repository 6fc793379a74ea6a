// Registrations as the protocol needs them, kept in memory until an announcement says that they changed.
import type { Db } from '../db/pool.ts'
import { maybe, named, sql } from '../db/pool.ts'
import type { StoredSecret } from './secrets.ts'
import type { Client } from './store.ts'

/** A registration with the digests of its secrets. */
export interface Registration extends Client {
  secrets: StoredSecret[]
  /** What an app that registered itself asked for; null: what its kind may use. */
  grant_types: string[] | null
  /** When what people see of it became another; whoever allowed it before is asked again. */
  looks_changed_at: Date | null
}

/** Live registrations by id. */
export interface ClientDirectory {
  /** The registration, unless the client is suspended, rejected or deleted. */
  find(id: string): Promise<Registration | undefined>
  /** Drops one registration, or all of them. */
  forget(id?: string): void
}

const MOST_KEPT = 10_000

/**
 * @param mayRemember false while announcements may be missed: every look-up then goes to the database.
 * @param acceptsDocument which addresses may be client ids.
 */
export function clientDirectory(
  db: Db,
  mayRemember: () => boolean,
  acceptsDocument: (id: string) => boolean = () => false,
): ClientDirectory {
  const kept = new Map<string, Promise<Registration | undefined>>()
  return {
    find(id) {
      // No id of ours looks different; Postgres would refuse some of what else may come (NUL).
      if (!/^[A-Za-z0-9_-]{1,100}$/.test(id) && !acceptsDocument(id)) return Promise.resolve(undefined)
      const known = kept.get(id)
      if (known && mayRemember()) return known
      const loading = load(db, id)
      if (kept.size >= MOST_KEPT) kept.clear()
      kept.set(id, loading)
      const forget = () => {
        if (kept.get(id) === loading) kept.delete(id)
      }
      // Unknown ids are not kept: anybody could fill the memory with them.
      loading.then((found) => found ?? forget(), forget)
      return loading
    },
    forget(id) {
      if (id === undefined) kept.clear()
      else kept.delete(id)
    },
  }
}

async function load(db: Db, id: string): Promise<Registration | undefined> {
  const row = await maybe<Omit<Registration, 'secrets'> & SecretColumns>(
    db,
    named(
      'client by id',
      sql`select c.*, r.grant_types, r.looks_changed_at, s.ids as secret_ids, s.hashes as secret_hashes, s.ends as secret_ends
          from clients c
          left join client_registrations r on r.client_id = c.id
          left join lateral (
            select array_agg(id) as ids, array_agg(hash) as hashes, array_agg(expires_at) as ends
            from client_secrets
            where client_id = c.id and revoked_at is null and (expires_at is null or expires_at > now())
          ) s on true
          where c.id = ${id} and c.suspended_at is null and c.deleted_at is null and c.state <> 'rejected'`,
    ),
  )
  if (!row) return undefined
  const { secret_ids, secret_hashes, secret_ends, ...client } = row
  return {
    ...client,
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
