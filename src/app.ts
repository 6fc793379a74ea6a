// Starts every part of the server and puts its middleware in order.
import type { IncomingMessage, ServerResponse } from 'node:http'
import Koa from 'koa'
import { followAnnouncements } from './announcements.ts'
import { type Background, startBackground } from './background.ts'
import { API_PATH } from './base/admin-api-scopes.ts'
import type { Config } from './base/config.ts'
import type { Secrets } from './base/secrets.ts'
import { databaseCheck } from './db/check.ts'
import { followDatabase } from './db/clock.ts'
import type { Pool } from './db/pool.ts'
import { assets } from './http/assets.ts'
import { errorAnswers } from './http/errors.ts'
import { type FetchOutside, outsideFetch } from './http/fetch.ts'
import { believedHeaders, securityHeaders } from './http/headers.ts'
import type { Logger } from './http/log.ts'
import { answerInJson, oneCredential } from './http/programs.ts'
import { renamed } from './http/renamed.ts'
import { requests, wellFormedAddress } from './http/requests.ts'
import { routing } from './http/routes.ts'
import { buildParts, closeParts } from './parts.ts'
import { currentProvider } from './protocol/current-provider.ts'
import { isForPrograms, isOAuth, type ProtocolParts, protocol } from './protocol/mount.ts'
import { rememberRequest } from './protocol/storage/unit-of-work.ts'
import { FORMER_ADDRESSES, type SurfaceParts, surfaces } from './surfaces.ts'

/** The server without its socket. */
export interface App {
  handler: (req: IncomingMessage, res: ServerResponse) => void
  /** Ends what runs in the background, writing what is still to be written. Stop accepting requests first. */
  close(): Promise<void>
}

/** What the server is built from. */
export interface AppParts {
  config: Config
  secrets: Secrets
  db: Pool
  log: Logger
  /** How to fetch what others name; a test has a network of its own. */
  fetchOutside?: FetchOutside
  /** Whether this process is about to stop, and proxies should look elsewhere. */
  isDraining?: () => boolean
}

/** Builds the server. The database must have been migrated, and hold signing keys. */
export async function createApp({
  config,
  secrets,
  db,
  log,
  fetchOutside = outsideFetch({ ownHosts: [config.issuerUrl.hostname] }),
  isDraining = () => false,
}: AppParts): Promise<App> {
  const mayRemember = () => listener.isHearing()
  const parts = buildParts({ config, secrets, db, log, fetchOutside, mayRemember })
  const current = currentProvider(parts, log)
  const clock = followDatabase(log)
  let background: Background | undefined
  const wake: Background['wake'] = (lane) => background?.wake(lane)
  const listener = await followAnnouncements({ ...parts, clock, current, wake })
  await current.start()
  background = startBackground({ ...parts, renew: current.renew })
  const { close: closeBackground } = background
  const check = databaseCheck(db)
  const health = { check, listener, clock, isDraining }

  const callback = koa({ ...parts, provider: current.provider, health }).callback()
  const believe = believedHeaders(config.issuerUrl, config.trustedProxies)
  return {
    handler(req, res) {
      believe(req)
      callback(req, res)
    },
    async close() {
      current.close()
      await Promise.all([listener.close(), check.close(), closeBackground()])
      await closeParts(parts)
      clock.close()
    },
  }
}

function koa(parts: ProtocolParts & SurfaceParts): Koa {
  const { config, secrets, log, render } = parts
  const app = new Koa({ keys: secrets.cookieKeys, proxy: true })
  // Whatever is thrown outside of errorAnswers comes too late to be answered, mostly because a client has disconnected.
  app.on('error', (error) => log.debug({ err: error }, 'connection ended early'))
  app.use(rememberRequest)
  app.use(requests(log))
  app.use(securityHeaders(config.issuerUrl.protocol === 'https:', isForPrograms))
  app.use(answerInJson(isForPrograms))
  app.use(errorAnswers({ render, log, isApi, isOAuth }))
  app.use(oneCredential)
  app.use(wellFormedAddress)
  app.use(assets(config).middleware)
  app.use(protocol(parts))
  app.use(renamed(FORMER_ADDRESSES))
  for (const middleware of routing(surfaces(parts))) app.use(middleware)
  return app
}

// No page is shown below this path.
function isApi(path: string): boolean {
  return path === API_PATH || path.startsWith(`${API_PATH}/`)
}
