// Which ids there are, as patterns: every check of an id from outside is made of these.

/** A UUID, as Postgres writes it. */
export const UUID = '[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}'

/** A short id: of a grant, and of a client that is not named by the address of its document. */
export const SHORT_ID = '[A-Za-z0-9_-]{1,100}'

/** The number of an audit event. */
export const EVENT_ID = /^\d{1,18}$/

/** The version of a client. */
export const VERSION = /^\d{1,9}$/

const ONLY_UUID = new RegExp(`^${UUID}$`, 'i')
const ONLY_SHORT_ID = new RegExp(`^${SHORT_ID}$`)

/** Whether Postgres takes it for a UUID. */
export function isUuid(text: string): boolean {
  return ONLY_UUID.test(text)
}

/** Whether it can be a short id. Postgres would refuse some of what else may come (NUL). */
export function isShortId(text: string): boolean {
  return ONLY_SHORT_ID.test(text)
}
