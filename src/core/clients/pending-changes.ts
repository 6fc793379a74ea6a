// Changes of approved apps that wait for a decision: the app goes on as it is until an administrator approves the change.
import type { ActingUser, Actor, Change } from '../../base/audit-events.ts'
import { cursorOf, isBehindCursor } from '../../db/cursor.ts'
import { type Db, fragment, many, maybe, run, sql, tx } from '../../db/pool.ts'
import { record } from '../audit/store.ts'
import { checkClientEscalation } from '../escalation/clients.ts'
import { CLIENT_COLUMNS } from './columns.ts'
import { lockOwnApp } from './owners.ts'
import { reasonText } from './review.ts'
import type { Client } from './store.ts'
import { type ClientChange, updateClient } from './update.ts'

const CURSOR_AT = fragment`ch.created_at`
const CURSOR_ID = fragment`ch.client_id`

/** A change that waits, or that was rejected and that its owners have not dismissed yet. */
export interface WaitingChange {
  client_id: string
  /** A new id with every request. */
  id: string
  changes: Change[]
  base_version: number
  /** The e-mail address of who asked. */
  requested_by: string | null
  created_at: Date
  rejected_at: Date | null
  reason: string
}

/** The change was made for an earlier version of the app: these fields have changed since. */
export class ChangeOutdated extends Error {
  override name = 'ChangeOutdated'
  readonly fields: string[]

  constructor(fields: string[]) {
    super(`the app was changed meanwhile: ${fields.join(', ')}`)
    this.fields = fields
  }
}

/** The change of an app, waiting or rejected. */
export function findChange(db: Db, client_id: string): Promise<WaitingChange | undefined> {
  return maybe<WaitingChange>(
    db,
    sql`select ch.client_id, ch.id, ch.changes, ch.base_version, u.email as requested_by, ch.created_at, ch.rejected_at, ch.reason
        from client_changes ch left join users u on u.id = ch.requested_by
        where ch.client_id = ${client_id}`,
  )
}

/** A change that waits, in a list. */
export interface ListedChange
  extends Pick<WaitingChange, 'id' | 'client_id' | 'requested_by' | 'created_at'> {
  /** Of the app, as it is called now. */
  name: string
  /** Where the list goes on after it. */
  cursor: string
}

/** Changes that wait, the longest first. @param page.after a cursor */
export function listWaitingChanges(
  db: Db,
  { limit, after }: { limit: number; after?: string | undefined },
): Promise<ListedChange[]> {
  return many<ListedChange>(
    db,
    sql`select ch.id, ch.client_id, c.name, u.email as requested_by, ch.created_at,
               ${cursorOf(CURSOR_AT, CURSOR_ID)}
        from client_changes ch join clients c on c.id = ch.client_id left join users u on u.id = ch.requested_by
        where ch.rejected_at is null and c.deleted_at is null
          and ${isBehindCursor({ at: CURSOR_AT, id: CURSOR_ID, isBeyond: fragment`>` }, after)}
        order by ch.created_at, ch.client_id
        limit ${limit}`,
  )
}

/** Replaces the waiting change of an app; an empty list removes it. Call it with the row of the app locked. */
export async function putChange(t: Db, client: Client, changes: Change[], by: ActingUser): Promise<void> {
  const earlier = await findChange(t, client.id)
  const waiting = earlier?.rejected_at ? undefined : earlier
  if (changes.length === 0) {
    if (waiting) await takeAway(t, waiting, by)
    return
  }
  if (waiting && JSON.stringify(waiting.changes) === JSON.stringify(changes)) return
  const base_version = await countUp(t, client.id)
  await run(t, sql`delete from client_changes where client_id = ${client.id}`)
  await run(
    t,
    sql`insert into client_changes (client_id, changes, base_version, requested_by)
        values (${client.id}, ${JSON.stringify(changes)}, ${base_version}, ${by.id})`,
  )
  await record(t, { type: 'client.change_requested', client_id: client.id, changes }, by)
}

/** Withdraws a change, or dismisses a rejected one. @returns whether there was one, of an app that they own */
export function withdrawChange(db: Db, client_id: string, by: ActingUser): Promise<boolean> {
  return tx(db, async (t) => {
    const client = await lockOwnApp(t, client_id, by.id)
    const change = client && (await findChange(t, client_id))
    if (!change) return false
    await takeAway(t, change, by)
    return true
  })
}

/**
 * Applies a change, by the present rules. @param id the change that the administrator has seen; absent: the one that waits
 * @returns undefined when that change is gone. @throws ChangeOutdated, InvalidMetadata
 */
export function approveChange(
  db: Db,
  client_id: string,
  id: string | undefined,
  by: Actor,
): Promise<Client | undefined> {
  return tx(db, async (t) => {
    const found = await lockWaiting(t, client_id, id)
    if (!found) return undefined
    const { client, change } = found
    await checkClientEscalation(t, client_id, by, valuesOf(change.changes).scopes)
    const moved = change.changes
      .filter(({ field, from }) => JSON.stringify(client[field as keyof Client]) !== JSON.stringify(from))
      .map(({ field }) => field)
    if (moved.length > 0) throw new ChangeOutdated(moved)
    const { changes } = change
    await run(t, sql`delete from client_changes where client_id = ${client_id}`)
    await record(t, { type: 'client.change_approved', client_id, changes }, by)
    return updateClient(t, client_id, valuesOf(changes), by)
  })
}

/**
 * Rejects a change; its owners read why. @param id the change that the administrator has seen; absent: the one that waits
 * @returns whether it waited. @throws InvalidMetadata
 */
export function rejectChange(
  db: Db,
  client_id: string,
  id: string | undefined,
  reason: string,
  by: Actor,
): Promise<boolean> {
  const text = reasonText(reason)
  return tx(db, async (t) => {
    const found = await lockWaiting(t, client_id, id)
    if (!found) return false
    await checkClientEscalation(t, client_id, by)
    const { changes } = found.change
    await countUp(t, client_id)
    await run(
      t,
      sql`update client_changes set rejected_at = now(), reason = ${text} where client_id = ${client_id}`,
    )
    await record(t, { type: 'client.change_rejected', client_id, changes, reason: text }, by)
    return true
  })
}

/** The new values of the fields of a change. */
export function valuesOf(changes: Change[]): ClientChange {
  return Object.fromEntries(changes.map(({ field, to }) => [field, to])) as ClientChange
}

async function lockWaiting(
  t: Db,
  client_id: string,
  id: string | undefined,
): Promise<{ client: Client; change: WaitingChange } | undefined> {
  const client = await maybe<Client>(
    t,
    sql`select ${CLIENT_COLUMNS} from clients where id = ${client_id} and deleted_at is null for update`,
  )
  const change = client && (await findChange(t, client_id))
  if (!change || change.rejected_at || (id !== undefined && id !== change.id)) return undefined
  return { client, change }
}

async function takeAway(t: Db, { client_id, changes, rejected_at }: WaitingChange, by: Actor): Promise<void> {
  await run(t, sql`delete from client_changes where client_id = ${client_id}`)
  if (rejected_at) return
  await countUp(t, client_id)
  await record(t, { type: 'client.change_withdrawn', client_id, changes }, by)
}

// Count the version up: an edit of the app must be based on the waiting change, too.
async function countUp(t: Db, client_id: string): Promise<number> {
  const row = await maybe<{ version: number }>(
    t,
    sql`update clients set version = version + 1 where id = ${client_id} returning version`,
  )
  return row!.version
}
