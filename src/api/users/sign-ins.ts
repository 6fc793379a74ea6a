// Sign-ins of people over the Admin API: seeing and ending them, and links for a new password.
import { z } from 'zod'
import { sendReset, withdrawReset } from '../../core/users/reset-links.ts'
import { endSessions, listSessions } from '../../core/users/search.ts'
import { tx } from '../../db/pool.ts'
import { HttpError, NotFound } from '../../http/errors.ts'
import { type Operation, operation } from '../framework/operation.ts'
import { listOf, moment, named } from '../framework/schemas.ts'
import { getUser, POWER, userParams } from './access.ts'

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

/** Operations on sessions. */
export const sessionOperations: readonly Operation[] = [
  operation({
    id: 'listSessions',
    method: 'GET',
    path: '/users/{user_id}/sessions',
    tag: 'Users',
    scope: 'users:read',
    summary: 'List where an account is signed in, newest first',
    params: userParams,
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
    params: userParams,
    success: { status: 200, description: 'How many sign-ins have ended.', schema: ended },
    async run({ db, params, by }) {
      const count = await endSessions(db, params.user_id, by)
      if (count === undefined) throw new NotFound('There is no such account.')
      return { body: { ended: count } }
    },
  }),
]

/** Operations on links for a new password. @param mailIsOn whether links are mailed; otherwise the answer holds them */
export function passwordResetOperations(parts: { issuer: string; mailIsOn: boolean }): Operation[] {
  const { issuer, mailIsOn } = parts
  return [
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
      params: userParams,
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
      params: userParams,
      success: { status: 204, description: 'Withdrawn.' },
      async run({ db, params, by }) {
        const withdrawn = await withdrawReset(db, params.user_id, by)
        if (!withdrawn) throw new NotFound('There is no such link, or it was used, or is over.')
        return {}
      },
    }),
  ]
}
