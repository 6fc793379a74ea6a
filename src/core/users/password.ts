// Password rules and hashing (OWASP ASVS 5.0 V6.2, argon2id). It knows no table.
import { dictionary } from '@zxcvbn-ts/language-common'
import argon2 from 'argon2'
import { inTurn } from '../../base/turns.ts'
import { HttpError } from '../../http/errors.ts'

// OWASP's first choice for argon2id: 19 MiB, two passes, one lane.
const PARAMETERS = { type: argon2.argon2id, memoryCost: 19_456, timeCost: 2, parallelism: 1 } as const

// Tens of thousands of passwords that everybody tries first (ASVS 6.2.4 wants the first three thousand).
const COMMON = new Set(dictionary['passwords-common'] as string[])

const MIN_CHARACTERS = 8
const MAX_CHARACTERS = 256

/** What is wrong with a new password, in a sentence for a person; undefined: nothing. */
export function passwordProblem(password: string): string | undefined {
  const length = [...password.normalize('NFC')].length
  if (length < MIN_CHARACTERS) return `Use at least ${MIN_CHARACTERS} characters.`
  if (length > MAX_CHARACTERS) return `Use at most ${MAX_CHARACTERS} characters.`
  if (COMMON.has(password.normalize('NFC').toLowerCase()))
    return 'Too many people use this password. Choose another.'
  return undefined
}

/** The argon2id hash in PHC form of the password after NFC. Only people who are signed in or hold a link choose one, so it goes ahead of unknown devices. @throws Busy */
export function hashPassword(password: string): Promise<string> {
  return unlessBusy('known', () => hashed(password))
}

function hashed(password: string): Promise<string> {
  return argon2.hash(password.normalize('NFC'), PARAMETERS)
}

/**
 * Whether the password matches the hash. Without a hash it takes the same time and returns false, so that the time does not tell which
 * addresses have an account.
 * @param who whether it comes from a known device
 * @throws Busy without having compared: the caller must not count this attempt
 */
export async function verifyPassword(
  hash: string | null | undefined,
  password: string,
  who: Who = 'unknown',
): Promise<boolean> {
  // Longer than any password we accept: refuse it before hashing, because the cost of NFC and argon2 grows with the length.
  if (password.length > MAX_CHARACTERS * 4) return false
  return unlessBusy(who, () => fits(hash, password))
}

async function fits(hash: string | null | undefined, password: string): Promise<boolean> {
  nobody ??= hashed('no account has this password')
  const matches = await argon2.verify(hash ?? (await nobody), password.normalize('NFC'))
  return matches && hash != null
}

/** Whether a hash was made with outdated parameters. */
export function needsRehash(hash: string): boolean {
  return argon2.needsRehash(hash, PARAMETERS)
}

let nobody: Promise<string> | undefined

/** 503: so many passwords wait to be checked that another one would wait for too long. */
export class Busy extends HttpError {
  constructor() {
    super(503, 'busy', 'Many people are signing in right now. Please try again in a few seconds.')
  }
}

type Who = 'unknown' | 'known'

// Each check takes a core for tens of milliseconds, so this is a few seconds of waiting on one core. Unknown devices get at most half of the
// places, and known devices go ahead of them.
const MOST_WAITING = { unknown: 100, known: 200 }
let waiting = 0

async function unlessBusy<T>(who: Who, work: () => Promise<T>): Promise<T> {
  if (waiting >= MOST_WAITING[who]) throw new Busy()
  waiting += 1
  try {
    return await inTurn(work, who === 'known')
  } finally {
    waiting -= 1
  }
}
