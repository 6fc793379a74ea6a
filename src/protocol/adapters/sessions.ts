// The login session as the provider stores it. While nobody is signed in it is a cookie of its browser and no row.
import type { Context } from 'koa'
import type { AdapterPayload } from 'oidc-provider'
import type { Secrets } from '../../base/secrets.ts'
import {
  createSession,
  destroySession,
  findSession,
  mustNotHaveRotated,
  renewSession,
} from '../../core/users/sessions.ts'
import { actorOf } from '../../http/actor.ts'
import { formStateOf, routeOf, sessionCookieNames } from '../internals/library.ts'
import { clearSealed, readSealed, setSealed } from '../rules/sealed-cookies.ts'
import { storable } from '../storage/errors.ts'
import { currentRequest, currentUnit } from '../storage/unit-of-work.ts'
import { type Adapter, type AdapterParts, seal, unseal, unused } from './parts.ts'

/** The adapter of sessions. */
export function sessionAdapter({ db, secrets, issuer, rotations }: AdapterParts): Adapter {
  // As the session's own cookie: __Host- pins it to this very host and to https.
  const name = issuer.startsWith('https:') ? '__Host-visit' : '_visit'
  const path = '/'
  return {
    ...unused('Session'),
    async find(id) {
      const ctx = currentRequest()
      const visit = ctx && readSealed(ctx, secrets, { name, id })
      if (visit) {
        known().set(id, 'visit')
        return { ...visit, kind: 'Session', jti: id } as AdapterPayload
      }
      await rotations.settle(id)
      const row = await findSession(db, { id })
      if (!row) {
        await mustNotHaveRotated(db, id)
        return undefined
      }
      known().set(id, asStored(row.payload))
      if (row.user) currentUnit()?.users.set(row.user.id, row.user)
      return { ...openLogout(secrets, row.payload), kind: 'Session', jti: id } as AdapterPayload
    },
    async findByUid(uid) {
      const row = await findSession(db, { uid })
      return row && ({ ...row.payload, kind: 'Session' } as AdapterPayload)
    },
    async upsert(id, { jti: _jti, kind: _kind, ...payload }, expiresIn) {
      const ctx = currentRequest()
      const sessions = known()
      const before = sessions.get(id)
      if (ctx && !payload.accountId && !isRow(before)) {
        // Too large, because somebody sent much to sign out of nothing with: then nothing is kept.
        if (setSealed(ctx, secrets, { name, id, path }, payload, expiresIn)) sessions.set(id, 'visit')
        return
      }
      const sealed = sealLogout(secrets, payload)
      const session = {
        uid: payload.uid as string,
        user_id: payload.accountId ?? null,
        payload: storable(sealed),
        expiresIn,
        epoch: epochOf(ctx?.oidc?.result),
      }
      if (isRow(before)) {
        const isRenewed = !isRenewedLately(before, asStored(sealed)) && (await renewSession(db, id, session))
        if (ctx && !isRenewed && !before.isNew) keepCookie(ctx)
        return
      }
      if ([...sessions.values()].includes('gone')) return
      const [from] = [...sessions].find(([, each]) => each === 'rotating') ?? []
      if (from === undefined) await createSession(db, id, session)
      else {
        const lives = await rotations.rotate(from, id, session)
        sessions.set(from, lives ? 'rotated' : 'gone')
        if (!lives) return
      }
      sessions.set(id, { ...asStored(sealed), isNew: true })
    },
    async destroy(id) {
      const ctx = currentRequest()
      if (ctx && known().get(id) === 'visit') {
        clearSealed(ctx, name, path)
        known().delete(id)
        return
      }
      // Its row goes on under the new id.
      if (isRotated(known().get(id))) return
      const signingOut = routeOf(ctx) === 'end_session_confirm'
      const existed = await destroySession(db, id, ctx && signingOut ? actorOf(ctx) : undefined)
      if (!existed) known().set(id, 'gone')
      else known().delete(id)
    },
  }
}

/** Whether nobody was signed in with this session when this request began. */
export function isVisit(id: string): boolean {
  return known().get(id) === 'visit'
}

/** Notes that a session is about to get another id: the provider destroys it, and then stores another one. */
export function noteRotation(id: string): void {
  if (isRow(known().get(id))) known().set(id, 'rotating')
}

/** Whether this request has given a session another id. */
export function hasRotated(ctx: Context): boolean {
  const { sessions } = ctx.state as { sessions?: Map<string, Known> }
  return [...(sessions?.values() ?? [])].includes('rotated')
}

/** The lines of an answer that set the session's cookie. */
export function sessionCookies(ctx: Context): string[] {
  const names = sessionCookieNames(ctx)
  return cookiesOf(ctx).filter((line) => names.some((name) => line.startsWith(`${name}=`)))
}

// The provider sends the cookie with every answer. Where the session is as it was, the browser has it, or has a newer one by now: of
// two requests that were under way together, the other one has given the session another id.
function keepCookie(ctx: Context): void {
  if (!ctx.oidc) return
  const ofSession = sessionCookies(ctx)
  const others = cookiesOf(ctx).filter((line) => !ofSession.includes(line))
  ctx.remove('set-cookie')
  if (others.length > 0) ctx.set('Set-Cookie', others)
}

function cookiesOf(ctx: Context): string[] {
  return [(ctx.response.get('set-cookie') || []) as string | string[]].flat()
}

// What this request knows of a session. A stored one that it read is only ever renewed, never made again, so that a session ended
// meanwhile (password changed elsewhere) is not brought back by a request in flight.
function known(): Map<string, Known> {
  const state = currentRequest()?.state as { sessions?: Map<string, Known> } | undefined
  if (!state) return new Map()
  state.sessions ??= new Map()
  return state.sessions
}

type Known = Stored | 'gone' | 'visit' | 'rotating' | 'rotated'

function isRotated(known: Known | undefined): boolean {
  return known === 'rotating' || known === 'rotated'
}

function isRow(known: Known | undefined): known is Stored {
  return typeof known === 'object'
}

/** The count of password changes that a sign-in belongs to; see core/users/store.ts. */
export function epochOf(result: unknown): number | undefined {
  return (result as { login?: { epoch?: number } } | undefined)?.login?.epoch
}

/** A session as it is stored: until when, and all that it says besides. */
interface Stored {
  exp: number
  text: string
  /** It has its id by this request, and its browser does not know it yet. */
  isNew?: true
}

function asStored({ iat: _iat, exp, ...says }: Record<string, unknown>): Stored {
  return { exp: exp as number, text: JSON.stringify(says) }
}

// Every authorization renews the session, and most find it as it was a moment ago: that is not worth a write.
function isRenewedLately(before: Stored, now: Stored): boolean {
  return now.text === before.text && now.exp >= before.exp && now.exp - before.exp < RENEWAL_SECONDS
}

const RENEWAL_SECONDS = 60

// The secret of a sign-out form stands in its session.
function sealLogout(secrets: Secrets, session: Record<string, unknown>): Record<string, unknown> {
  const state = formStateOf(session)
  return state ? { ...session, state: { ...state, secret: seal(secrets, String(state.secret)) } } : session
}

function openLogout(secrets: Secrets, session: Record<string, unknown>): Record<string, unknown> {
  const state = formStateOf(session)
  const { state: _, ...rest } = session
  const secret = unseal(secrets, state?.secret)
  return secret === undefined ? rest : { ...rest, state: { ...state, secret } }
}
