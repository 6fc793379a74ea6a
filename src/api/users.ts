// People over the Admin API: finding them, their role, disabling them, ending their sign-ins and the access of their apps.
import { z } from 'zod'
import { endAllAccess } from '../core/grants/revoke.ts'
import { sendReset, withdrawReset } from '../core/users/reset-links.ts'
import { ROLES, setRole } from '../core/users/roles.ts'
import { endSessions, listSessions, searchUsers } from '../core/users/search.ts'
import { disableUser, enableUser, findUser, type User } from '../core/users/store.ts'
import { type Db, tx } from '../db/pool.ts'
import { HttpError, NotFound } from '../http/errors.ts'
import { type Operation, operation } from './framework/operation.ts'
import {
  begun,
  job,
  listOf,
  listQuery,
  moment,
  named,
  pageOf,
  uuid,
  uuidCursor,
  words,
} from './framework/schemas.ts'

const user = named(
  'User',
  z.strictObject({
    id: uuid,
    email: z.string(),
    email_verified: z.boolean(),
    name: z.string(),
    role: z.enum(ROLES),
    created_at: moment,
    last_sign_in_at: moment.nullable(),
    disabled_at: moment.nullable().meta({ description: 'Set: every token and sign-in of theirs is dead.' }),
  }),
)
const session = named('Session', z.strictObject({ created_at: moment, expires_at: moment }))
const ended = named('Ended', z.strictObject({ ended: z.int() }))
const reset = named(
  'PasswordReset',
  z.strictObject({
    mailed: z.boolean(),
    link: z.url().nullable().meta({
      description:
        'Secret: whoever has it can choose the password. Shown this once; null when it is mailed, or the request was repeated.',
    }),
  }),
)
const one = z.object({ user_id: uuid })
const SHOWN = { status: 200, description: 'The account as it stands now.', schema: user } as const
const POWER =
  'For an administrator, and for who was one within the last day, it needs a token with every scope.'
const LAST = 'It is the last administrator who can sign in.'

/** Operations on people. @param mailIsOn whether links are mailed; else they are handed over */
export function userOperations({ issuer, mailIsOn }: { issuer: string; mailIsOn: boolean }): Operation[] {
  return [
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
      params: one,
      success: { ...SHOWN, description: 'The account.' },
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
      params: one,
      body: z.strictObject({ role: z.enum(ROLES) }),
      success: SHOWN,
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
      params: one,
      success: SHOWN,
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
      params: one,
      success: SHOWN,
      async run({ db, params, by }) {
        const { id } = await getUser(db, params.user_id)
        await enableUser(db, id, by)
        return { body: userView(await getUser(db, id)) }
      },
    }),
    operation({
      id: 'listSessions',
      method: 'GET',
      path: '/users/{user_id}/sessions',
      tag: 'Users',
      scope: 'users:read',
      summary: 'List where an account is signed in, newest first',
      params: one,
      success: { status: 200, description: 'At most 100 sign-ins.', schema: listOf('SessionList', session) },
      async run({ db, params }) {
        const { id } = await getUser(db, params.user_id)
        const sessions = await listSessions(db, id)
        return { body: sessions.map(({ created_at, expires_at }) => ({ created_at, expires_at })) }
      },
    }),
    operation({
      id: 'endSessions',
      method: 'DELETE',
      path: '/users/{user_id}/sessions',
      tag: 'Users',
      scope: 'users:write',
      summary: 'Sign an account out everywhere',
      description: `Links for a new password end, too. Apps keep their access. ${POWER}`,
      params: one,
      success: { status: 200, description: 'How many sign-ins have ended.', schema: ended },
      async run({ db, params, by }) {
        const count = await endSessions(db, params.user_id, by)
        if (count === undefined) throw new NotFound('There is no such account.')
        return { body: { ended: count } }
      },
    }),
    operation({
      id: 'sendPasswordReset',
      method: 'POST',
      path: '/users/{user_id}/password-reset',
      tag: 'Users',
      scope: 'users:write',
      summary: 'Let somebody choose a new password, with a link that works once, for an hour',
      description: mailIsOn
        ? `The link is mailed to them. One of before ends. ${POWER}`
        : `Mail is off here: the answer holds the link, for you to hand over. One of before ends. ${POWER}`,
      params: one,
      success: mailIsOn
        ? { status: 202, description: 'A mail is on its way.', schema: reset, secretMembers: ['link'] }
        : {
            status: 201,
            description: 'Made; the link is shown this once.',
            schema: reset,
            secretMembers: ['link'],
          },
      conflict: 'The account is disabled, or a request with this Idempotency-Key is under way.',
      run: ({ db, params, by }) =>
        tx(db, async (t) => {
          await getUser(t, params.user_id)
          const sent = await sendReset(t, params.user_id, mailIsOn ? 'mail' : 'hand', by)
          if (!sent) throw new HttpError(409, 'disabled', 'The account is disabled. Enable it first.')
          return { body: { mailed: mailIsOn, link: sent.path === undefined ? null : issuer + sent.path } }
        }),
    }),
    operation({
      id: 'withdrawPasswordReset',
      method: 'DELETE',
      path: '/users/{user_id}/password-reset',
      tag: 'Users',
      scope: 'users:write',
      summary: 'Withdraw the link for a new password',
      description: `Also one that is still to be mailed. ${POWER}`,
      params: one,
      success: { status: 204, description: 'Withdrawn.' },
      async run({ db, params, by }) {
        const withdrawn = await withdrawReset(db, params.user_id, by)
        if (!withdrawn) throw new NotFound('There is no such link, or it was used, or is over.')
        return {}
      },
    }),
    operation({
      id: 'revokeUserConsents',
      method: 'DELETE',
      path: '/users/{user_id}/consents',
      tag: 'Users',
      scope: 'grants:write',
      summary: 'End the access of all apps to an account',
      description: `In the background: each app has to ask again. ${POWER}`,
      params: one,
      success: { status: 202, description: 'It has begun.', schema: job, location: true },
      async run({ db, params, by }) {
        const { id } = await getUser(db, params.user_id)
        return begun(await endAllAccess(db, { user_id: id }, by))
      },
    }),
  ]
}

async function getUser(db: Db, id: string): Promise<User> {
  const found = await findUser(db, id)
  if (!found) throw new NotFound('There is no such account.')
  return found
}

function userView({ id, email, email_verified, name, role, created_at, last_sign_in_at, disabled_at }: User) {
  return { id, email, email_verified, name, role, created_at, last_sign_in_at, disabled_at }
}
