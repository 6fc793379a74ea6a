// Kinds of client: what each can keep secret, and whether people are sent back to it. It knows no storage.

/** Kinds of client. A resource_server is an API's own credentials; it can do nothing but introspect. */
export type ClientType = 'web' | 'spa' | 'native' | 'device' | 'service' | 'resource_server'

/** The kinds that a person or developer registers. */
export const APP_TYPES = ['web', 'spa', 'native', 'device', 'service'] as const

/** A kind that a person or developer registers. */
export type AppType = (typeof APP_TYPES)[number]

/** The states of a client. A pending one waits for an administrator, and serves its owners only; a rejected one serves nobody. */
export const CLIENT_STATES = ['pending', 'active', 'rejected'] as const

/** A state of a client. */
export type ClientState = (typeof CLIENT_STATES)[number]

/** How a client stands, in one word: its state, unless it is suspended. */
export function standingOf(client: {
  state: ClientState
  suspended_at: Date | null
}): ClientState | 'suspended' {
  return client.suspended_at ? 'suspended' : client.state
}

/** The grant type of a device code. */
export const DEVICE_GRANT = 'urn:ietf:params:oauth:grant-type:device_code'

/** How long a device waits before it asks again whether somebody has allowed it (RFC 8628 §3.5). */
export const DEVICE_INTERVAL_SECONDS = 5

/** Whether people are sent back to an app of this kind. */
export function hasRedirects(type: string): boolean {
  return type !== 'service' && type !== 'device'
}

/** Kinds that can keep a secret. */
export function isConfidential(type: ClientType): boolean {
  return type === 'web' || type === 'service' || type === 'resource_server'
}
