// Password rules and hashing (OWASP ASVS 5.0 V6.2, argon2id). It knows no table.
import { dictionary } from '@zxcvbn-ts/language-common'
import argon2 from 'argon2'
import { HttpError } from '../web/errors.ts'

// OWASP's first choice for argon2id: 19 MiB, two passes, one lane.
const PARAMETERS = { type: argon2.argon2id, memoryCost: 19_456, timeCost: 2, parallelism: 1 } as const

// Tens of thousands of passwords that everybody tries first (ASVS 6.2.4 wants the first three thousand).
const COMMON = new Set(dictionary['passwords-common'] as string[])

const MIN_CHARACTERS = 8
const MAX_CHARACTERS = 256

/** What is wrong with a new password in a sentence for a person; undefined when it will do. */
export function passwordProblem(password: string): string | undefined {
  const length = [...password.normalize('NFC')].length
  if (length < MIN_CHARACTERS) return `Use at least ${MIN_CHARACTERS} characters.`
  if (length > MAX_CHARACTERS) return `Use at most ${MAX_CHARACTERS} characters.`
  if (COMMON.has(password.normalize('NFC').toLowerCase()))
    return 'Too many people use this password. Choose another.'
  return undefined
}

/** The argon2id hash in PHC form of the password after NFC. */
export function hashPassword(password: string): Promise<string> {
  return argon2.hash(password.normalize('NFC'), PARAMETERS)
}

/**
 * Whether the password fits the hash. Without a hash it takes the same time and says no, so that nobody learns from the
 * clock which addresses have an account.
 */
export async function verifyPassword(hash: string | null | undefined, password: string): Promise<boolean> {
  // Longer than any password we accept: refuse before hashing, the cost of NFC and argon2 grows with it.
  if (password.length > MAX_CHARACTERS * 4) return false
  if (checking >= MOST_CHECKED) throw new Busy()
  checking++
  try {
    return await fits(hash, password)
  } finally {
    checking--
  }
}

async function fits(hash: string | null | undefined, password: string): Promise<boolean> {
  nobody ??= hashPassword('no account has this password')
  const matches = await argon2.verify(hash ?? (await nobody), password.normalize('NFC'))
  return matches && hash != null
}

/** Whether a hash was made with other parameters than today's, and is due to be made again. */
export function needsRehash(hash: string): boolean {
  return argon2.needsRehash(hash, PARAMETERS)
}

let nobody: Promise<string> | undefined

// Each check takes a core for tens of milliseconds. Beyond a second's worth of waiting everybody waits for ever.
const MOST_CHECKED = 48
let checking = 0

class Busy extends HttpError {
  constructor() {
    super(503, 'busy', 'Many people are signing in right now. Please try again in a few seconds.')
  }
}
