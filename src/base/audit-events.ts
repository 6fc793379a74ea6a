// The closed list of audit events: the fields of each event, and what the person it is about reads on the activity page. It knows
// no storage.

/** Who did something, and where the request came from. */
export interface Actor {
  type: 'user' | 'client' | 'cli' | 'system'
  id?: string
  ip?: string
  user_agent?: string
  request_id?: string
  /** The scopes of the token that acts, which may do no more. Absent: a person at our own pages, the operator, or the server. */
  scopes?: readonly string[]
}

/** Somebody who is signed in. */
export type ActingUser = Actor & { id: string }

/** The server acts by itself. */
export const SYSTEM: Actor = { type: 'system' }

/** What a person reads about an event on the activity page of their account. */
export interface Sentence {
  text: string
  detail?: string
  tone: 'good' | 'info' | 'warning' | 'danger'
}

type OfUser = { user_id: string }
type OfClient = { client_id: string }

/** Fields of an event, and for whom it has a sentence. */
interface Kind<Fields> {
  sentence: ((event: Fields, app: string) => Sentence) | undefined
}

// Events that name a person, which the activity page shows: each has its sentence. `app` is the name of the app.
function ofPerson<Fields extends { user_id?: string }>(
  sentence: (event: Fields, app: string) => Sentence,
): Kind<Fields> {
  return { sentence }
}

// Events that name no person. The compiler refuses one that does.
function ofNobody<Fields extends { user_id?: never; [field: string]: unknown }>(): Kind<Fields> {
  return { sentence: undefined }
}

const good = (text: string, detail?: string): Sentence => ({ text, detail, tone: 'good' })
const info = (text: string, detail?: string): Sentence => ({ text, detail, tone: 'info' })
const warning = (text: string, detail?: string): Sentence => ({ text, detail, tone: 'warning' })
const danger = (text: string, detail?: string): Sentence => ({ text, detail, tone: 'danger' })

