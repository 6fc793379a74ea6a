// Which grant an authorization request stands on: the one just allowed, the one this session has, or a new one made out of
// a decision that the user took earlier, perhaps on another device.
import type { Context } from 'koa'
import type { Grant } from 'oidc-provider'
import { isOpenidScope } from '../../base/openid-scopes.ts'
import { mayUse } from '../../core/clients/owners.ts'
import { findConsent, giveConsent } from '../../core/grants/consents.ts'
import { addGrant, type GrantedScopes } from '../../core/grants/store.ts'
import type { Db } from '../../db/pool.ts'
import { actorOf } from '../../http/actor.ts'
import { throughStorage } from '../storage/errors.ts'
import type { OwnMetadata } from './clients.ts'
import { deviceOf } from './device.ts'

/** The client that stands for our own pages: signing in to /account is an authorization request like any other. */
export const ACCOUNT_CLIENT_ID = 'valetkey-account'

type ResourceServers = Record<string, { scopes: Set<string> }>

/** The provider's setting loadExistingGrant. */
export function grantLoader(db: Db) {
  return (ctx: Context): Promise<Grant | undefined> => throughStorage(() => loadGrant(db, ctx))
}

async function loadGrant(db: Db, ctx: Context): Promise<Grant | undefined> {
  const { oidc } = ctx
  const { provider } = oidc
  const client = oidc.client!
  const user_id = oidc.session!.accountId!

  if (client.clientId === ACCOUNT_CLIENT_ID) {
    // Never stored: our own pages hold a session, no tokens.
    const grant = new provider.Grant({ accountId: user_id, clientId: client.clientId })
    grant.addOIDCScope('openid')
    return grant
  }
  // A pending app without a grant stops at our pages, which say why.
  const { state, branding_changed_at, first_party } = client as typeof client & OwnMetadata
  if (state === 'pending' && !(await mayUse(db, { id: client.clientId, state }, user_id))) return undefined
  const decided = oidc.result?.consent?.grantId
  if (decided) return provider.Grant.find(decided)
  const consent = branding_changed_at ? await findConsent(db, user_id, client.clientId) : undefined
  // What was allowed looked otherwise: the person decides about what it is now.
  if (branding_changed_at && (!consent || consent.updated_at.getTime() < branding_changed_at))
    return undefined

  const asked = askedScopes(ctx)
  const ofSession = oidc.session!.grantIdFor(client.clientId)
  const existing = ofSession ? await provider.Grant.find(ofSession) : undefined
  if (existing && existing.accountId === user_id && covers(existing, asked)) return existing
  // A prompt comes first; a grant made now might be one that nobody uses.
  if (oidc.promptPending('login') || oidc.promptPending('consent')) return undefined

  if (first_party) {
    const grant_id = await giveConsent(
      db,
      {
        user_id,
        client: { id: client.clientId, name: client.clientName ?? client.clientId, host: '' },
        scopes: all(asked),
        rejected_scopes: [],
        expires_at: null,
        granted: asked,
        device: deviceOf(ctx),
      },
      { ...actorOf(ctx), type: 'system', id: undefined },
    )
    return provider.Grant.find(grant_id)
  }
  const standing = consent ?? (await findConsent(db, user_id, client.clientId))
  if (!standing) return undefined
  const answered = new Set([...standing.scopes, ...standing.rejected_scopes])
  if (!all(asked).every((scope) => answered.has(scope))) return undefined
  const allowed = new Set(standing.scopes)
  const grant_id = await addGrant(db, standing.id, split(asked, allowed), deviceOf(ctx))
  return grant_id === undefined ? undefined : provider.Grant.find(grant_id)
}

/** The scopes of an authorization request, by API, as the provider has resolved them. */
function askedScopes(ctx: Context): GrantedScopes {
  const requested = new Set((ctx.oidc.params?.scope as string | undefined)?.split(' ').filter(Boolean))
  const openid = [...requested].filter(isOpenidScope)
  const resources = Object.entries((ctx.oidc.resourceServers ?? {}) as ResourceServers).map(
    ([identifier, { scopes }]) =>
      [identifier, [...requested].filter((s) => scopes.has(s)).join(' ')] as const,
  )
  return {
    ...(openid.length > 0 ? { openid: { scope: openid.join(' ') } } : {}),
    resources: Object.fromEntries(resources.filter(([, scope]) => scope)),
  }
}

/** Parts what is asked into what is allowed and what is rejected. The OpenID scopes come whole or not at all. */
export function split(asked: GrantedScopes, allowed: ReadonlySet<string>): GrantedScopes {
  const pick = (keep: (scope: string) => boolean): Record<string, string> =>
    Object.fromEntries(
      Object.entries(asked.resources ?? {})
        .map(([identifier, scope]) => [identifier, scope.split(' ').filter(keep).join(' ')] as const)
        .filter(([, scope]) => scope),
    )
  const rejected = pick((scope) => !allowed.has(scope))
  return {
    ...(asked.openid ? { openid: asked.openid } : {}),
    resources: pick((scope) => allowed.has(scope)),
    ...(Object.keys(rejected).length > 0 ? { rejected: { resources: rejected } } : {}),
  }
}

/** Every scope that is asked, whatever it belongs to. */
export function all(asked: GrantedScopes): string[] {
  return [asked.openid?.scope ?? '', ...Object.values(asked.resources ?? {})]
    .flatMap((s) => s.split(' '))
    .filter(Boolean)
}

function covers(grant: Grant, asked: GrantedScopes): boolean {
  const openid = new Set(grant.getOIDCScopeEncountered().split(' '))
  const missing = (asked.openid?.scope.split(' ') ?? []).some((scope) => !openid.has(scope))
  if (missing) return false
  return Object.entries(asked.resources ?? {}).every(([identifier, scope]) => {
    const encountered = new Set(grant.getResourceScopeEncountered(identifier).split(' '))
    return scope.split(' ').every((name) => encountered.has(name))
  })
}
