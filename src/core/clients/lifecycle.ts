// The durable marks that suspend, resume and delete a client, and sweeping what was deleted long ago.
import type { Actor } from '../../base/audit-events.ts'
import { type Db, fragment, many, run, sql, tx } from '../../db/pool.ts'
import { KEPT_DAYS, SWEEP_BATCH, type Sweep } from '../../db/sweep.ts'
import { record, recordAll } from '../audit/store.ts'
import { checkClientEscalation, checkClientsEscalation } from '../escalation/clients.ts'

/** Suspends a client: all of its tokens stop working at once. @returns whether anything changed. */
export function suspendClient(db: Db, id: string, by: Actor): Promise<boolean> {
  return mark(
    db,
    sql`update clients set suspended_at = now(), version = version + 1
        where id = ${id} and suspended_at is null and deleted_at is null`,
    'client.suspended',
    id,
    by,
  )
}

/** Resumes a suspended client: tokens that have not expired work again. @returns whether anything changed. */
export function resumeClient(db: Db, id: string, by: Actor): Promise<boolean> {
  return mark(
    db,
    sql`update clients set suspended_at = null, version = version + 1
        where id = ${id} and suspended_at is not null and deleted_at is null`,
    'client.resumed',
    id,
    by,
  )
}

/** Deletes a client: its tokens stop working at once; the sweeper deletes the rows later. */
export async function deleteClient(db: Db, id: string, by: Actor): Promise<boolean> {
  return (await deleteClients(db, [id], by)).length > 0
}

/** As {@link deleteClient}, for several. @returns the ids of those that existed */
export function deleteClients(db: Db, ids: string[], by: Actor): Promise<string[]> {
  return tx(db, async (t) => {
    await checkClientsEscalation(t, ids, by)
    const rows = await many<{ id: string }>(
      t,
      sql`update clients set deleted_at = now(), version = version + 1
          where id = any(array(
            -- Always locked in the same order, so that two deletions at once cannot deadlock.
            select id from clients where id = any(${ids}) and deleted_at is null order by id for update))
          returning id`,
    )
    const deleted = rows.map(({ id }) => id)
    if (deleted.length === 0) return []
    await recordAll(
      t,
      deleted.map((client_id) => ({ type: 'client.deleted', client_id })),
      by,
    )
    // The metadata document would bring the client back with the next sign-in, so block it, unless the sweeper deletes it.
    if (by.type !== 'system') {
      await run(t, sql`update client_documents set refused_at = now() where client_id = any(${deleted})`)
    }
    return deleted
  })
}

/**
 * Deletes the rows of clients that were deleted long ago and have no tokens and grants left. Other rows that refer to them go first,
 * a batch of each table, because deleting a client must not cascade to a million rows.
 */
export const sweepClients: Sweep = (db) =>
  tx(db, async (t) => {
    const gone = await many<{ id: string }>(
      t,
      sql`select id from clients c
          where deleted_at < now() - make_interval(days => ${KEPT_DAYS})
            -- offset 0 makes Postgres look rows up for each client, instead of joining whole tables.
            and not exists (select from client_documents where client_id = c.id and refused_at is not null offset 0)
            and not exists (select from grants where client_id = c.id offset 0)
            and not exists (select from tokens where client_id = c.id offset 0)
          limit ${SWEEP_BATCH} for update skip locked`,
    )
    if (gone.length === 0) return 0
    const ids = gone.map(({ id }) => id)
    let taken = 0
    for (const table of MANY_OF_A_CLIENT) {
      const rows = await run(
        t,
        sql`delete from ${table} where ctid = any(array(
              select ctid from ${table} where client_id = any(${ids}) limit ${SWEEP_BATCH} for update))`,
      )
      taken += rows
      if (rows === SWEEP_BATCH) return taken
    }
    return taken + (await run(t, sql`delete from clients where id = any(${ids})`))
  })

// The tables that may have any number of rows of one client. Other tables have a few, which the deletion cascades to.
const MANY_OF_A_CLIENT = [
  fragment`consents`,
  fragment`client_refusals`,
  fragment`client_usage_days`,
  fragment`client_secrets`,
  fragment`client_invitations`,
]

function mark(
  db: Db,
  query: ReturnType<typeof sql>,
  type: 'client.suspended' | 'client.resumed',
  client_id: string,
  by: Actor,
): Promise<boolean> {
  return tx(db, async (t) => {
    await checkClientEscalation(t, client_id, by)
    if (!(await run(t, query))) return false
    await record(t, { type, client_id }, by)
    return true
  })
}
