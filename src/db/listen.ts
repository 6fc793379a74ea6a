// One connection that waits for announcements (LISTEN), so that a node may keep rows in memory and still drop them the
// moment they change anywhere. It knows no noun of ours.
import { randomBytes } from 'node:crypto'
import pg from 'pg'
import type { Logger } from 'pino'
import type { Clock } from './clock.ts'
import { asDatabaseError } from './errors.ts'
import type { Pool } from './pool.ts'
import { holdPresence } from './presence.ts'

/** A subscription to the announcements of all nodes. */
export interface Listener {
  /** False while announcements may be missed: rows that are kept in memory must then be read anew each time. */
  isHearing(): boolean
  close(): Promise<void>
}

/** What to do with announcements. */
export interface AnnouncementHandlers {
  /** The payload of one announcement. */
  heard(payload: string): void
  /** Announcements arrive again. Postgres does not repeat a NOTIFY, so anything may have changed meanwhile. */
  missedSome(): void
  /** Called once a second while no announcements arrive: anything may change without one. */
  deaf(): void
  /** Asked once a second for what this node has to announce, less than 8,000 bytes. What cannot be sent is lost. */
  tells?(): string | undefined
}

/** What the listener needs. */
export interface ListenParts {
  pool: Pool
  clock: Clock
  log: Logger
  /** The number of this node in `Answers`: the others see that it lives while this connection stands. */
  node: number
}

const CHANNEL = 'valetkey'
const BEAT_MS = 1_000
// Checked once a beat, so rows in memory are believed for 5 seconds at most after the last announcement that could arrive.
const BELIEVED_MS = 4_000
const RETRY_MS = 500
const NOW = 'extract(epoch from clock_timestamp())::float8 as now'

/**
 * Subscribes to the channel 'valetkey' of all nodes. A connection that breaks is made again for as long as the listener is
 * open. @throws DatabaseUnavailable when there is no first connection
 */
export async function listen(parts: ListenParts, handlers: AnnouncementHandlers): Promise<Listener> {
  const subscription = new Subscription(parts, handlers)
  await subscription.connect()
  const ticking = setInterval(() => subscription.tick(), BEAT_MS)
  ticking.unref()
  return {
    isHearing: () => subscription.isHearing(),
    close() {
      clearInterval(ticking)
      return subscription.close()
    },
  }
}

/**
 * A connection that listens, and its heartbeat. A connection can stand and deliver nothing (a firewall, a pooler). So once a second
 * the node sends an announcement to itself, a beat, together with what it has to tell the others; a beat that comes back
 * proves that every announcement before it has arrived.
 */
class Subscription {
  readonly #parts: ListenParts
  readonly #handlers: AnnouncementHandlers
  // Announcements reach every listener of their channel, and no other node wants the beats of this one.
  readonly #ownChannel = `${CHANNEL}_${randomBytes(8).toString('hex')}`
  #client: pg.Client | undefined
  #attempt: pg.Client | undefined
  #closed = false
  #retry: NodeJS.Timeout | undefined
  #reconnecting: Promise<void> = Promise.resolve()
  #connectedAt = 0
  // When the last beat that came back was sent.
  #heardAt = Number.NEGATIVE_INFINITY
  #isLost = false
  #beats = 0
  #isBeating = false
  readonly #sentAt = new Map<string, number>()

  constructor(parts: ListenParts, handlers: AnnouncementHandlers) {
    this.#parts = parts
    this.#handlers = handlers
  }

  isHearing(): boolean {
    return performance.now() - this.#heardAt < BELIEVED_MS
  }