const EVENTS = {
  'user.created': ofPerson<OfUser & { role: string }>(() => info('Your account was created')),
  'user.disabled': ofPerson<OfUser>(() => danger('Your account was disabled')),
  'user.enabled': ofPerson<OfUser>(() => info('Your account was enabled again')),
  'user.renamed': ofPerson<OfUser>(() => info('Your name was changed')),
  'user.role_changed': ofPerson<OfUser & { from: string; to: string }>(() =>
    info('An administrator changed what your account may do'),
  ),
  'user.signed_out_everywhere': ofPerson<OfUser & { sessions: number }>(() =>
    warning('Your account was signed out on all devices'),
  ),
  // How the link reached them: by mail, or by the hand of an administrator.
  'user.reset_sent': ofPerson<OfUser & { how: string }>(() =>
    info('An administrator sent you a link to choose a new password'),
  ),
  'user.reset_withdrawn': ofPerson<OfUser>(() => info('The link to choose a new password was withdrawn')),
  'user.password_reset': ofPerson<OfUser & { sessions: number }>(() =>
    warning('A new password was chosen with that link', 'All devices were signed out.'),
  ),
  'password.changed': ofPerson<OfUser>(() =>
    warning('Your password was changed', 'All other devices were signed out.'),
  ),
  'password.change_failed': ofPerson<OfUser>(() =>
    warning('Somebody tried to change your password with a wrong one'),
  ),
  'sign_in.succeeded': ofPerson<OfUser & Partial<OfClient>>(({ client_id }, app) =>
    good(client_id ? `You signed in to use ${app}` : 'You signed in'),
  ),
  // Without a user_id, no account has the address that was typed in; the address is not kept.
  'sign_in.failed': ofPerson<{
    user_id?: string
    client_id?: string
    /** `other_account`: the password was right, but the app had asked for another person. */
    reason: 'wrong_password' | 'unknown' | 'disabled' | 'other_account'
  }>(({ reason }, app) =>
    reason === 'other_account'
      ? warning(`Somebody gave your password where ${app} asked for another account`)
      : warning('Somebody tried to sign in with a wrong password'),
  ),
  // `block`: there were so many attempts from this block of addresses that further ones are refused unrecorded for a while.
  'sign_in.limited': ofPerson<{ user_id?: string; block?: string }>(() =>
    warning('Signing in was blocked for a while after too many attempts'),
  ),
  sign_out: ofPerson<OfUser>(() => info('You signed out')),
  'consent.given': ofPerson<OfUser & OfClient & { scopes: string[]; rejected_scopes: string[] }>((_, app) =>
    good(`You allowed ${app} to use your account`),
  ),
  'consent.refused': ofPerson<OfUser & OfClient>((_, app) => info(`You did not allow ${app}`)),
  'app.removed': ofPerson<OfUser & OfClient & { grants: number }>((_, app) =>
    good(`You removed ${app}`, 'Its access ended at once.'),
  ),
  'consent.revoked': ofPerson<OfUser & OfClient & { grants: number; job_id?: string }>((_, app) =>
    info(`The access of ${app} was ended`, 'To use it again, allow it again.'),
  ),
  'grant.revoked': ofPerson<OfUser & OfClient & { grant_id: string; reason: RevocationReason }>(
    ({ reason }, app) => grantEnded(app, reason),
  ),
  'token.reuse_detected': ofPerson<OfUser & OfClient & { grant_id: string; kind: string }>((_, app) =>
    danger(
      `We ended a connection of ${app} to protect you`,
      'Something was used a second time that may be used only once; it may have been stolen.',
    ),
  ),
  // `state`: an app of a developer may have to wait for approval.
  'client.created': ofNobody<OfClient & { client_type: string; loosened: string[]; state?: string }>(),
  // `loosened` repeats which checks were switched off: PKCE no longer required, people no longer asked.
  'client.changed': ofNobody<OfClient & { fields: string[]; changes: Change[]; loosened: string[] }>(),
  'client.approved': ofNobody<OfClient>(),
  'client.rejected': ofNobody<OfClient & { reason: string }>(),
  'client.verified': ofNobody<OfClient>(),
  // `reason`: no administrator took it away; the last owner that it was about has left.
  'client.unverified': ofNobody<OfClient & { reason?: 'owners_left' }>(),
  'client.suspended': ofNobody<OfClient>(),
  'client.resumed': ofNobody<OfClient>(),
  'client.deleted': ofNobody<OfClient>(),
  'client.secret_rotated': ofNobody<OfClient & { secret_prefix: string }>(),
  'client.secret_added': ofNobody<OfClient & { secret_prefix: string; name: string }>(),
  'client.secret_revoked': ofNobody<OfClient & { secret_prefix: string; name: string }>(),
  'client.asked_again': ofNobody<OfClient>(),
  // A change of an approved app was asked for; until it is approved, the app goes on as it is.
  'client.change_requested': ofNobody<OfClient & { changes: Change[] }>(),
  'client.change_withdrawn': ofNobody<OfClient & { changes: Change[] }>(),
  'client.change_approved': ofNobody<OfClient & { changes: Change[] }>(),
  'client.change_rejected': ofNobody<OfClient & { changes: Change[]; reason: string }>(),
  // The invitation holds the address of the invited person, and is deleted later; the audit log keeps events for ever.
  'client.owner_invited': ofNobody<OfClient & { invitation_id: string }>(),
  'client.invitation_withdrawn': ofNobody<OfClient & { invitation_id: string }>(),
  'client.owner_added': ofPerson<OfUser & OfClient & { invitation_id: string }>((_, app) =>
    good(`You look after ${app} now`, 'You accepted an invitation.'),
  ),
  'client.owner_removed': ofPerson<OfUser & OfClient>((_, app) => info(`You no longer look after ${app}`)),
  'client.test_user_added': ofNobody<OfClient & { test_users: number }>(),
  'client.test_user_removed': ofNobody<OfClient & { test_users: number }>(),
  'resource.changed': ofNobody<{ resource: string; changes: Change[] }>(),
  'resource.scope_added': ofNobody<{ resource: string; scope: string }>(),
  'resource.scope_changed': ofNobody<{ resource: string; scope: string; changes: Change[] }>(),
  // From now on the scope is worth nothing; the job removes it from everything that names it.
  'resource.scope_removed': ofNobody<{ resource: string; scope: string; job_id: string }>(),
  // The job is done; `clients` is how many apps could ask for the scope.
  'resource.scope_taken': ofNobody<{ resource: string; scope: string; clients: number; job_id: string }>(),
  'job.started': ofPerson<{ client_id?: string; user_id?: string; job_id: string; kind: string }>(
    ({ client_id }, app) => info(`Ending the access of ${client_id ? app : 'all your apps'} was begun`),
  ),
  // By the app itself (RFC 7591); `host` is where it sends people.
  'client.registered': ofNobody<
    OfClient & { client_type: string; host: string; state: string; token_id?: string }
  >(),
  // Nobody uses a dynamically registered app: it is deleted after `delete_after`, unless somebody uses it before.
  'client.removal_announced': ofNobody<OfClient & { unused_since: string; delete_after: string }>(),
  // A deleted app whose id is the address of its metadata document may come back.
  'client.unblocked': ofNobody<OfClient>(),
  'registration_token.created': ofNobody<{
    token_id: string
    name: string
    scopes: string[]
    client_credentials: boolean
    max_uses: number
    expires_at: string
  }>(),
  'registration_token.used': ofNobody<OfClient & { token_id: string; uses: number }>(),
  'registration_token.revoked': ofNobody<{ token_id: string }>(),
  'resource.created': ofNobody<{ resource: string; scopes: string[] }>(),
  'key.created': ofNobody<{ kid: string; alg: string }>(),
  'key.rotated': ofNobody<{ kid: string; alg: string }>(),
  // Nobody gets this mail: it was refused, or could not be sent for a day.
  'mail.given_up': ofPerson<{
    user_id?: string
    client_id?: string
    mail_id: string
    kind: string
    attempts: number
  }>(() => info('A mail to you could not be delivered')),
}

