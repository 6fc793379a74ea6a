// Puts the demo together: a throw-away PostgreSQL, Valetkey on it, and the sample programs around it.
import { randomBytes } from 'node:crypto'
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { loadConfig } from '../src/base/config.ts'
import { startEmbedded, THROW_AWAY } from '../src/db/embedded.ts'
import { migrate } from '../src/db/migrate.ts'
import { openPool } from '../src/db/pool.ts'
import { serve } from '../src/server.ts'
import { freePort, isFree, listen, PortInUse } from './listen.ts'
import { createPhotoPrinter } from './photo-printer.ts'
import { createPhotosApi } from './photos-api.ts'
import { seed } from './seed.ts'
import { createSlideshowTv } from './slideshow-tv.ts'
import type { Trace } from './trace.ts'

/** The three ports that the demo's addresses are made of. */
export interface Ports {
  valetkey: number
  app: number
  api: number
}

/** The running demo. */
export interface Demo {
  /** Origins of the four programs. */
  valetkey: string
  app: string
  api: string
  slideshow: string
  brand: string
  /** Stops all programs and removes the data. */
  stop(): Promise<void>
}

/** Where the demo stands unless something else is asked for. */
export const PORTS: Ports = { valetkey: 3000, app: 4000, api: 4001 }

/**
 * Starts everything, or nothing.
 * @param trace takes the calls that the programs make to each other
 * @throws PortInUse
 */
export async function startDemo(ports: Ports, trace?: Trace): Promise<Demo> {
  await demandFree(ports)
  const valetkey = `http://localhost:${ports.valetkey}`
  const app = `http://localhost:${ports.app}`
  const api = `http://localhost:${ports.api}`
  await using started = new AsyncDisposableStack()

  const dataDir = await mkdtemp(join(tmpdir(), 'valetkey-demo-'))
  started.defer(() => rm(dataDir, { recursive: true, force: true }))
  const database = await startEmbedded(dataDir, { settings: THROW_AWAY })
  started.defer(() => database.stop())
  const credentials = await fill(database.url, { app, api })

  const config = loadConfig({
    ISSUER_URL: valetkey,
    PORT: String(ports.valetkey),
    DATABASE_URL: database.url,
    DATA_DIR: dataDir,
    SECRET_KEYS: randomBytes(32).toString('base64url'),
    LOG_LEVEL: 'error',
  })
  const brand = config.brand.name
  const server = await serve(config)
  started.defer(() => server.stop())

  const photos = createPhotosApi({ identifier: api, issuer: valetkey, client: credentials.api, trace })
  started.defer((await listen(photos.callback(), ports.api)).stop)
  const printer = createPhotoPrinter({
    origin: app,
    issuer: valetkey,
    brand,
    client: credentials.printer,
    api,
    trace,
  })
  started.defer((await listen(printer.callback(), ports.app)).stop)

  const slideshowPort = await freePort()
  const slideshow = `http://127.0.0.1:${slideshowPort}`
  const tv = createSlideshowTv({
    origin: slideshow,
    issuer: valetkey,
    brand,
    client: credentials.slideshow,
    api,
  })
  started.defer((await listen(tv.callback(), slideshowPort)).stop)

  const running = started.move()
  return { valetkey, app, api, slideshow, brand, stop: () => running.disposeAsync() }
}

async function demandFree({ valetkey, app, api }: Ports): Promise<void> {
  if (!(await isFree(valetkey))) throw new PortInUse(valetkey, 'Valetkey', '--port')
  if (!(await isFree(app))) throw new PortInUse(app, 'Photo Printer', '--app-port')
  if (!(await isFree(api))) throw new PortInUse(api, 'the photos API', '--api-port')
}

async function fill(url: string, origins: { app: string; api: string }) {
  const db = openPool(url, 2)
  try {
    await migrate(db)
    return await seed(db, origins)
  } finally {
    await db.close()
  }
}
