// The filter of the list of access: an account, an app, or both. Naming one that does not exist is an error, so that the filter is
// never dropped silently.

import { isUuid } from '../../base/ids.ts'
import { type Client, findClient } from '../../core/clients/store.ts'
import { findUser, findUserByEmail, type User } from '../../core/users/store.ts'
import type { Pool } from '../../db/pool.ts'
import { type FormErrors, hasErrors } from '../../http/form.ts'

/** The account and the app that a filter names. */
export interface ConsentFilter {
  person: User | undefined
  client: Client | undefined
  errors: FormErrors
  isUsable: boolean
}

/** Finds them. @param user an email address, an id, or '' @param app a client id, or '' */
export async function readConsentFilter(db: Pool, user: string, app: string): Promise<ConsentFilter> {
  const [person, client] = await Promise.all([
    isUuid(user) ? findUser(db, user) : user.includes('@') ? findUserByEmail(db, user) : undefined,
    app ? findClient(db, app) : undefined,
  ])
  const errors: FormErrors = {}
  if (user && !person) errors.user = 'No account has this email address or id.'
  if (app && !client) errors.app = 'No app has this client id.'
  return { person, client, errors, isUsable: !hasErrors(errors) }
}
