// Ids of clients: which are valid, and making new ones.
import { randomBytes } from 'node:crypto'
import { isShortId } from '../../base/ids.ts'
import { InvalidMetadata } from './metadata.ts'

// Words that our own addresses have in the place of the id of an app. A test compares this list with the routes.
const RESERVED_IDS = new Set(['new', 'away', 'blocked', 'clean-up', 'remove-all'])

/** Checks an id that somebody chose. @throws InvalidMetadata for one that no client can have */
export function checkClientId(id: string): void {
  if (!isShortId(id) || id.startsWith('valetkey')) {
    throw new InvalidMetadata('id', 'may hold letters, digits, _ and - only, e.g. photo-printer')
  }
  if (RESERVED_IDS.has(id)) throw new InvalidMetadata('id', 'is a word of our own addresses, try another')
}

/** A new random id. */
export function newClientId(): string {
  return `c_${randomBytes(12).toString('base64url')}`
}
