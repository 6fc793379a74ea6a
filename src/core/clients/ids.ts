// Ids of clients: which there may be, and new ones.
import { randomBytes } from 'node:crypto'
import { isShortId } from '../../base/ids.ts'
import { InvalidMetadata } from './metadata.ts'

// What stands in addresses of our own where the id of an app could stand, too. A test holds it against the routes.
const RESERVED_IDS = new Set(['new', 'away', 'blocked', 'clean-up', 'remove-all'])

/** @throws InvalidMetadata for what cannot be the id of a client */
export function checkClientId(id: string): void {
  if (!isShortId(id) || id.startsWith('valetkey')) {
    throw new InvalidMetadata('id', 'may hold letters, digits, _ and - only, e.g. photo-printer')
  }
  if (RESERVED_IDS.has(id)) throw new InvalidMetadata('id', 'is a word of our own addresses, try another')
}

/** An id that no client has. */
export function newClientId(): string {
  return `c_${randomBytes(12).toString('base64url')}`
}
