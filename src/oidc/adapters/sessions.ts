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
  const known = (): Map<string, 'stored' | 'gone'> => {
    const state = currentContext()?.state as { sessions?: Map<string, 'stored' | 'gone'> } | undefined
    if (!state) return new Map()
    state.sessions ??= new Map()
    return state.sessions
  }
  return {
    ...unused('Session'),
    async find(id) {
      const row = await findSession(db, { id })
      if (!row) return undefined
      known().set(id, 'stored')
      if (row.user) currentUnit()?.users.set(row.user.id, row.user)
      return { ...openLogout(secrets, row.payload), kind: 'Session', jti: id } as AdapterPayload
    },
    async findByUid(uid) {
      const row = await findSession(db, { uid })
      return row && ({ ...row.payload, kind: 'Session' } as AdapterPayload)
    },
    async upsert(id, { jti: _jti, kind: _kind, ...payload }, expiresIn) {
      const session = {
        uid: payload.uid as string,
        user_id: payload.accountId ?? null,
        payload: storable(sealLogout(secrets, payload)),
        expiresIn,
        epoch: epochOf(currentContext()?.oidc?.result),
      }
      const sessions = known()
      if (sessions.get(id) === 'stored') return renewSession(db, id, session)
      if ([...sessions.values()].includes('gone')) return
      await createSession(db, id, session)
      sessions.set(id, 'stored')
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
