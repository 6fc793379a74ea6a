// How the provider finds a client, and whether a browser that comes back from our pages may still be sent to it.
import type { Context } from 'koa'
import { type Client, errors, type Provider } from 'oidc-provider'
import type { ClientDirectory, Registration } from '../../core/clients/cache.ts'
import type { DocumentReader } from '../../core/registration/document-reader.ts'
import { formStateOf, replaceClientLookup, routeOf } from '../internals/library.ts'
import { throughStorage } from '../storage/errors.ts'
import { currentContext, currentUnit } from '../storage/unit-of-work.ts'
import { ACCOUNT_CLIENT_ID } from './grants.ts'
import { readDocumentFirst } from './metadata-documents.ts'

/**
 * Builds each client once and keeps it as long as the directory remembers its registration. The provider itself would digest the whole
 * registration at each look-up to see whether it has changed. Where a client authenticates, or a browser may be sent to it, its row is
 * read: a secret that was replaced and a redirect URI that was removed end at once on every node. At /userinfo the row of the token
 * already says whether its client lives.
 */
export function keepClients(
  provider: Provider,
  { clients, documents }: { clients: ClientDirectory; documents: DocumentReader | undefined },
): void {
  const kept = new WeakMap<Registration, Client>()
  replaceClientLookup(provider, async (id, build) => {
    if (typeof id !== 'string' || id === ACCOUNT_CLIENT_ID) return build(id)
    const ctx = currentContext()
    if (documents) await readDocumentFirst(documents, id, ctx)
    const isByToken = routeOf(ctx) === 'userinfo'
    const unit = currentUnit()
    const registration =
      unit?.registrations.get(id) ??
      (await throughStorage(() => (isByToken ? clients.find(id) : clients.current(id))))
    if (!registration) return undefined
    unit?.registrations.set(id, registration)
    const client = kept.get(registration) ?? (await build(id))
    if (!client) return undefined
    kept.set(registration, client)
    mustStillLeadBack(client, ctx)
    return client
  })
}

// The provider looks at where a browser is to be sent when a request comes in, and no more when the person comes back from our
// pages, an hour later perhaps.
function mustStillLeadBack(client: Client, ctx: Context | undefined): void {
  if (routeOf(ctx) === 'resume') {
    const { client_id, redirect_uri } = (ctx?.oidc.params ?? {}) as {
      client_id?: string
      redirect_uri?: string
    }
    if (client_id !== client.clientId || redirect_uri === undefined) return
    if (!client.redirectUriAllowed(redirect_uri)) throw new errors.InvalidRedirectUri()
  }
  if (ctx && routeOf(ctx) === 'end_session_confirm') {
    const state = formStateOf(ctx.oidc.session)
    const to = state?.postLogoutRedirectUri
    // Somebody else who signs in comes by here, on the way to where they were going.
    if (state?.clientId !== client.clientId || !to || isOnTheWay(to, ctx.oidc.issuer)) return
    // Signed out all the same, and nowhere else.
    if (!client.postLogoutRedirectUriAllowed(to)) delete state.postLogoutRedirectUri
  }
}

function isOnTheWay(to: string, issuer: string): boolean {
  return to.startsWith(`${issuer}/auth/`) || to.startsWith(`${issuer}/device/`)
}
