// The accounts and apps that the list of access is filtered by. An administrator names them; a name that nobody has is an error,
// and never becomes no filter.
import { type Client, findClient } from '../../core/clients/store.ts'
import { findUser, findUserByEmail, type User } from '../../core/users/store.ts'
import type { Pool } from '../../db/pool.ts'
import { isUuid } from '../../http/query.ts'
import type { FormErrors } from '../shared/confirm-page.ts'

/** What was asked for: whose access, of which app. */
export interface ConsentFilter {
  person: User | undefined
  client: Client | undefined
  errors: FormErrors
  isUsable: boolean
}

/** Finds whom a filter names. @param user an email address or an id @param app a client id; both may be empty */
export async function readConsentFilter(db: Pool, user: string, app: string): Promise<ConsentFilter> {
  const [person, client] = await Promise.all([
    isUuid(user) ? findUser(db, user) : user.includes('@') ? findUserByEmail(db, user) : undefined,
    app ? findClient(db, app) : undefined,
  ])
  const errors: FormErrors = {}
  if (user && !person) errors.user = 'No account has this email address or id.'
  if (app && !client) errors.app = 'No app has this client id.'
  return { person, client, errors, isUsable: Object.keys(errors).length === 0 }
}
