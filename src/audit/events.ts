// The closed list of what is recorded, and which fields each event carries. It knows no storage.

/** Who did something, and where the request came from. */
export interface Actor {
  type: 'user' | 'client' | 'cli' | 'system'
  id?: string
  ip?: string
  user_agent?: string
  request_id?: string
}

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
  | (OfUser & { type: 'password.changed' })
  | (OfUser & { type: 'password.change_failed' })
  | (OfUser & { type: 'sign_in.succeeded'; client_id?: string })
  // Without a user_id, nobody has that address; the address itself is not kept.
  | {
      type: 'sign_in.failed'
      user_id?: string
      client_id?: string
      reason: 'wrong_password' | 'unknown' | 'disabled'
    }
  | { type: 'sign_in.limited'; user_id?: string }
  | (OfUser & { type: 'sign_out' })
  | (OfUser & OfClient & { type: 'consent.given'; scopes: string[]; rejected_scopes: string[] })
  | (OfUser & OfClient & { type: 'consent.refused' })
  | (OfUser & OfClient & { type: 'app.removed'; grants: number })
  | (OfUser & OfClient & { type: 'grant.revoked'; grant_id: string; reason: RevocationReason })
  | (OfUser & OfClient & { type: 'token.reuse_detected'; grant_id: string; kind: string })
  | (OfClient & { type: 'client.created'; client_type: string; loosened: string[] })
  | (OfClient & { type: 'client.changed'; fields: string[] })
  | (OfClient & { type: 'client.suspended' })
  | (OfClient & { type: 'client.resumed' })
  | (OfClient & { type: 'client.deleted' })
  | (OfClient & { type: 'client.secret_rotated'; secret_prefix: string })
  | { type: 'resource.created'; resource: string; scopes: string[] }
  | { type: 'key.created'; kid: string; alg: string }
  | { type: 'key.rotated'; kid: string; alg: string }

/** Why a grant ended. */
export type RevocationReason =
  | 'removed_by_user'
  | 'revoked_by_client'
  | 'revoked_by_admin'
  | 'narrowed'
  | 'replay'
