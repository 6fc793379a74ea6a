// People over the Admin API: finding them, their role, disabling and enabling them, and ending the access of their apps.
import { z } from 'zod'
import { pageOf } from '../../base/page.ts'
import { endAllAccess } from '../../core/grants/revoke.ts'
import { ROLES, setRole } from '../../core/users/roles.ts'
import { searchUsers } from '../../core/users/search.ts'
import { disableUser, enableUser } from '../../core/users/store.ts'
import { type Operation, operation } from '../framework/operation.ts'
import { begun, job, listOf, listQuery, uuidCursor, words } from '../framework/schemas.ts'
import { getUser, POWER, user, userParams, userView } from './access.ts'

const USER_ANSWER = { status: 200, description: 'The account as it stands now.', schema: user } as const
const LAST = 'It is the last administrator who can sign in.'

/** Operations on accounts. */
export const accountOperations: readonly Operation[] = [
  operation({
    id: 'listUsers',
    method: 'GET',
    path: '/users',
    tag: 'Users',
    scope: 'users:read',
    summary: 'Find accounts, newest first',
    query: listQuery(
      {
        q: words.optional().meta({ description: 'Part of a name or email address.' }),
        role: z.enum(ROLES).optional(),
        disabled: z.enum(['true', 'false']).optional(),
      },
      uuidCursor.optional(),
    ),
    success: { status: 200, description: 'A page of accounts.', schema: listOf('UserList', user) },
    async run({ db, query: { q: text, role, disabled, limit, after } }) {
      const isDisabled = disabled === undefined ? undefined : disabled === 'true'
      const found = await searchUsers(db, { text, role, disabled: isDisabled, after, limit: limit + 1 })
      const { rows, next } = pageOf(found, limit, ({ cursor }) => cursor)
      return { body: rows.map(userView), next }
    },
  }),
  operation({
    id: 'getUser',
    method: 'GET',
    path: '/users/{user_id}',
    tag: 'Users',
    scope: 'users:read',
    summary: 'Read an account',
    params: userParams,
    success: { ...USER_ANSWER, description: 'The account.' },
    run: async ({ db, params }) => ({ body: userView(await getUser(db, params.user_id)) }),
  }),
  operation({
    id: 'setRole',
    method: 'PUT',
    path: '/users/{user_id}/role',
    tag: 'Users',
    scope: 'users:write',
    summary: 'Say who administers',
    description: `Making an administrator needs a token with every scope: they may do all of it. ${POWER}`,
    params: userParams,
    body: z.strictObject({ role: z.enum(ROLES) }),
    success: USER_ANSWER,
    conflict: LAST,
    async run({ db, params, body, by }) {
      const { id } = await getUser(db, params.user_id)
      await setRole(db, id, body.role, by)
      return { body: userView(await getUser(db, id)) }
    },
  }),
  operation({
    id: 'disableUser',
    method: 'PUT',
    path: '/users/{user_id}/disablement',
    tag: 'Users',
    scope: 'users:write',
    summary: 'Disable an account: every token and sign-in of it is dead at once',
    description: POWER,
    params: userParams,
    success: USER_ANSWER,
    conflict: LAST,
    async run({ db, params, by }) {
      const { id } = await getUser(db, params.user_id)
      await disableUser(db, id, by)
      return { body: userView(await getUser(db, id)) }
    },
  }),
  operation({
    id: 'enableUser',
    method: 'DELETE',
    path: '/users/{user_id}/disablement',
    tag: 'Users',
    scope: 'users:write',
    summary: 'Enable an account again',
    description: `Tokens from before stay dead. ${POWER}`,
    params: userParams,
    success: USER_ANSWER,
    async run({ db, params, by }) {
      const { id } = await getUser(db, params.user_id)
      await enableUser(db, id, by)
      return { body: userView(await getUser(db, id)) }
    },
  }),
]

/** Ends what apps may do with an account. The document shows it last among the operations on people. */
export const userConsentOperations: readonly Operation[] = [
  operation({
    id: 'revokeUserConsents',
    method: 'DELETE',
    path: '/users/{user_id}/consents',
    tag: 'Users',
    scope: 'grants:write',
    summary: 'End the access of all apps to an account',
    description: `In the background: each app has to ask again. ${POWER}`,
    params: userParams,
    success: { status: 202, description: 'It has begun.', schema: job, location: true },
    async run({ db, params, by }) {
      const { id } = await getUser(db, params.user_id)
      return begun(await endAllAccess(db, { user_id: id }, by))
    },
  }),
]