  /** Connects and waits for the database to take the first beat. @throws DatabaseUnavailable */
  async connect(): Promise<void> {
    const attempt = this.#newClient()
    this.#attempt = attempt
    try {
      await attempt.connect()
      await attempt.query(`listen ${CHANNEL}`)
      await attempt.query(`listen ${this.#ownChannel}`)
      await holdPresence(attempt, this.#parts.node)
      this.#connectedAt = performance.now()
      await this.#beat(attempt)
      if (this.#closed) throw new Error('closed meanwhile')
    } catch (error) {
      attempt.connection.stream.destroy()
      throw asDatabaseError(error)
    } finally {
      this.#attempt = undefined
    }
    this.#client = attempt
  }

  /** Called once a second: sends a beat, or gives up a connection on which none came back for too long. */
  tick(): void {
    if (!this.isHearing()) {
      this.#noteLoss()
      this.#handlers.deaf()
    }
    if (!this.#client) return
    const lastAt = Math.max(this.#heardAt, this.#connectedAt)
    if (performance.now() - lastAt >= BELIEVED_MS) this.#client.connection.stream.destroy()
    // A beat that fails ends with its connection, which is noticed there.
    else if (!this.#isBeating) this.#beat(this.#client).catch(() => {})
  }

  async close(): Promise<void> {
    this.#closed = true
    clearTimeout(this.#retry)
    this.#attempt?.connection.stream.destroy()
    await Promise.all([this.#client && hangUp(this.#client), this.#reconnecting])
  }

  #newClient(): pg.Client {
    const client = new pg.Client({
      ...this.#parts.pool.pg.options,
      application_name: 'valetkey listen',
      keepAlive: true,
      connectionTimeoutMillis: BELIEVED_MS,
      query_timeout: BELIEVED_MS,
    })
    client.on('notification', ({ channel, payload = '' }) => {
      if (channel === this.#ownChannel) this.#beatCameBack(payload)
      else this.#handlers.heard(payload)
    })
    client.on('error', () => {})
    client.on('end', () => this.#ended(client))
    return client
  }

  #ended(client: pg.Client): void {
    // A failed attempt is repeated by its caller: if this repeated it, too, there would be two attempts, then four.
    if (client !== this.#client) return
    this.#client = undefined
    this.#heardAt = Number.NEGATIVE_INFINITY
    this.#sentAt.clear()
    this.#noteLoss()
    this.#reconnectSoon()
  }

  #reconnectSoon(): void {
    if (this.#closed) return
    this.#retry = setTimeout(() => {
      this.#reconnecting = this.connect().catch(() => this.#reconnectSoon())
    }, RETRY_MS)
  }

  async #beat(on: pg.Client): Promise<void> {
    const number = String(++this.#beats)
    this.#sentAt.set(number, performance.now())
    this.#isBeating = true
    try {
      const told = this.#handlers.tells?.()
      const [text, values] =
        told === undefined
          ? [`select pg_notify($1, $2), ${NOW}`, [this.#ownChannel, number]]
          : [`select pg_notify($1, $2), pg_notify($3, $4), ${NOW}`, [this.#ownChannel, number, CHANNEL, told]]
      await this.#parts.clock.set(async () => {
        const { rows } = await on.query(text as string, values as string[])
        return rows[0].now as number
      })
    } finally {
      this.#isBeating = false
    }
  }

  #beatCameBack(number: string): void {
    this.#heardAt = this.#sentAt.get(number) ?? this.#heardAt
    this.#sentAt.delete(number)
    if (!this.#isLost) return
    this.#isLost = false
    this.#parts.log.info('announcements of changes arrive again')
    this.#handlers.missedSome()
  }

  #noteLoss(): void {
    if (this.#isLost || this.#closed) return
    this.#isLost = true
    this.#parts.log.warn(
      'no announcements of changes arrive: clients, APIs and keys are read again and again until they do',
    )
  }
}

const GOODBYE_MS = 1_000

// A silent network would never answer the goodbye, so cut the connection after a second.
async function hangUp(client: pg.Client): Promise<void> {
  const cut = setTimeout(() => client.connection.stream.destroy(), GOODBYE_MS)
  await client.end().catch(() => {})
  clearTimeout(cut)
}
