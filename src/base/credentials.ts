// Credentials are shown once and stored as SHA-256 only: their prefixes, check characters and digests.
import { hash, randomFillSync } from 'node:crypto'
import { crc32 } from 'node:zlib'

/** What a prefixed value is, by its prefix. */
export const PREFIX = {
  authorization_code: 'vk_ac_',
  device_code: 'vk_dc_',
  access_token: 'vk_at_',
  refresh_token: 'vk_rt_',
  client_credentials: 'vk_at_cc_',
  client_secret: 'vk_cs_',
  initial_access: 'vk_ri_',
  registration_access: 'vk_ra_',
} as const

/** A kind of prefixed value. */
export type Credential = keyof typeof PREFIX

const RANDOM_BYTES = 32
const BODY = /^[A-Za-z0-9_-]{43}$/
const CHECK_LENGTH = 6

/** A new random value of 256 bits: prefix, 43 characters of base64url, 6 check characters. */
export function newCredential(kind: Credential): string {
  const value = PREFIX[kind] + randomText()
  return value + checksum(value)
}

/**
 * The kind of a well-formed value, undefined for anything else: wrong prefix, length or check characters.
 * It does not tell whether the value was ever issued; it saves the query for a value that cannot have been issued.
 */
export function kindOf(value: string): Credential | undefined {
  const kind = KINDS.find((candidate) => value.startsWith(PREFIX[candidate]))
  if (!kind) return undefined
  const body = value.slice(PREFIX[kind].length, -CHECK_LENGTH)
  if (!BODY.test(body)) return undefined
  return checksum(value.slice(0, -CHECK_LENGTH)) === value.slice(-CHECK_LENGTH) ? kind : undefined
}

/** SHA-256, the only form in which a value is kept. */
export function digest(value: string): Buffer {
  return hash('sha256', value, 'buffer')
}

// The longer prefix first, because one prefix begins with another.
const KINDS = (Object.keys(PREFIX) as Credential[]).sort((a, b) => PREFIX[b].length - PREFIX[a].length)

// Draw random bytes for many values at once, because a draw costs more than its bytes.
const pool = Buffer.alloc(RANDOM_BYTES * 128)
let drawn = pool.length

function randomText(): string {
  if (drawn === pool.length) {
    randomFillSync(pool)
    drawn = 0
  }
  const text = pool.toString('base64url', drawn, drawn + RANDOM_BYTES)
  // Overwrite bytes that are in use now, so that no credential stays in memory.
  pool.fill(0, drawn, drawn + RANDOM_BYTES)
  drawn += RANDOM_BYTES
  return text
}

function checksum(text: string): string {
  return crc32(text).toString(36).padStart(7, '0').slice(-CHECK_LENGTH)
}
