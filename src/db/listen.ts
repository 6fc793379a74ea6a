// One connection that waits for announcements (LISTEN), so that a node may keep rows in memory and still drop them the
// moment they change anywhere. It knows no noun of ours.
import pg from 'pg'
import type { Pool } from './pool.ts'

/** A subscription to the announcements of all nodes. */
export interface Listener {
  /** False while announcements may be missed; whoever keeps rows in memory must then read them anew each time. */
  isConnected(): boolean
  close(): Promise<void>
}

const CHANNEL = 'valetkey'
const PING_MS = 5_000
const RETRY_MS = 500

/**
 * Subscribes to the channel 'valetkey'. A connection that breaks is made again for as long as the listener is open.
 * @param onMessage the payload of one announcement. @param onReconnect anything may have changed meanwhile.
 */
export async function listen(
  pool: Pool,
  onMessage: (payload: string) => void,
  onReconnect: () => void,
): Promise<Listener> {
  let client: pg.Client | undefined
  let closed = false
  let retry: NodeJS.Timeout | undefined

  const connect = async (): Promise<void> => {
    const attempt = new pg.Client({
      ...pool.pg.options,
      application_name: 'valetkey listen',
      keepAlive: true,
    })
    attempt.on('notification', ({ payload }) => onMessage(payload ?? ''))
    attempt.on('error', () => {})
    // An attempt that fails is the caller's to repeat: two who repeat it would be four the next time.
    attempt.on('end', () => {
      if (client !== attempt) return
      client = undefined
      reconnectSoon()
    })
    try {
      await attempt.connect()
      await attempt.query(`listen ${CHANNEL}`)
    } catch (error) {
      attempt.end().catch(() => {})
      throw error
    }
    client = attempt
  }
  const reconnectSoon = (): void => {
    if (!closed) retry = setTimeout(reconnect, RETRY_MS)
  }
  const reconnect = async (): Promise<void> => {
    try {
      await connect()
      onReconnect()
    } catch {
      reconnectSoon()
    }
  }
  // A network that swallows packets ends no connection; only an answer shows that announcements still arrive.
  const ping = setInterval(() => {
    const asked = client
    if (!asked) return
    const silence = setTimeout(() => asked.connection.stream.destroy(), PING_MS)
    asked.query('select 1').then(
      () => clearTimeout(silence),
      () => clearTimeout(silence),
    )
  }, PING_MS)
  ping.unref()

  await connect()
  return {
    isConnected: () => client !== undefined,
    async close() {
      closed = true
      clearInterval(ping)
      clearTimeout(retry)
      await client?.end()
    },
  }
}
