// The quick start of an app, for its owners: programs that sign somebody in, filled in and ready to run.
import { isOpenidScope } from '../../base/openid-scopes.ts'
import { hasRedirects, isConfidential } from '../../core/clients/kinds.ts'
import type { SignedIn } from '../../protocol/guards.ts'
import { type DeveloperParts, getOwnApp, headOf } from './own-client.ts'
import { type SnippetFacts, snippetRedirect, snippetsFor } from './snippets.ts'

/** Handler of /developer/apps/:client_id/quick-start. */
export function quickStartPages({ db, issuer, resources, render }: DeveloperParts & { issuer: string }) {
  return {
    async show(ctx: SignedIn): Promise<void> {
      const client = await getOwnApp(db, ctx)
      const type = client.type as SnippetFacts['type']
      const apis = (await resources.all()).filter((api) =>
        api.scopes.some(({ name }) => client.scopes.includes(name)),
      )
      // A service requests a token for each API. A person allows the scopes of all of them on one page.
      const ofFirst = new Set(apis[0]?.scopes.map(({ name }) => name))
      const scopes = type === 'service' ? client.scopes.filter((scope) => ofFirst.has(scope)) : client.scopes
      const { redirect_uri, can_listen } = snippetRedirect(
        client as { type: typeof type; redirect_uris: string[] },
      )
      render(ctx, 'developer/quick-start', {
        ...headOf(ctx, client),
        client_id: client.id,
        issuer,
        redirect_uri: hasRedirects(type) ? redirect_uri : undefined,
        can_listen,
        is_spa: type === 'spa',
        is_pending: client.state === 'pending',
        scopes,
        other_apis: type === 'service' ? apis.slice(1).map(({ name }) => name) : [],
        signs_in: type !== 'service' && scopes.some(isOpenidScope),
        keeps_secret: isConfidential(client.type),
        snippets: snippetsFor({
          ...client,
          type,
          issuer,
          scopes,
          client_id: client.id,
          api: apis[0]?.identifier,
        }),
      })
    },
  }
}
