// Builds every part once, with just what it needs, and puts them into their order.
import { randomUUID } from 'node:crypto'
import type { IncomingMessage, ServerResponse } from 'node:http'
import { setTimeout as sleep } from 'node:timers/promises'
import Koa, { type Context, type Middleware } from 'koa'
import type { Provider } from 'oidc-provider'
import { apiDocs } from './api/docs.ts'
import { apiDocument } from './api/document.ts'
import { apiRows } from './api/handle.ts'
import { sweepAnswers } from './api/once.ts'
import { apiOperations } from './api/table.ts'
import { activityPages } from './audit/account.ts'
import { auditAdmin } from './audit/admin.ts'
import { countDays } from './audit/days.ts'
import { SYSTEM } from './audit/events.ts'
import { SEAL_SECONDS, startSealer } from './audit/seal.ts'
import { record } from './audit/store.ts'
import { clientAdmin } from './clients/admin.ts'
import { changeAdmin } from './clients/admin-changes.ts'
import { cleanUpAdmin } from './clients/admin-clean-up.ts'
import { clientAdminForms } from './clients/admin-forms.ts'
import { adminLogo } from './clients/admin-logo.ts'
import { registrationTokenAdmin } from './clients/admin-registration-tokens.ts'
import { clientAdminSteps } from './clients/admin-steps.ts'
import { CLEAN_UP, cleanUpStep } from './clients/clean-up.ts'
import { developerPages } from './clients/developer.ts'
import { developerForms } from './clients/developer-forms.ts'
import { developerInsight } from './clients/developer-insight.ts'
import { developerInvitation } from './clients/developer-invitation.ts'
import { developerLogo } from './clients/developer-logo.ts'
import { developerPeople } from './clients/developer-people.ts'
import { quickStartPages } from './clients/developer-quick-start.ts'
import { developerSecrets } from './clients/developer-secrets.ts'
import { clientDirectory } from './clients/directory.ts'
import { documentReader } from './clients/document-reader.ts'
import { invitationLinkForMail, sweepInvitations } from './clients/invitations.ts'
import { logoFiles } from './clients/logo-files.ts'
import { limitedLogos, logoForm } from './clients/logo-form.ts'
import { sweepLogos } from './clients/logos.ts'
import { refusalRecorder, sweepRefusals } from './clients/refusals.ts'
import { registrationEndpoints } from './clients/register.ts'
import { sweepUnused } from './clients/registrations.ts'
import { sweepClients } from './clients/store.ts'
import { clientUseRecorder, sweepUsage, sweepUsageDays } from './clients/use.ts'
import type { Config } from './config.ts'
import { listen } from './db/listen.ts'
import type { Db, Pool } from './db/pool.ts'
import { appPages } from './grants/account.ts'
import { accessAdmin } from './grants/admin.ts'
import { END_ACCESS, endAccessStep } from './grants/end.ts'
import { sweepConsents, sweepGrants } from './grants/store.ts'
import { useRecorder } from './grants/use.ts'
import { adminGuard, apiTokenGuard, developerGuard, signedInGuard } from './guards.ts'
import { healthPages } from './health.ts'
import { interactionPages } from './interaction/pages.ts'
import { repeat } from './jobs/repeat.ts'
import { startJobRunner } from './jobs/runner.ts'
import { startSweeper } from './jobs/sweeper.ts'
import { keyAdmin } from './keys/admin.ts'
import { loadKeySet, rotateKeysIfDue, sweepKeys } from './keys/store.ts'
import { startMailer } from './mail/mailer.ts'
import { type LostMail, sweepMails } from './mail/outbox.ts'
import { userCodeGuesses } from './oidc/guesses.ts'
import { providerPages } from './oidc/pages.ts'
import { isForPrograms, protocol } from './oidc/protocol.ts'
import { createProvider, issuerOf } from './oidc/provider.ts'
import { refusalNotes } from './oidc/refusals.ts'
import { sweepState } from './oidc/state.ts'
import { sweepTokens, tokenStore } from './oidc/tokens.ts'
import { overviewAdmin } from './overview/admin.ts'
import { resourceAdmin } from './resources/admin.ts'
import { resourceAdminSecrets } from './resources/admin-secrets.ts'
import { API_PATH, builtInApi } from './resources/built-in.ts'
import { resourceDirectory } from './resources/directory.ts'
import { routes } from './routes.ts'
import type { Secrets } from './secrets.ts'
import { profilePages } from './users/account.ts'
import { userAdmin } from './users/admin.ts'
import { resetPages } from './users/reset.ts'
import { resetLinkForMail } from './users/reset-links.ts'
import { sweepSessions } from './users/sessions.ts'
import { setupPages } from './users/setup.ts'
import { sweepLinks } from './users/store.ts'
import { assets } from './web/assets.ts'
import { BadRequest, errorAnswers } from './web/errors.ts'
import { type FetchOutside, outsideFetch } from './web/fetch.ts'
import { believedHeaders, securityHeaders } from './web/headers.ts'
import type { Logger } from './web/log.ts'
import { createRender } from './web/render.ts'
import { sweepCounters, throttle } from './web/throttle.ts'

