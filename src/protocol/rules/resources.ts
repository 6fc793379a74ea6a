// Resource indicators (RFC 8707) over our APIs: which API a token is for, and which of its scopes a client may have.
import type { Context } from 'koa'
import { type Client, errors, type ResourceServer } from 'oidc-provider'
import type { ResourceDirectory } from '../../core/resources/cache.ts'
import { tokenSeconds } from '../../core/resources/store.ts'
import { throughStorage } from '../storage/errors.ts'
import { mayAskFor, settleScopes } from './requested-scopes.ts'
import { isGranted } from './token-scopes.ts'

/** The provider's settings of feature resourceIndicators. @param standardSeconds how long access tokens live otherwise */
export function resourceIndicators(resources: ResourceDirectory, standardSeconds: number) {
  return {
    enabled: true,
    /** Without a resource parameter the scopes say which APIs are meant: each belongs to one. */
    async defaultResource(ctx: Context, client: Client, oneOf?: readonly string[]) {
      // At the token endpoint a token has one audience: the first API of which something was allowed.
      if (oneOf) return oneOf.find((identifier) => isGranted(ctx.oidc, identifier)) ?? oneOf[0]!
      const scopes = await settleScopes(ctx, client, resources)
      const identifiers = [...new Set(scopes.map(({ resource }) => resource))]
      return identifiers.length > 1 ? identifiers : identifiers[0]!
    },
    /** @throws InvalidTarget for an API nobody registered, InvalidScope for a scope the client may not ask for. */
    async getResourceServerInfo(ctx: Context, identifier: string, client: Client): Promise<ResourceServer> {
      const resource = await throughStorage(() => resources.find(identifier))
      if (!resource) throw new errors.InvalidTarget()
      const allowed = resource.scopes.filter((scope) => mayAskFor(client, scope)).map(({ name }) => name)
      // No person is asked: whoever may ask for nothing of an API gets no token that names it (RFC 8707 §2).
      if (allowed.length === 0 && ctx.oidc.params?.grant_type === 'client_credentials') {
        throw new errors.InvalidTarget()
      }
      await settleScopes(ctx, client, resources)
      return {
        scope: allowed.join(' '),
        audience: identifier,
        accessTokenFormat: resource.token_format,
        accessTokenTTL: tokenSeconds(resource, standardSeconds),
        // RFC 9068 §4: whoever reads these tokens can verify this one at least.
        jwt: { sign: { alg: 'RS256' } },
      }
    },
    // A code that was asked for with an API in mind gives a token for that API, without asking for it a second time.
    // Where the person allowed nothing of it, the token is for userinfo, as if the API had not been asked for.
    useGrantedResource: (ctx: Context, model: { resource?: string | string[] }) =>
      [model.resource ?? []].flat().some((identifier) => isGranted(ctx.oidc, identifier)),
  }
}