type Events = typeof EVENTS

/** Every event there is. A new one is an entry above; the compiler then demands its fields where it is recorded. */
export type AuditEvent = {
  [Type in keyof Events]: Events[Type] extends Kind<infer Fields> ? { type: Type } & Fields : never
}[keyof Events]

/** The types of all events. */
export const EVENT_TYPES = Object.keys(EVENTS).sort() as AuditEvent['type'][]

// A sealed row is never rewritten, so older rows keep the name under which they were recorded.
const FORMER_TYPES: Partial<Record<AuditEvent['type'], string>> = {
  'client.registered': 'client.registered_itself',
  'client.unblocked': 'client.readmitted',
  'consent.revoked': 'access.ended',
}

/** The name that an event of this type had in an earlier version; undefined when it had none. */
export function formerType(type: string): string | undefined {
  return FORMER_TYPES[type as AuditEvent['type']]
}

const CURRENT_TYPES = new Map(Object.entries(FORMER_TYPES).map(([type, former]) => [former, type]))

/** The present name of an event that was recorded under this one. */
export function currentType(recorded: string): AuditEvent['type'] {
  return (CURRENT_TYPES.get(recorded) ?? recorded) as AuditEvent['type']
}

/** An event as it was recorded. */
export interface RecordedEvent {
  type: AuditEvent['type']
  user_id: string | null
  client_id: string | null
  data: Record<string, unknown>
}

/** What the person an event is about reads on the activity page. @param app the name of its app */
export function sentenceOf({ type, user_id, client_id, data }: RecordedEvent, app: string): Sentence {
  const sentence = EVENTS[type]?.sentence as Kind<object>['sentence']
  const event = { ...data, user_id: user_id ?? undefined, client_id: client_id ?? undefined }
  // A newer version of this server may have recorded it.
  return sentence?.(event, app) ?? info('Your account was looked after')
}

function grantEnded(app: string, reason: RevocationReason): Sentence {
  switch (reason) {
    case 'removed_by_user':
      return good(`You removed ${app} from a device`)
    case 'revoked_by_client':
      return info(`${app} gave its access back`)
    case 'narrowed':
      return info(`${app} has to ask again on another device`, 'You allowed it less than before.')
    case 'revoked_by_admin':
      return info(`An administrator ended the access of ${app}`)
    case 'replay':
      return info(`The access of ${app} ended on one device`)
  }
}

/** A field before and after. */
export interface Change {
  field: string
  from: unknown
  to: unknown
}

/** Why a grant ended. */
export type RevocationReason =
  | 'removed_by_user'
  | 'revoked_by_client'
  | 'revoked_by_admin'
  | 'narrowed'
  | 'replay'