// In the order in which one makes the next possible: tokens hang on grants, grants on consents and clients.
const sweepsOf = ({ dynamicRegistration }: Config) => ({
  tokens: sweepTokens,
  provider_state: sweepState,
  sessions: sweepSessions,
  user_links: sweepLinks,
  rate_limits: sweepCounters,
  grants: sweepGrants,
  consents: sweepConsents,
  client_invitations: sweepInvitations,
  clients: sweepClients,
  logos: sweepLogos,
  signing_keys: sweepKeys,
  usage_hours: sweepUsage,
  mails: sweepMails,
  client_usage_days: sweepUsageDays,
  client_refusals: sweepRefusals,
  api_answers: sweepAnswers,
  // Looked at, most of them to stay.
  registrations: sweepUnused(dynamicRegistration.unusedDays),
})

// What can be a job.
const JOBS = { [END_ACCESS]: endAccessStep, [CLEAN_UP]: cleanUpStep }

const REBUILD_MS = 1_000
const UPKEEP_SECONDS = 600

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
}

/** Builds the server. The database must have been migrated, and hold signing keys. */
export async function createApp({
  config,
  secrets,
  db,
  log,
  fetchOutside = outsideFetch({ ownHosts: [config.issuerUrl.hostname] }),
}: AppParts): Promise<App> {
  const issuer = issuerOf(config)
  const render = createRender({ brand: config.brand })
  const tokens = tokenStore(db)
  const use = useRecorder(db, (error) => log.warn({ err: error }, 'last use was not noted'))
  const clientUse = clientUseRecorder(db, (error) => log.warn({ err: error }, 'use was not noted'))
  const refusals = refusalRecorder(db, (error) => log.warn({ err: error }, 'refused requests were not noted'))
  const documents = config.clientDocuments.on
    ? documentReader({
        db,
        fetchOutside,
        door: config.dynamicRegistration,
        hosts: config.clientDocuments.hosts,
        log,
        forget: (id) => clients.forget(id),
      })
    : undefined
  const clients = clientDirectory(db, () => listener.isConnected(), documents?.accepts)
  const resources = resourceDirectory(db, () => listener.isConnected(), builtInApi(issuer))

  const pages = providerPages({ render, log, clients })
  const guesses = userCodeGuesses(db)

  const build = async (): Promise<Provider> => {
    const [keySet, apis] = await Promise.all([loadKeySet(db, secrets), resources.all()])
    const resourceScopes = apis.flatMap(({ scopes }) => scopes.map(({ name }) => name))
    const parts = {
      config,
      secrets,
      db,
      guesses,
      tokens,
      clients,
      clientUse,
      documents,
      fetchOutside,
      resources,
      issuer,
      keySet,
      resourceScopes,
      pages,
    }
    const built = createProvider(parts)
    built.on('server_error', (ctx, error) => {
      log.error({ request_id: ctx.state.requestId, err: error }, 'protocol error of ours')
    })
    return built
  }
  // Announcements come faster than building takes: only what was read last may take effect. And what could not be read is
  // read again, because nobody announces it a second time.
  const keepUp = async (): Promise<void> => {
    const { signingKeyRotationDays: days } = config
    try {
      const rotated = days > 0 && (await rotateKeysIfDue(db, secrets, days))
      if (rotated) log.info('signing keys were rotated: the old ones had signed for long enough')
      await countDays(db)
    } catch (error) {
      log.error({ err: error }, 'rotating keys or counting days failed, it is tried again')
    }
  }
  const rebuild = async (): Promise<void> => {
    const mine = ++newest
    while (mine === newest) {
      try {
        const built = await build()
        if (mine === newest) current = built
        return
      } catch (error) {
        log.error({ err: error }, 'keys and APIs could not be read anew, it is tried again')
        await sleep(REBUILD_MS, undefined, { ref: false })
      }
    }
  }
  let newest = 0
  const heard = (payload: string): void => {
    if (payload.startsWith('clients:')) clients.forget(payload.slice('clients:'.length))
    if (payload === 'resources') resources.forget()
    if (payload === 'jobs') jobs.wake()
    if (payload === 'mails') mailer.wake()
    if (payload === 'resources' || payload === 'keys') void rebuild()
  }
  const missedSome = (): void => {
    clients.forget()
    resources.forget()
    jobs.wake()
    mailer.wake()
    void rebuild()
  }
  const jobs = startJobRunner({ db, log }, JOBS)
  const mailer = startMailer({
    db,
    log,
    config,
    links: { password_reset: resetLinkForMail, owner_invitation: invitationLinkForMail },
    lost: recordLostMail,
  })
  const listener = await listen(db, heard, missedSome)
  let current = await build()
  const provider = () => current
  const sweeper = startSweeper({ db, log }, sweepsOf(config), config.sweepIntervalSeconds)
  // A process that leaves sweeping to others leaves this to them, too.
  const sealer = startSealer({ db, secrets, log }, config.sweepIntervalSeconds === 0 ? 0 : SEAL_SECONDS)
  const upkeep = repeat(keepUp, UPKEEP_SECONDS)
  const firstUpkeep = keepUp()

  const app = new Koa({ keys: secrets.cookieKeys, proxy: true })
  // Whatever is thrown outside of errorAnswers comes too late to be answered: a client that went away, mostly.
  app.on('error', (error) => log.debug({ err: error }, 'connection ended early'))
  app.use(requests(log))
  app.use(securityHeaders(config.issuerUrl.protocol === 'https:', isForPrograms))
  app.use(errorAnswers({ render, log, isApi }))
  app.use(wellFormedAddress)
  app.use(assets(config).middleware)
  const refused = refusalNotes({
    refusals,
    clientUse,
    resources,
    onError: (error) => log.warn({ err: error }, 'a refused request was not noted'),
  })
  app.use(protocol({ db, tokens, use, clientUse, refused, pages, provider }))

  const mailIsOn = config.mail !== undefined
  const mode = config.developerRegistration
  const guarded = { db, provider, secrets, issuer, hasPortal: mode !== 'off' }
  const own = { db, resources, render, mode }
  const makeLogo = limitedLogos(db)
  const sendLogo = logoForm({ db, issuer, makeLogo })
  const insight = developerInsight({ db, render })
  const mayRegister = config.dynamicRegistration.mode !== 'off'
  const operations = apiOperations({ issuer, secrets, mailIsOn, makeLogo })
  const perMinute = config.apiRequestsPerMinute
  const apiToken = apiTokenGuard({
    db,
    tokens,
    issuer,
    audience: builtInApi(issuer).identifier,
    use,
    perMinute,
    perClient: throttle(db, {
      name: 'api',
      attempts: perMinute,
      seconds: 60,
      message: 'Too many requests of this client.',
    }),
  })
  const document = apiDocument(operations, { issuer, brand: config.brand.name })
  const router = routes({
    health: healthPages({ db }),
    interaction: interactionPages({ db, provider, secrets, render, clients, resources, refusals }),
    setup: setupPages({ db, secrets, render }),
    reset: resetPages({ db, secrets, render }),
    profile: profilePages({ db, render }),
    apps: appPages({ db, resources, render }),
    activity: activityPages({ db, render }),
    logoFiles: logoFiles({ db }),
    portal:
      mode === 'off'
        ? undefined
        : {
            apps: developerPages(own),
            forms: developerForms(own),
            secrets: developerSecrets(own),
            people: developerPeople({ ...own, issuer, mailIsOn }),
            invitation: developerInvitation(own),
            quickStart: quickStartPages({ ...own, issuer }),
            logo: developerLogo({ ...own, send: sendLogo }),
            insight,
          },
    registration:
      config.dynamicRegistration.mode === 'off'
        ? undefined
        : registrationEndpoints({ db, config, log, issuer }),
    administration: {
      overview: overviewAdmin({ db, render, mailIsOn }),
      clients: clientAdmin({ db, documents: config.clientDocuments.on, resources, mayRegister, render }),
      clientForms: clientAdminForms({ db, resources, render }),
      clientSteps: clientAdminSteps({ db, render, mailIsOn }),
      changes: changeAdmin({ db, render }),
      cleanUp: cleanUpAdmin({ db, render }),
      registrationTokens: registrationTokenAdmin({ db, resources, mayRegister, render }),
      logo: adminLogo({ db, render, send: sendLogo }),
      insight,
      users: userAdmin({ db, render, issuer, mailIsOn }),
      access: accessAdmin({ db, render }),
      apis: resourceAdmin({ db, standardSeconds: config.ttl.accessTokenSeconds, render }),
      apiSecrets: resourceAdminSecrets({ db, render }),
      keys: keyAdmin({ db, secrets, rotationDays: config.signingKeyRotationDays, render }),
      audit: auditAdmin({ db, render }),
    },
    api: apiRows(operations, { db, issuer, apiToken }),
    apiDocs: apiDocs({ document, issuer, render }),
    signedIn: signedInGuard(guarded),
    ...adminGuard(guarded),
    ...developerGuard(guarded),
    home: (ctx) => ctx.redirect('/account'),
    afterSignIn,
  })
  app.use(router.routes() as unknown as Middleware)
  app.use(router.allowedMethods({ throw: false }) as unknown as Middleware)

  const believe = believedHeaders(config.issuerUrl, config.trustedProxies)
  const callback = app.callback()
  return {
    handler(req, res) {
      believe(req)
      callback(req, res)
    },
    async close() {
      newest = Number.NaN
      await Promise.all([
        listener.close(),
        sweeper.close(),
        sealer.close(),
        upkeep.close(),
        firstUpkeep,
        jobs.close(),
        mailer.close(),
      ])
      await Promise.all([use.close(), clientUse.close(), refusals.close()])
    },
  }
}

