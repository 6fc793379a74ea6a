// What the demo's database holds at the start: two people, one API, two apps. Made with the same functions as
// the pages and the command line use.
import { type Actor, SYSTEM } from '../src/base/audit-events.ts'
import { createClient } from '../src/core/clients/create.ts'
import { createResource } from '../src/core/resources/store.ts'
import { createUser } from '../src/core/users/store.ts'
import type { Db } from '../src/db/pool.ts'

/** The people of the demo. Their passwords are no secret: the data is thrown away, and nobody else can reach it. */
export const PEOPLE = {
  person: { email: 'you@example.com', name: 'Jamie Doe', password: 'photos-for-me' },
  administrator: { email: 'admin@example.com', name: 'Alex Keeper', password: 'keeper-of-keys' },
}

/** Where the sample programs stand. */
export interface Origins {
  app: string
  api: string
}

/** Fills an empty database. @returns the credentials that the sample programs need. */
export async function seed(db: Db, origins: Origins) {
  const by: Actor = SYSTEM
  const { person, administrator } = PEOPLE
  await createUser(db, { ...person, email_verified: true }, by)
  await createUser(db, { ...administrator, email_verified: true, role: 'admin' }, by)

  const api = await createResource(db, { identifier: origins.api, name: 'Photos', scopes: SCOPES }, by)
  const printer = await createClient(
    db,
    {
      id: 'photo-printer',
      name: 'Photo Printer',
      type: 'web',
      redirect_uris: [`${origins.app}/callback`],
      post_logout_redirect_uris: [`${origins.app}/`],
      homepage_uri: origins.app,
      scopes: ['openid', 'profile', 'email', 'photos.read', 'prints.order'],
    },
    by,
  )
  const slideshow = await createClient(
    db,
    {
      id: 'slideshow-tv',
      name: 'Slideshow TV',
      type: 'native',
      // An app on a device takes whatever port is free at the moment (RFC 8252 §7.3).
      redirect_uris: ['http://127.0.0.1/callback'],
      scopes: ['openid', 'profile', 'photos.read'],
    },
    by,
  )
  return {
    api: { id: api.client.id, secret: api.secret },
    printer: { id: printer.client.id, secret: printer.secret! },
    slideshow: { id: slideshow.client.id },
  }
}

const SCOPES = [
  { name: 'photos.read', sentence: 'Look at your photos', detail: 'It cannot change or delete them' },
  {
    name: 'prints.order',
    sentence: 'Order prints for you',
    detail: 'Spends money from your account',
    dangerous: true,
  },
]
