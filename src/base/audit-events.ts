// The closed list of what is recorded, and which fields each event carries. It knows no storage.

/** Who did something, and where the request came from. */
export interface Actor {
  type: 'user' | 'client' | 'cli' | 'system'
  id?: string
  ip?: string
  user_agent?: string
  request_id?: string
  /** Of the token that acts: it does no more than they allow. Absent: a person at our own pages, the operator, the server. */
  scopes?: readonly string[]
}

/** Somebody who is signed in. */
export type ActingUser = Actor & { id: string }

/** The server itself, where nobody asked for it. */
export const SYSTEM: Actor = { type: 'system' }

interface OfUser {
  user_id: string
}
interface OfClient {
  client_id: string
}

/** Every event there is. A new one is added here; the compiler then demands its fields where it is recorded. */
export type AuditEvent =
  | (OfUser & { type: 'user.created'; role: string })
  | (OfUser & { type: 'user.disabled' })
  | (OfUser & { type: 'user.enabled' })
  | (OfUser & { type: 'user.renamed' })
  | (OfUser & { type: 'user.role_changed'; from: string; to: string })
  | (OfUser & { type: 'user.signed_out_everywhere'; sessions: number })
  // How the link reached them: by mail, or by the hand of an administrator.
  | (OfUser & { type: 'user.reset_sent'; how: string })
  | (OfUser & { type: 'user.reset_withdrawn' })
  | (OfUser & { type: 'user.password_reset'; sessions: number })
  | (OfUser & { type: 'password.changed' })
  | (OfUser & { type: 'password.change_failed' })
  | (OfUser & { type: 'sign_in.succeeded'; client_id?: string })
  // Without a user_id, nobody has that address; the address itself is not kept.
  | {
      type: 'sign_in.failed'
      user_id?: string
      client_id?: string
      /** `other_account`: the password was right, and the app had asked for somebody else. */
      reason: 'wrong_password' | 'unknown' | 'disabled' | 'other_account'
    }
  // `block`: so much was tried from around that address that more is not looked at for a while, and not recorded.
  | { type: 'sign_in.limited'; user_id?: string; block?: string }
  | (OfUser & { type: 'sign_out' })
  | (OfUser & OfClient & { type: 'consent.given'; scopes: string[]; rejected_scopes: string[] })
  | (OfUser & OfClient & { type: 'consent.refused' })
  | (OfUser & OfClient & { type: 'app.removed'; grants: number })
  | (OfUser & OfClient & { type: 'access.ended'; grants: number; job_id?: string })
  | (OfUser & OfClient & { type: 'grant.revoked'; grant_id: string; reason: RevocationReason })
  | (OfUser & OfClient & { type: 'token.reuse_detected'; grant_id: string; kind: string })
  // `state`: by a developer, who may have to wait.
  | (OfClient & { type: 'client.created'; client_type: string; loosened: string[]; state?: string })
  // What became looser is named once more: PKCE no longer required, people no longer asked.
  | (OfClient & { type: 'client.changed'; fields: string[]; changes: Change[]; loosened: string[] })
  | (OfClient & { type: 'client.approved' })
  | (OfClient & { type: 'client.rejected'; reason: string })
  | (OfClient & { type: 'client.verified' })
  // `reason`: nobody took it away; the last of those that it was given to looks after the app no longer.
  | (OfClient & { type: 'client.unverified'; reason?: 'owners_left' })
  | (OfClient & { type: 'client.suspended' })
  | (OfClient & { type: 'client.resumed' })
  | (OfClient & { type: 'client.deleted' })
  | (OfClient & { type: 'client.secret_rotated'; secret_prefix: string })
  | (OfClient & { type: 'client.secret_added'; secret_prefix: string; name: string })
  | (OfClient & { type: 'client.secret_revoked'; secret_prefix: string; name: string })
  | (OfClient & { type: 'client.asked_again' })
  // What would become of an approved app; until it is approved, the app serves on as it is.
  | (OfClient & { type: 'client.change_requested'; changes: Change[] })
  | (OfClient & { type: 'client.change_withdrawn'; changes: Change[] })
  | (OfClient & { type: 'client.change_approved'; changes: Change[] })
  | (OfClient & { type: 'client.change_rejected'; changes: Change[]; reason: string })
  // Whom, says the invitation: it is kept for as long as its address is needed, and this for ever.
  | (OfClient & { type: 'client.owner_invited'; invitation_id: string })
  | (OfClient & { type: 'client.invitation_withdrawn'; invitation_id: string })
  | (OfUser & OfClient & { type: 'client.owner_added'; invitation_id: string })
  | (OfUser & OfClient & { type: 'client.owner_removed' })
  | (OfClient & { type: 'client.test_user_added'; test_users: number })
  | (OfClient & { type: 'client.test_user_removed'; test_users: number })
  | { type: 'resource.changed'; resource: string; changes: Change[] }
  | { type: 'resource.scope_added'; resource: string; scope: string }
  | { type: 'resource.scope_changed'; resource: string; scope: string; changes: Change[] }
  // Worth nothing from then on; the job takes it from whatever names it.
  | { type: 'resource.scope_removed'; resource: string; scope: string; job_id: string }
  // It is through: so many apps could ask for it.
  | { type: 'resource.scope_taken'; resource: string; scope: string; clients: number; job_id: string }
  | { type: 'job.started'; client_id?: string; user_id?: string; job_id: string; kind: string }
  // By the app itself (RFC 7591); `host` is where it sends people.
  | (OfClient & {
      type: 'client.registered_itself'
      client_type: string
      host: string
      state: string
      token_id?: string
    })
  // Nobody uses an app that registered itself: it is deleted from then on, unless somebody does.
  | (OfClient & { type: 'client.removal_announced'; unused_since: string; delete_after: string })
  // An app that was deleted, and whose id is the address of its document, may come back.
  | (OfClient & { type: 'client.readmitted' })
  | {
      type: 'registration_token.created'
      token_id: string
      name: string
      scopes: string[]
      client_credentials: boolean
      max_uses: number
      expires_at: string
    }
  | (OfClient & { type: 'registration_token.used'; token_id: string; uses: number })
  | { type: 'registration_token.revoked'; token_id: string }
  | { type: 'resource.created'; resource: string; scopes: string[] }
  | { type: 'key.created'; kid: string; alg: string }
  | { type: 'key.rotated'; kid: string; alg: string }
  // Nobody gets that mail: it was refused, or could not be sent for a day.
  | {
      type: 'mail.given_up'
      user_id?: string
      client_id?: string
      mail_id: string
      kind: string
      attempts: number
    }

