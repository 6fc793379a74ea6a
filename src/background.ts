// Starts the background work: sweeping, sealing, jobs, mails, rotating keys.
import { sweepAnswers } from './api/idempotency.ts'
import { SYSTEM } from './base/audit-events.ts'
import type { Config } from './base/config.ts'
import type { Secrets } from './base/secrets.ts'
import { countDays } from './core/audit/days.ts'
import { SEAL_SECONDS, startSealer } from './core/audit/seal.ts'
import { record } from './core/audit/store.ts'
import { sweepClients } from './core/clients/lifecycle.ts'
import { sweepUsage, sweepUsageDays } from './core/clients/usage.ts'
import { sweepRejectedRequests } from './core/diagnostics/store.ts'
import { sweepConsents } from './core/grants/consents.ts'
import { END_ACCESS, endAccessStep } from './core/grants/revoke.ts'
import { sweepGrants } from './core/grants/store.ts'
import { rotateKeysIfDue, sweepKeys } from './core/keys/store.ts'
import { sweepLogos } from './core/logos/store.ts'
import { startMailer } from './core/mail/mailer.ts'
import type { LostMail } from './core/mail/outbox.ts'
import { invitationLinkForMail, sweepInvitations } from './core/ownership/invitations.ts'
import { CLEAN_UP, cleanUpStep } from './core/registration/cleanup.ts'
import { sweepUnused } from './core/registration/unused.ts'
import { TAKE_SCOPE, takeScopeStep } from './core/resources/removal.ts'
import { sweepKnownDevices } from './core/users/known-devices.ts'
import { sweepLinks } from './core/users/one-time-links.ts'
import { resetLinkForMail } from './core/users/reset-links.ts'
import { sweepSessions } from './core/users/sessions.ts'
import { sweepDeliveries } from './db/deliveries.ts'
import type { Db, Pool } from './db/pool.ts'
import type { Logger } from './http/log.ts'
import { sweepCounters } from './http/throttle.ts'
import { repeat } from './jobs/repeat.ts'
import { startJobRunner } from './jobs/runner.ts'
import { type Scheduled, startSchedule } from './jobs/schedules.ts'
import { startSweeper } from './jobs/sweeper.ts'
import { sweepState } from './protocol/storage/state.ts'
import { sweepTokens } from './protocol/storage/tokens.ts'

// In this order, because rows that refer to others must go first: tokens before grants, grants before consents and clients.
const sweepsOf = ({ dynamicRegistration }: Config) => ({
  tokens: sweepTokens,
  provider_state: sweepState,
  sessions: sweepSessions,
  user_links: sweepLinks,
  known_devices: sweepKnownDevices,
  rate_limits: sweepCounters,
  grants: sweepGrants,
  consents: sweepConsents,
  client_invitations: sweepInvitations,
  clients: sweepClients,
  signing_keys: sweepKeys,
  usage_hours: sweepUsage,
  deliveries: sweepDeliveries,
  client_usage_days: sweepUsageDays,
  client_refusals: sweepRejectedRequests,
  api_answers: sweepAnswers,
  // These check rows of which most stay.
  logos: sweepLogos,
  registrations: sweepUnused(dynamicRegistration.unusedDays),
})

// The kinds of bulk jobs.
const JOBS = { [END_ACCESS]: endAccessStep, [CLEAN_UP]: cleanUpStep, [TAKE_SCOPE]: takeScopeStep }

const UPKEEP_SECONDS = 600

/** The background work of this process. */
export interface Background {
  /** Looks for work in a lane of the queue at once. @param lane absent: in all lanes */
  wake(lane?: 'jobs' | 'mails'): void
  close(): Promise<void>
}

/** What the background work needs. */
interface BackgroundParts {
  config: Config
  secrets: Secrets
  db: Pool
  log: Logger
  /** Called every ten minutes, to stop publishing signing keys that were retired long enough ago. */
  renew(): void
}

/** Starts all of it. */
export function startBackground(parts: BackgroundParts): Background {
  const { config, secrets, db, log } = parts
  const jobs = startJobRunner({ db, log }, JOBS)
  const mailer = startMailer({
    db,
    log,
    config,
    links: { password_reset: resetLinkForMail, owner_invitation: invitationLinkForMail },
    lost: recordLostMail,
  })
  const sweeper = startSweeper({ db, log }, sweepsOf(config), config.sweepIntervalSeconds)
  // A process that leaves sweeping to others leaves sealing to them, too.
  const sealer = startSealer({ db, secrets, log }, config.sweepIntervalSeconds === 0 ? 0 : SEAL_SECONDS)
  const scheduled = schedulesOf(parts).map((each) => startSchedule({ db, log }, each))
  // Nobody announces that a retired key has been published for long enough.
  const renewing = repeat(async () => parts.renew(), UPKEEP_SECONDS)
  return {
    wake(lane) {
      if (lane !== 'mails') jobs.wake()
      if (lane !== 'jobs') mailer.wake()
    },
    async close() {
      await Promise.all([sweeper, sealer, renewing, jobs, mailer, ...scheduled].map((each) => each.close()))
    },
  }
}

// Scheduled jobs, which one node does for all.
function schedulesOf({ config, secrets, db, log }: BackgroundParts): Scheduled[] {
  const { signingKeyRotationDays: days } = config
  const rotateKeys = async (): Promise<void> => {
    if (!(await rotateKeysIfDue(db, secrets, days))) return
    log.info('signing keys were rotated: the old ones had signed for long enough')
  }
  const everySeconds = UPKEEP_SECONDS
  return [
    { kind: 'count_days', everySeconds, work: () => countDays(db) },
    ...(days > 0 ? [{ kind: 'rotate_keys', everySeconds, work: rotateKeys }] : []),
  ]
}

function recordLostMail(t: Db, { id, kind, attempts, client_id, user_id }: LostMail): Promise<void> {
  const about = { ...(client_id !== null && { client_id }), ...(user_id !== null && { user_id }) }
  return record(t, { type: 'mail.given_up', ...about, mail_id: id, kind, attempts }, SYSTEM)
}
