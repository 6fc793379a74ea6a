// What a refused request asks of the registration, where one press can do it: nothing that the person does not see in full before.
import { redirectUriProblem } from '../../core/clients/addresses.ts'
import { hasRedirects } from '../../core/clients/kinds.ts'
import type { Client } from '../../core/clients/store.ts'
import type { ClientChange } from '../../core/clients/update.ts'
import type { RejectedRequestRow } from '../../core/diagnostics/store.ts'

/** A change of the registration with which such a request would be accepted. */
export interface Fix {
  /** The text of the button. */
  label: string
  heading: string
  will: string[]
  stays: string[]
  change: Pick<ClientChange, 'redirect_uris' | 'pkce_required'>
}

/** The fix of a refused request; undefined where the registration is right and the app must change. */
export function fixOf(client: Client, row: Pick<RejectedRequestRow, 'kind' | 'received'>): Fix | undefined {
  if (row.kind === 'pkce_challenge_missing') return withoutPkce(client)
  if (row.kind === 'redirect_uri_mismatch') return withRedirectUri(client, row.received)
  return undefined
}

function withoutPkce({ name, type, pkce_required }: Client): Fix | undefined {
  if (type !== 'web' || !pkce_required) return undefined
  return {
    label: 'Let this app do without PKCE',
    heading: `Let ${name} do without PKCE?`,
    will: [
      'Sign-ins without a code_challenge are accepted.',
      'Somebody who gets hold of a code in the browser can try to use it in the app. A nonce in each request helps against that; PKCE, when your library can do it, is better.',
    ],
    stays: [
      'The app still shows its secret at the token endpoint.',
      'A sign-in that uses PKCE is still held to it.',
    ],
    change: { pkce_required: false },
  }
}

// Anybody can send a request in the app's name: only what is at a host of the app can be added with one press.
function withRedirectUri({ name, type, redirect_uris }: Client, uri: string): Fix | undefined {
  if (
    type === 'resource_server' ||
    !hasRedirects(type) ||
    redirect_uris.includes(uri) ||
    redirectUriProblem(uri, type)
  )
    return undefined
  const origin = URL.parse(uri)?.origin
  const isOwn = redirect_uris.some((each) => origin !== 'null' && URL.parse(each)?.origin === origin)
  if (!isOwn) return undefined
  return {
    label: 'Add this redirect URI',
    heading: `Add a redirect URI to ${name}?`,
    will: [`People can be sent back to ${uri} with a code.`],
    stays: ['The redirect URIs that are registered stay.'],
    change: { redirect_uris: [...redirect_uris, uri] },
  }
}
