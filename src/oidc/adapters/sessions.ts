// The login session as the provider stores it.
import type { AdapterPayload } from 'oidc-provider'
import type { Secrets } from '../../secrets.ts'
import { createSession, destroySession, findSession, renewSession } from '../../users/sessions.ts'
import { actorOf } from '../../web/actor.ts'
import { storable } from '../storage.ts'
import { currentContext, currentUnit } from '../unit.ts'
import { type Adapter, type AdapterParts, seal, unseal, unused } from './parts.ts'

/** The adapter of sessions. */
export function sessionAdapter({ db, secrets }: AdapterParts): Adapter {
  // What this request knows of a stored session: one that it read is only ever renewed, never made again, so that a
  // session ended meanwhile (password changed elsewhere) is not brought back by a request in flight.
  const known = (): Map<string, Stored | 'gone'> => {
    const state = currentContext()?.state as { sessions?: Map<string, Stored | 'gone'> } | undefined
    if (!state) return new Map()
    state.sessions ??= new Map()
    return state.sessions
  }
  return {
    ...unused('Session'),
    async find(id) {
      const row = await findSession(db, { id })
      if (!row) return undefined
      known().set(id, asStored(row.payload))
      if (row.user) currentUnit()?.users.set(row.user.id, row.user)
      return { ...openLogout(secrets, row.payload), kind: 'Session', jti: id } as AdapterPayload
    },
    async findByUid(uid) {
      const row = await findSession(db, { uid })
      return row && ({ ...row.payload, kind: 'Session' } as AdapterPayload)
    },
    async upsert(id, { jti: _jti, kind: _kind, ...payload }, expiresIn) {
      const sealed = sealLogout(secrets, payload)
      const session = {
        uid: payload.uid as string,
        user_id: payload.accountId ?? null,
        payload: storable(sealed),
        expiresIn,
        epoch: epochOf(currentContext()?.oidc?.result),
      }
      const sessions = known()
      const before = sessions.get(id)
      if (before && before !== 'gone') {
        if (!isRenewedLately(before, asStored(sealed))) await renewSession(db, id, session)
        return
      }
      if ([...sessions.values()].includes('gone')) return
      await createSession(db, id, session)
      sessions.set(id, asStored(sealed))
    },
    async destroy(id) {
      const ctx = currentContext()
      const signingOut = ctx?.oidc?.route === 'end_session_confirm'
      const existed = await destroySession(db, id, signingOut ? actorOf(ctx) : undefined)
      if (!existed) known().set(id, 'gone')
      else known().delete(id)
    },
  }
}

/** The count of password changes that a sign-in belongs to; see users/store.ts. */
export function epochOf(result: unknown): number | undefined {
  return (result as { login?: { epoch?: number } } | undefined)?.login?.epoch
}

/** A session as it is stored: until when, and all that it says besides. */
interface Stored {
  exp: number
  text: string
}

function asStored({ iat: _iat, exp, ...says }: Record<string, unknown>): Stored {
  return { exp: exp as number, text: JSON.stringify(says) }
}

// Every authorization renews the session, and most find it as it was a moment ago: that is not worth a write.
function isRenewedLately(before: Stored, now: Stored): boolean {
  return now.text === before.text && now.exp >= before.exp && now.exp - before.exp < RENEWAL_SECONDS
}

const RENEWAL_SECONDS = 60

type LogoutState = { state?: { secret?: unknown } }

// The secret of a sign-out form stands in its session.
function sealLogout(secrets: Secrets, session: Record<string, unknown>): Record<string, unknown> {
  const { state } = session as LogoutState
  return state ? { ...session, state: { ...state, secret: seal(secrets, String(state.secret)) } } : session
}

function openLogout(secrets: Secrets, session: Record<string, unknown>): Record<string, unknown> {
  const { state, ...rest } = session as LogoutState
  const secret = unseal(secrets, state?.secret)
  return secret === undefined ? rest : { ...rest, state: { ...state, secret } }
}
