// The last rejected requests of each client, for its developers: collected in memory and written every second, so that no request waits
// for a write. There are limits in memory, in a write and in the table.
import { digest } from '../../base/credentials.ts'
import { type Db, many, run, sql } from '../../db/pool.ts'
import { SWEEP_BATCH, type Sweep } from '../../db/sweep.ts'
import { writeBehind } from '../../jobs/write-behind.ts'
import { type Note, type RejectedRequest, settle } from './enrich.ts'
import type { RejectionKind } from './messages.ts'
import { redact } from './redact.ts'

/** A rejected request, as it is read. */
export interface RejectedRequestRow {
  id: string
  at: Date
  /** Whether the app had authenticated itself. */
  authenticated: boolean
  endpoint: string
  error: string
  kind: RejectionKind
  expected: string
  received: string
}

/** Collects rejected requests. */
export interface RejectedRequestRecorder {
  note(rejected: RejectedRequest): void
  /** Writes what is still to be written, and stops. */
  close(): Promise<void>
}

/** How many rejected requests are kept for each client. */
export const MOST_KEPT = 200

// Of these, at most half are unauthenticated requests, which anybody could have sent, and at most a tenth come from one place.
const MOST_UNAUTHENTICATED = 100
const MOST_OF_SOURCE = 20

const FLUSH_MS = 1_000
const KEPT_DAYS = 30
const MOST_TEXT = 600

// The most that are collected between two writes.
const PENDING = { authenticated: 1_000, unauthenticated: 1_000, ofClient: 100, ofPlace: 60, ofSource: 20 }

/** Starts collecting. @param onError called when a write failed; only what it should have written is lost */
export function rejectedRequestRecorder(db: Db, onError: (error: unknown) => void): RejectedRequestRecorder {
  let pending = new Pending()
  const flush = async (): Promise<void> => {
    const notes = pending.all()
    if (notes.length === 0) return
    pending = new Pending()
    await addRejectedRequests(db, await settle(db, notes))
  }
  const { close } = writeBehind(flush, FLUSH_MS, onError)
  return {
    note(rejected) {
      const { client_id = '', place } = rejected
      const source = digest(`${client_id}\n${place}`).readInt32BE()
      const expected = redact(rejected.expected, { known: rejected.expected, most: MOST_TEXT })
      const received = redact(rejected.received, { known: rejected.expected, most: MOST_TEXT })
      pending.add({ ...rejected, expected, received, at: new Date(Date.now()), source })
    },
    close,
  }
}

/** The rejected requests of a client, newest first. */
export function listRejectedRequests(db: Db, client_id: string): Promise<RejectedRequestRow[]> {
  return many<RejectedRequestRow>(
    db,
    sql`select id, at, attested as authenticated, endpoint, error, kind, expected, came as received
        from client_refusals
        where client_id = ${client_id}
        order by id desc
        limit ${MOST_KEPT}`,
  )
}

/** Deletes rejected requests that are too old to help anybody. */
export const sweepRejectedRequests: Sweep = (db) =>
  run(
    db,
    sql`delete from client_refusals where id = any(array(
          select id from client_refusals where at < now() - make_interval(days => ${KEPT_DAYS})
          limit ${SWEEP_BATCH} for update skip locked))`,
  )

// A new request from one place replaces an earlier one from there. When nothing can be replaced, new requests are dropped.
class Pending {
  readonly #authenticated: Note[] = []
  readonly #bySource = new Map<number, Note[]>()
  readonly #counts = new Map<string, number>()
  #unauthenticated = 0

  add(note: Note): void {
    if (note.authenticated) {
      if (
        this.#authenticated.length < PENDING.authenticated &&
        this.#takes(`app ${note.client_id}`, PENDING.ofClient)
      ) {
        this.#authenticated.push(note)
      }
      return
    }
    const ofSource = this.#bySource.get(note.source) ?? []
    if (ofSource.length === PENDING.ofSource) {
      ofSource.shift()
      ofSource.push(note)
      return
    }
    if (this.#unauthenticated === PENDING.unauthenticated) return
    if (!this.#takes(`place ${note.place}`, PENDING.ofPlace)) return
    if (!this.#takes(`anybody ${note.client_id}`, PENDING.ofClient)) return
    this.#bySource.set(note.source, ofSource)
    ofSource.push(note)
    this.#unauthenticated++
  }

  all(): Note[] {
    return [...this.#authenticated, ...[...this.#bySource.values()].flat()].sort((a, b) => +a.at - +b.at)
  }

  #takes(name: string, most: number): boolean {
    const count = this.#counts.get(name) ?? 0
    if (count >= most) return false
    this.#counts.set(name, count + 1)
    return true
  }
}

// Stores rejected requests of clients that exist, and deletes the oldest ones of these clients.
async function addRejectedRequests(db: Db, notes: Note[]): Promise<void> {
  if (notes.length === 0) return
  const rows = notes.map(
    ({ client_id, at, authenticated, source, endpoint, error, kind, expected, received }) => ({
      client_id,
      at,
      authenticated,
      source,
      endpoint,
      error: error.slice(0, 100),
      kind,
      expected,
      received,
    }),
  )
  const touched = await many<{ client_id: string }>(
    db,
    sql`insert into client_refusals (client_id, at, attested, source, endpoint, error, kind, expected, came)
        select n.client_id, n.at, n.authenticated, n.source, n.endpoint, n.error, n.kind, n.expected, n.received
        from json_to_recordset(${JSON.stringify(rows)}::json)
               as n (client_id text, at timestamptz, authenticated boolean, source integer, endpoint text, error text, kind text,
                     expected text, received text)
        join clients c on c.id = n.client_id and c.id = any(${rows.map(({ client_id }) => client_id)})
          and c.deleted_at is null and c.type <> 'resource_server'
        order by n.at
        returning client_id`,
  )
  await keepTheLast(db, [...new Set(touched.map(({ client_id }) => client_id))])
}

// Keeps authenticated requests up to half, and the last unauthenticated ones of each place up to the other half; then more authenticated
// ones, then the rest. It reads only the rows of these clients, 200 each and the new ones.
async function keepTheLast(db: Db, ids: string[]): Promise<void> {
  if (ids.length === 0) return
  await run(
    db,
    sql`with counted as (
          select id, client_id, attested as authenticated,
                 row_number() over (partition by client_id, attested, case when attested then 0 else source end
                                    order by id desc) as of_source
          from client_refusals
          where client_id = any(${ids})
        ), ranked as (
          select id, client_id, authenticated,
                 authenticated or of_source <= ${MOST_OF_SOURCE} as is_fair,
                 row_number() over (partition by client_id, authenticated, authenticated or of_source <= ${MOST_OF_SOURCE}
                                    order by id desc) as n
          from counted
        ), placed as (
          select id, row_number() over (
                   partition by client_id
                   order by case when is_fair and n <= ${MOST_UNAUTHENTICATED} then 0 when authenticated then 1 else 2 end, id desc
                 ) as place
          from ranked
        )
        delete from client_refusals where id = any(array(
          -- Skip rows that another node is just deleting.
          select r.id from client_refusals r join placed p on p.id = r.id
          where p.place > ${MOST_KEPT}
          order by r.id
          for update of r skip locked))`,
  )
}
