// One connection that waits for announcements (LISTEN), so that a node may keep rows in memory and still drop them the
// moment they change anywhere. It knows no noun of ours.
import { randomBytes } from 'node:crypto'
import pg from 'pg'
import type { Logger } from 'pino'
import { holdPresence } from './answers.ts'
import type { Clock } from './clock.ts'
import { asDatabaseError, type Pool } from './pool.ts'

/** A subscription to the announcements of all nodes. */
export interface Listener {
  /** False while announcements may be missed; whoever keeps rows in memory must then read them anew each time. */
  isHearing(): boolean
  close(): Promise<void>
}

/** What becomes of what is heard. */
export interface Ears {
  /** The payload of one announcement. */
  heard(payload: string): void
  /** Announcements come again; anything may have changed meanwhile. */
  missedSome(): void
  /** Called again and again while none come: anything may change unheard. */
  deaf(): void
  /** Asked once a second: what this node has to announce, less than 8,000 bytes. What cannot be sent is lost. */
  tells?(): string | undefined
}

/** What the listener stands on. */
export interface ListenParts {
  pool: Pool
  clock: Clock
  log: Logger
  /** The number of this node in {@link Answers}: the others see that it lives while this connection stands. */
  node: number
}

const CHANNEL = 'valetkey'
const BEAT_MS = 1_000
// Checked once a beat, so that after 5 seconds nothing is believed any more.
const BELIEVED_MS = 4_000
const RETRY_MS = 500
const NOW = 'extract(epoch from clock_timestamp())::float8 as now'

/**
 * Subscribes to the channel 'valetkey'. A connection that breaks is made again for as long as the listener is open. Every
 * second it sends itself an announcement, with what the node has to tell the others: connections can stand and say nothing, to us or at all (a firewall, a pooler), and
 * only one that came back shows that those before it did. @throws DatabaseUnavailable
 */
export async function listen({ pool, clock, log, node }: ListenParts, ears: Ears): Promise<Listener> {
  // Announcements reach every listener of their channel: a beat is nobody else's business.
  const ownChannel = `${CHANNEL}_${randomBytes(8).toString('hex')}`
  let client: pg.Client | undefined
  let attempt: pg.Client | undefined
  let closed = false
  let retry: NodeJS.Timeout | undefined
  let reconnecting: Promise<void> = Promise.resolve()
  let connectedAt = 0
  // When the last beat that came back was sent: whatever was announced before that has arrived.
  let heardAt = Number.NEGATIVE_INFINITY
  let isLost = false
  let beats = 0
  let isBeating = false
  const onTheirWay = new Map<string, number>()

  const isHearing = (): boolean => performance.now() - heardAt < BELIEVED_MS
  const lost = (): void => {
    if (isLost || closed) return
    isLost = true
    log.warn(
      'no announcements of changes arrive: clients, APIs and keys are read again and again until they do',
    )
  }
  const beatCameBack = (number: string): void => {
    heardAt = onTheirWay.get(number) ?? heardAt
    onTheirWay.delete(number)
    if (!isLost) return
    isLost = false
    log.info('announcements of changes arrive again')
    ears.missedSome()
  }
  const beat = async (on: pg.Client): Promise<void> => {
    const number = String(++beats)
    onTheirWay.set(number, performance.now())
    isBeating = true
    try {
      const told = ears.tells?.()
      await clock.set(async () => {
        const { rows } = await (told === undefined
          ? on.query(`select pg_notify($1, $2), ${NOW}`, [ownChannel, number])
          : on.query(`select pg_notify($1, $2), pg_notify($3, $4), ${NOW}`, [
              ownChannel,
              number,
              CHANNEL,
              told,
            ]))
        return rows[0].now as number
      })
    } finally {
      isBeating = false
    }
  }

  const connect = async (): Promise<void> => {
    const trying = new pg.Client({
      ...pool.pg.options,
      application_name: 'valetkey listen',
      keepAlive: true,
      connectionTimeoutMillis: BELIEVED_MS,
      query_timeout: BELIEVED_MS,
    })
    attempt = trying
    trying.on('notification', ({ channel, payload = '' }) => {
      if (channel === ownChannel) beatCameBack(payload)
      else ears.heard(payload)
    })
    trying.on('error', () => {})
    // An attempt that fails is the caller's to repeat: two who repeat it would be four the next time.
    trying.on('end', () => {
      if (client !== trying) return
      client = undefined
      heardAt = Number.NEGATIVE_INFINITY
      onTheirWay.clear()
      lost()
      reconnectSoon()
    })
    try {
      await trying.connect()
      await trying.query(`listen ${CHANNEL}`)
      await trying.query(`listen ${ownChannel}`)
      await holdPresence(trying, node)
      connectedAt = performance.now()
      await beat(trying)
      if (closed) throw new Error('closed meanwhile')
    } catch (error) {
      trying.connection.stream.destroy()
      throw asDatabaseError(error)
    } finally {
      attempt = undefined
    }
    client = trying
  }
  const reconnectSoon = (): void => {
    if (!closed) retry = setTimeout(() => (reconnecting = reconnect()), RETRY_MS)
  }
  const reconnect = (): Promise<void> => connect().catch(reconnectSoon)

  const tick = (): void => {
    if (!isHearing()) {
      lost()
      ears.deaf()
    }
    if (!client) return
    if (performance.now() - Math.max(heardAt, connectedAt) >= BELIEVED_MS) client.connection.stream.destroy()
    // One that is not answered ends with its connection.
    else if (!isBeating) beat(client).catch(() => {})
  }

  await connect()
  const ticking = setInterval(tick, BEAT_MS)
  ticking.unref()
  return {
    isHearing,
    async close() {
      closed = true
      clearInterval(ticking)
      clearTimeout(retry)
      attempt?.connection.stream.destroy()
      await Promise.all([client && hangUp(client), reconnecting])
    },
  }
}

const GOODBYE_MS = 1_000

// Over a network that says nothing, nobody says goodbye.
async function hangUp(client: pg.Client): Promise<void> {
  const cut = setTimeout(() => client.connection.stream.destroy(), GOODBYE_MS)
  await client.end().catch(() => {})
  clearTimeout(cut)
}
