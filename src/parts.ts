// Builds what the protocol and the surfaces need, each once: stores, directories in memory, limits and recorders.
import { builtInApi } from './base/admin-api-scopes.ts'
import type { Config } from './base/config.ts'
import type { Secrets } from './base/secrets.ts'
import { clientDirectory } from './core/clients/cache.ts'
import { clientUseRecorder } from './core/clients/usage.ts'
import { rejectedRequestRecorder } from './core/diagnostics/store.ts'
import { useRecorder } from './core/grants/usage.ts'
import { documentReader } from './core/registration/document-reader.ts'
import { registrations } from './core/registration/outcomes.ts'
import { resourceDirectory } from './core/resources/cache.ts'
import { sessionRotations } from './core/users/sessions.ts'
import { answersOfNodes } from './db/answers.ts'
import type { Pool } from './db/pool.ts'
import { blockLimits } from './http/block-limits.ts'
import type { FetchOutside } from './http/fetch.ts'
import type { Logger } from './http/log.ts'
import { createRender } from './http/render.ts'
import { rejectionRecorder } from './protocol/diagnostics/record.ts'
import { providerPages } from './protocol/pages.ts'
import { issuerOf } from './protocol/provider-parts.ts'
import { unverifiedClientLimits } from './protocol/rules/unverified-clients.ts'
import { userCodeRateLimit } from './protocol/rules/user-code-limit.ts'
import { giveBacks } from './protocol/storage/state.ts'
import { tokenStore } from './protocol/storage/tokens.ts'

/** What {@link buildParts} needs. */
export interface Needs {
  config: Config
  secrets: Secrets
  db: Pool
  log: Logger
  fetchOutside: FetchOutside
  /** False while announcements may be missed: whatever is kept in memory is then read anew each time. */
  mayRemember(): boolean
}

/** What the protocol and the surfaces need. */
export type Parts = ReturnType<typeof buildParts>

/** Builds all of it. Nothing is read from the database yet. */
export function buildParts(needs: Needs) {
  const { config, db, log, mayRemember } = needs
  const issuer = issuerOf(config)
  const render = createRender({ brand: config.brand })
  const limits = blockLimits()
  const documents = documentsOf(needs, { limits, forget: (id) => clients.forget(id) })
  const clients = clientDirectory(db, mayRemember, documents?.accepts)
  const resources = resourceDirectory(db, mayRemember, builtInApi(issuer))
  const answers = answersOfNodes(db)
  return {
    ...needs,
    issuer,
    render,
    limits,
    documents,
    clients,
    resources,
    answers,
    ...recorders(needs, resources),
    pages: providerPages({ render, log, clients }),
    tokens: tokenStore(db, answers),
    uses: giveBacks(db),
    rotations: sessionRotations(db),
    registrations: registrations(db, answers),
    countUserCode: userCodeRateLimit(db, limits),
    unverifiedLimits: unverifiedClientLimits({ db, limits, log }),
  }
}

/** Writes what is still to be written. Stop accepting requests first. */
export async function closeParts(parts: Parts): Promise<void> {
  const { use, clientUse, rejectedRequests, tokens, uses, rotations, registrations } = parts
  const all = [use, clientUse, rejectedRequests, tokens, uses, rotations, registrations]
  await Promise.all(all.map((each) => each.close()))
}

function documentsOf(
  { config, db, log, fetchOutside }: Needs,
  parts: { limits: ReturnType<typeof blockLimits>; forget(id: string): void },
) {
  const { on, hosts } = config.clientDocuments
  if (!on) return undefined
  return documentReader({ db, fetchOutside, open: config.dynamicRegistration, hosts, log, ...parts })
}

// Each collects what requests leave behind and writes it now and then. A write that fails is noted in the log and lost.
function recorders({ db, log }: Needs, resources: ReturnType<typeof resourceDirectory>) {
  const failed = (what: string) => (error: unknown) => log.warn({ err: error }, `${what} not noted`)
  const clientUse = clientUseRecorder(db, failed('use was'))
  const rejectedRequests = rejectedRequestRecorder(db, failed('refused requests were'))
  const onError = failed('a refused request was')
  return {
    use: useRecorder(db, failed('last use was')),
    clientUse,
    rejectedRequests,
    refused: rejectionRecorder({ rejectedRequests, clientUse, resources, onError }),
  }
}
