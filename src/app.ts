// Builds every part once, with just what it needs, and puts them into their order.
import type { IncomingMessage, ServerResponse } from 'node:http'
import Koa from 'koa'
import { type Background, startBackground } from './background.ts'
import { API_PATH, builtInApi } from './base/admin-api-scopes.ts'
import type { Config } from './base/config.ts'
import type { Secrets } from './base/secrets.ts'
import { clientDirectory } from './core/clients/cache.ts'
import { clientUseRecorder } from './core/clients/usage.ts'
import { rejectedRequestRecorder } from './core/diagnostics/store.ts'
import { useRecorder } from './core/grants/usage.ts'
import { documentReader } from './core/registration/document-reader.ts'
import { resourceDirectory } from './core/resources/cache.ts'
import { sessionRotations } from './core/users/sessions.ts'
import { answersOfNodes } from './db/answers.ts'
import { databaseCheck } from './db/check.ts'
import { followDatabase } from './db/clock.ts'
import { listen } from './db/listen.ts'
import type { Pool } from './db/pool.ts'
import { assets } from './http/assets.ts'
import { blockLimits } from './http/block-limits.ts'
import { errorAnswers } from './http/errors.ts'
import { type FetchOutside, outsideFetch } from './http/fetch.ts'
import { believedHeaders, securityHeaders } from './http/headers.ts'
import type { Logger } from './http/log.ts'
import { answerInJson, oneCredential } from './http/programs.ts'
import { renamed } from './http/renamed.ts'
import { createRender } from './http/render.ts'
import { requests, wellFormedAddress } from './http/requests.ts'
import { routing } from './http/routes.ts'
import { currentProvider } from './protocol/current-provider.ts'
import { rejectionRecorder } from './protocol/diagnostics/record.ts'
import { isForPrograms, isOAuth, protocol } from './protocol/mount.ts'
import { providerPages } from './protocol/pages.ts'
import { issuerOf } from './protocol/provider.ts'
import { unverifiedClientLimits } from './protocol/rules/unverified-clients.ts'
import { userCodeRateLimit } from './protocol/rules/user-code-limit.ts'
import { giveBacks } from './protocol/storage/state.ts'
import { tokenStore } from './protocol/storage/tokens.ts'
import { rememberRequest } from './protocol/storage/unit-of-work.ts'
import { FORMER_ADDRESSES, surfaces } from './surfaces.ts'

// What nodes tell each other of busy address blocks.
const LIMITS = 'limits:'

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
  const issuer = issuerOf(config)
  const render = createRender({ brand: config.brand })
  const failed = (what: string) => (error: unknown) => log.warn({ err: error }, `${what} not noted`)
  const answers = answersOfNodes(db)
  const tokens = tokenStore(db, answers)
  const use = useRecorder(db, failed('last use was'))
  const clientUse = clientUseRecorder(db, failed('use was'))
  const rejectedRequests = rejectedRequestRecorder(db, failed('refused requests were'))
  const uses = giveBacks(db)
  const rotations = sessionRotations(db)
  const limits = blockLimits()
  const documents = config.clientDocuments.on
    ? documentReader({
        db,
        fetchOutside,
        door: config.dynamicRegistration,
        hosts: config.clientDocuments.hosts,
        log,
        limits,
        forget: (id) => clients.forget(id),
      })
    : undefined
  const clients = clientDirectory(db, () => listener.isHearing(), documents?.accepts)
  const resources = resourceDirectory(db, () => listener.isHearing(), builtInApi(issuer))
  const pages = providerPages({ render, log, clients })
  const current = currentProvider(
    {
      config,
      secrets,
      db,
      countUserCode: userCodeRateLimit(db, limits),
      unverifiedLimits: unverifiedClientLimits({ db, limits, log }),
      uses,
      answers,
      rotations,
      tokens,
      clients,
      clientUse,
      documents,
      fetchOutside,
      resources,
      issuer,
      pages,
    },
    log,
  )

  let background: Background | undefined
  const heard = (payload: string): void => {
    answers.heard(payload)
    if (payload.startsWith('clients:')) clients.forget(payload.slice('clients:'.length))
    if (payload.startsWith(LIMITS)) limits.heard(payload.slice(LIMITS.length))
    if (payload === 'resources') resources.forget()
    if (payload === 'jobs' || payload === 'mails') background?.wake(payload)
    if (payload === 'resources' || payload === 'keys') current.renew()
  }
  const missedSome = (): void => {
    clients.forget()
    resources.forget()
    background?.wake()
    current.renew()
  }
  const tells = (): string | undefined => {
    const told = limits.tell()
    return told === undefined ? undefined : LIMITS + told
  }
  const clock = followDatabase(log)
  const listener = await listen(
    { pool: db, clock, log, node: answers.node },
    // Clients and APIs are not believed while it is deaf; the provider was built from what it was built from.
    { heard, missedSome, deaf: current.renewUnlessUnderWay, tells },
  )
  await current.start()
  background = startBackground({ config, secrets, db, log, renew: current.renew })
  const { close: closeBackground } = background
  const check = databaseCheck(db)
  const { provider } = current

  const app = new Koa({ keys: secrets.cookieKeys, proxy: true })
  // Whatever is thrown outside of errorAnswers comes too late to be answered: a client that went away, mostly.
  app.on('error', (error) => log.debug({ err: error }, 'connection ended early'))
  app.use(rememberRequest)
  app.use(requests(log))
  app.use(securityHeaders(config.issuerUrl.protocol === 'https:', isForPrograms))
  app.use(answerInJson(isForPrograms))
  app.use(errorAnswers({ render, log, isApi, isOAuth }))
  app.use(oneCredential)
  app.use(wellFormedAddress)
  app.use(assets(config).middleware)
  const refused = rejectionRecorder({
    rejectedRequests,
    clientUse,
    resources,
    onError: failed('a refused request was'),
  })
  app.use(protocol({ db, tokens, use, clientUse, refused, pages, uses, answers, provider }))
  const health = { check, listener, clock, isDraining }
  const rows = surfaces({
    config,
    secrets,
    db,
    log,
    render,
    issuer,
    health,
    clients,
    resources,
    tokens,
    use,
    rejectedRequests,
    limits,
    provider,
  })
  app.use(renamed(FORMER_ADDRESSES))
  for (const middleware of routing(rows)) app.use(middleware)

  const believe = believedHeaders(config.issuerUrl, config.trustedProxies)
  const callback = app.callback()
  return {
    handler(req, res) {
      believe(req)
      callback(req, res)
    },
    async close() {
      current.close()
      await Promise.all([listener.close(), check.close(), closeBackground()])
      await Promise.all(
        [use, clientUse, rejectedRequests, tokens, uses, rotations].map((each) => each.close()),
      )
      clock.close()
    },
  }
}

// Under it nobody looks at pages.
function isApi(path: string): boolean {
  return path === API_PATH || path.startsWith(`${API_PATH}/`)
}