function recordLostMail(t: Db, { id, kind, attempts, client_id, user_id }: LostMail): Promise<void> {
  const about = { ...(client_id !== null && { client_id }), ...(user_id !== null && { user_id }) }
  return record(t, { type: 'mail.given_up', ...about, mail_id: id, kind, attempts }, SYSTEM)
}

// One line a request. The path alone: a query may hold codes and hints, a path of ours may hold an interaction's id.
function requests(log: Logger): Middleware {
  return async (ctx, next) => {
    const started = performance.now()
    const requestId = randomUUID()
    ctx.state.requestId = requestId
    ctx.set('X-Request-Id', requestId)
    await next()
    log.info(
      {
        request_id: requestId,
        method: ctx.method,
        path: ctx.path.replace(
          /^(\/(?:interaction|auth|device|setup|reset|developer\/invitations)\/)[^/]+/,
          '$1…',
        ),
        status: ctx.status,
        ms: Math.round(performance.now() - started),
        ip: ctx.ip,
        client_id:
          (ctx as { oidc?: { client?: { clientId: string } } }).oidc?.client?.clientId ?? ctx.state.client_id,
      },
      'request',
    )
  }
}

// NUL and broken percent-encoding mean nothing anywhere; refused here, nothing behind has to think of them.
const wellFormedAddress: Middleware = (ctx, next) => {
  if (!ctx.url.includes('%')) return next()
  let decoded: string
  try {
    decoded = decodeURIComponent(ctx.url.replaceAll('+', ' '))
  } catch {
    throw new BadRequest('The address is not well-formed.')
  }
  if (decoded.includes('\0') || !decoded.isWellFormed())
    throw new BadRequest('The address is not well-formed.')
  return next()
}

// Under it nobody looks at pages.
function isApi(path: string): boolean {
  return path === API_PATH || path.startsWith(`${API_PATH}/`)
}

const OWN_PAGE = /^\/(account|admin|developer)(\/[\w./%-]*)?(\?[\w.~%&=+*@-]*)?$/

// The provider sends the browser back here after signing in to our own pages; state says where it was going.
function afterSignIn(ctx: Context): void {
  const path = String(ctx.query.state ?? '')
  const refused = ctx.query.error !== undefined
  ctx.status = 303
  // Only our own pages: a path below /account, /admin or /developer, nothing that a browser could read as another host.
  ctx.redirect(!refused && OWN_PAGE.test(path) ? path : '/account')
}