/** The types of all events; the compiler holds it against them. */
export const EVENT_TYPES = Object.keys({
  'access.ended': true,
  'app.removed': true,
  'client.approved': true,
  'client.asked_again': true,
  'client.change_approved': true,
  'client.change_rejected': true,
  'client.change_requested': true,
  'client.change_withdrawn': true,
  'client.changed': true,
  'client.created': true,
  'client.deleted': true,
  'client.readmitted': true,
  'client.invitation_withdrawn': true,
  'client.owner_added': true,
  'client.owner_invited': true,
  'client.owner_removed': true,
  'client.registered_itself': true,
  'client.rejected': true,
  'client.removal_announced': true,
  'client.resumed': true,
  'client.secret_added': true,
  'client.secret_revoked': true,
  'client.secret_rotated': true,
  'client.suspended': true,
  'client.test_user_added': true,
  'client.test_user_removed': true,
  'client.unverified': true,
  'client.verified': true,
  'consent.given': true,
  'consent.refused': true,
  'grant.revoked': true,
  'job.started': true,
  'key.created': true,
  'key.rotated': true,
  'mail.given_up': true,
  'password.changed': true,
  'password.change_failed': true,
  'registration_token.created': true,
  'registration_token.revoked': true,
  'registration_token.used': true,
  'resource.changed': true,
  'resource.created': true,
  'resource.scope_added': true,
  'resource.scope_changed': true,
  'resource.scope_removed': true,
  'resource.scope_taken': true,
  'sign_in.failed': true,
  'sign_in.limited': true,
  'sign_in.succeeded': true,
  sign_out: true,
  'token.reuse_detected': true,
  'user.created': true,
  'user.disabled': true,
  'user.enabled': true,
  'user.password_reset': true,
  'user.renamed': true,
  'user.reset_sent': true,
  'user.reset_withdrawn': true,
  'user.role_changed': true,
  'user.signed_out_everywhere': true,
} satisfies Record<AuditEvent['type'], true>) as AuditEvent['type'][]

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
