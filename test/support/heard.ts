// Waits until the servers inside of this process have received all announcements. They receive them over connections of their own, some
// time after the commit.
import { randomUUID } from 'node:crypto'
import { setTimeout as sleep } from 'node:timers/promises'
import pg from 'pg'
import { OPENID_SCOPES } from '../../src/base/openid-scopes.ts'
import { listKeys } from '../../src/core/keys/store.ts'
import { listResources } from '../../src/core/resources/store.ts'
import { type Pool, run, sql } from '../../src/db/pool.ts'
import { until } from './patience.ts'

/** Listening connections, each with the last mark that it received. */
const marks = new Map<pg.Client, string>()

const prototype = pg.Client.prototype as unknown as { emit(this: pg.Client, ...args: unknown[]): boolean }
const { emit } = prototype
prototype.emit = function (...args) {
  const isHandled = emit.apply(this, args)
  const [event, message] = args
  if (event === 'end') marks.delete(this)
  if (event === 'notification') {
    const { payload = '' } = message as pg.Notification
    marks.set(this, payload.startsWith(MARK) ? payload : (marks.get(this) ?? ''))
  }
  return isHandled
}

const MARK = 'heard:'

/**
 * Waits until every server inside of this process has received the announcements of all earlier commits, and this one uses the present
 * scopes and keys.
 */
export async function heard({ db, origin }: { db: Pool; origin: string }): Promise<void> {
  const { pathname } = new URL(db.pg.options.connectionString!)
  // Announced again for servers that lost their connection and listen on a new one.
  await until(async () => {
    const mark = MARK + randomUUID()
    await run(db, sql`select pg_notify('valetkey', ${mark})`)
    for (let looks = 0; looks < 50; looks++) {
      const listeners = [...marks].filter(([{ database }]) => `/${database}` === pathname)
      if (listeners.length > 0 && listeners.every(([, last]) => last === mark)) return true
      await sleep(10)
    }
    return false
  })
  const [keys, apis] = await Promise.all([listKeys(db), listResources(db)])
  const scopes = [...OPENID_SCOPES, ...apis.flatMap(({ scopes }) => scopes).map(({ name }) => name)]
  const expected = [keys.map(({ kid }) => kid), scopes].map((names) => names.sort().join())
  await until(async () => {
    const published = await read<{ keys: { kid: string }[] }>(`${origin}/jwks`)
    const { scopes_supported } = await read<{ scopes_supported: string[] }>(
      `${origin}/.well-known/openid-configuration`,
    )
    const found = [published.keys.map(({ kid }) => kid), scopes_supported].map((names) => names.sort().join())
    return found.join(' ') === expected.join(' ')
  })
}

async function read<T>(address: string): Promise<T> {
  return (await fetch(address)).json() as Promise<T>
}
