// Grants as the provider reads them, and ending one because the protocol says so.
import type { AdapterPayload } from 'oidc-provider'
import type { Actor } from '../../base/audit-events.ts'
import { record } from '../../core/audit/store.ts'
import { findGrant, type GrantedScopes, revokeGrant } from '../../core/grants/store.ts'
import { type Db, tx } from '../../db/pool.ts'
import { actorOf } from '../../http/actor.ts'
import { routeOf } from '../internals/library.ts'
import type { TokenRow } from '../storage/tokens.ts'
import { currentContext, currentUnit, type Unit } from '../storage/unit-of-work.ts'
import { type Adapter, type AdapterParts, unused } from './parts.ts'

/** The adapter of grants. They are made by the consent page and by protocol/rules/grants.ts, never by the provider. */
export function grantAdapter({ db }: AdapterParts): Adapter {
  return {
    ...unused('Grant'),
    async find(id) {
      for (const read of currentUnit()?.tokens.values() ?? []) {
        const row = await read
        if (row?.grant_id === id) return grantPayload(id, row)
      }
      const grant = await findGrant(db, id)
      return (
        grant &&
        grantPayload(id, {
          user_id: grant.user_id,
          client_id: grant.client_id,
          grant_payload: grant.payload,
          grant_iat: seconds(grant.created_at),
          grant_exp: grant.ends_at && seconds(grant.ends_at),
        })
      )
    },
    destroy: (id) => endGrant(db, id),
  }
}

/**
 * Ends a grant because the protocol says so: its client revoked a refresh token (RFC 7009 §2.1), or a code or refresh
 * token was shown twice (RFC 9700 §4.14.2). The provider asks once a model; the first time does it.
 */
export async function endGrant(db: Db, grant_id: string, ctx = currentContext()): Promise<void> {
  const unit = ctx?.state.unit as Unit | undefined
  // A revoked access token takes nothing along; only the refresh token stands for the whole grant.
  if (ctx && routeOf(ctx) === 'revocation' && ctx.oidc.entities.AccessToken) return
  if (unit?.revoked.has(grant_id)) return
  unit?.revoked.add(grant_id)
  if (ctx && routeOf(ctx) === 'revocation') {
    await revokeGrant(db, grant_id, 'revoked_by_client', clientActor(ctx))
    return
  }
  const by: Actor = ctx ? clientActor(ctx) : { type: 'system' }
  await tx(db, async (t) => {
    const grant = await findGrant(t, grant_id)
    if (!(await revokeGrant(t, grant_id, 'replay', by)) || !grant) return
    const { user_id, client_id } = grant
    await record(
      t,
      { type: 'token.reuse_detected', user_id, client_id, grant_id, kind: replayedKind(ctx) },
      by,
    )
  })
}

function replayedKind(ctx: ReturnType<typeof currentContext>): string {
  return ctx?.oidc?.params?.grant_type === 'authorization_code' ? 'authorization_code' : 'refresh_token'
}

function clientActor(ctx: NonNullable<ReturnType<typeof currentContext>>): Actor {
  return { ...actorOf(ctx), type: 'client', id: ctx.oidc.client?.clientId }
}

type GrantPart = Pick<TokenRow, 'user_id' | 'client_id' | 'grant_payload' | 'grant_iat' | 'grant_exp'>

const NEVER = 4_102_444_800 // The year 2100: the provider wants every grant to expire.

function grantPayload(id: string, row: GrantPart): AdapterPayload {
  return {
    ...(row.grant_payload as GrantedScopes),
    kind: 'Grant',
    jti: id,
    accountId: row.user_id!,
    clientId: row.client_id,
    iat: row.grant_iat!,
    exp: row.grant_exp ?? NEVER,
  } as AdapterPayload
}

function seconds(date: Date): number {
  return Math.floor(date.getTime() / 1000)
}
