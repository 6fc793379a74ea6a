// How a third-party app connects a person's account at Valetkey: sign-in, renewing, calling the API, signing
// out. What an app developer would write with openid-client; it knows no pages.
import * as openid from 'openid-client'
import { type Trace, tracedFetch } from './trace.ts'

/** An app as it was registered. */
export interface Registration {
  name: string
  client: { id: string; secret?: string }
  issuer: string
  redirectUri: string
  postLogoutRedirectUri?: string
  /** Everything the app would like to have. The person may allow less. */
  scope: string
  trace?: Trace
}

/** What must be remembered between leaving for Valetkey and coming back. */
export interface Pending {
  state: string
  nonce: string
  verifier: string
}

/** A person's account, as far as they let the app in. */
export interface Account {
  sub: string
  name: string
  email: string
  idToken: string
  accessToken: string
  refreshToken: string | undefined
  scopes: string[]
  /** When the access token ends by itself. */
  ends: Date
  renewals: number
  renewing?: Promise<void>
}

/** The person ended the app's access: neither token opens anything any more. */
export class AccessRemoved extends Error {
  override name = 'AccessRemoved'
  /** The server's own word for it, as `invalid_grant`. */
  readonly code: string
  constructor(code: string) {
    super(`access was removed: ${code}`)
    this.code = code
  }
}

/** The sign-in did not come to an end: refused by the person, or by the server. */
export class SignInFailed extends Error {
  override name = 'SignInFailed'
  readonly code: string
  constructor(code: string, options?: ErrorOptions) {
    super(`sign-in failed: ${code}`, options)
    this.code = code
  }
}

/** Connects accounts for one app. The server is looked up at the first use, so that it may start later. */
export function createConnection(registration: Registration) {
  const { client, issuer, redirectUri, trace } = registration
  const send = tracedFetch(registration.name, trace)
  let discovered: Promise<openid.Configuration> | undefined

  return { begin, finish, renew, call, signOutUrl }

  /** Starts a sign-in: where to send the browser, and what to remember until it is back. */
  async function begin(extra: Record<string, string> = {}): Promise<{ url: URL; pending: Pending }> {
    const pending = {
      state: openid.randomState(),
      nonce: openid.randomNonce(),
      verifier: openid.randomPKCECodeVerifier(),
    }
    const url = openid.buildAuthorizationUrl(await server(), {
      redirect_uri: redirectUri,
      scope: registration.scope,
      state: pending.state,
      nonce: pending.nonce,
      code_challenge: await openid.calculatePKCECodeChallenge(pending.verifier),
      code_challenge_method: 'S256',
      ...extra,
    })
    return { url, pending }
  }

  /** Ends a sign-in: checks state, issuer (RFC 9207), PKCE and nonce, and exchanges the code. @throws SignInFailed */
  async function finish(query: string, { state, nonce, verifier }: Pending): Promise<Account> {
    // Never from the Host header: the code is exchanged for exactly the address that was registered.
    const url = new URL(redirectUri)
    url.search = query
    const checks = { expectedState: state, expectedNonce: nonce, pkceCodeVerifier: verifier }
    try {
      const tokens = await openid.authorizationCodeGrant(await server(), url, checks)
      const claims = tokens.claims()!
      return {
        sub: claims.sub,
        name: String(claims.name ?? ''),
        email: String(claims.email ?? ''),
        idToken: tokens.id_token!,
        renewals: 0,
        ...held(tokens, registration.scope),
      }
    } catch (error) {
      throw new SignInFailed(errorCode(error), { cause: error })
    }
  }

  /** Gets a new access token. Calls at the same time share one: a refresh token is good for one use. @throws AccessRemoved */
  async function renew(account: Account): Promise<void> {
    account.renewing ??= refresh(account).finally(() => {
      account.renewing = undefined
    })
    await account.renewing
  }

  /** Calls an API; a refused token is renewed once. @throws AccessRemoved when that is refused too. */
  async function call(account: Account, method: string, url: string): Promise<Response> {
    const answer = await ask()
    if (answer.status !== 401) return answer
    await renew(account)
    return ask()

    function ask(): Promise<Response> {
      return send(url, { method, headers: { Authorization: `Bearer ${account.accessToken}` } })
    }
  }

  /** Where to send the browser so that the person is signed out of Valetkey, too. */
  async function signOutUrl(account: Account): Promise<URL> {
    return openid.buildEndSessionUrl(await server(), {
      id_token_hint: account.idToken,
      ...(registration.postLogoutRedirectUri && {
        post_logout_redirect_uri: registration.postLogoutRedirectUri,
      }),
    })
  }

  async function refresh(account: Account): Promise<void> {
    if (!account.refreshToken) throw new AccessRemoved('invalid_token')
    try {
      const tokens = await openid.refreshTokenGrant(await server(), account.refreshToken)
      Object.assign(account, held(tokens, account.scopes.join(' '), account.refreshToken))
      account.renewals += 1
    } catch (error) {
      if (error instanceof openid.ResponseBodyError && error.status === 400) {
        throw new AccessRemoved(error.error)
      }
      throw error
    }
  }

  async function server(): Promise<openid.Configuration> {
    const authentication = client.secret ? openid.ClientSecretBasic(client.secret) : openid.None()
    discovered ??= openid.discovery(new URL(issuer), client.id, {}, authentication, {
      // The demo runs on the loopback address. Anywhere else https is demanded.
      execute: new URL(issuer).hostname === 'localhost' ? [openid.allowInsecureRequests] : [],
      [openid.customFetch]: send,
    })
    try {
      return await discovered
    } catch (error) {
      discovered = undefined
      throw error
    }
  }
}

function held(tokens: openid.TokenEndpointResponse, asked: string, refreshToken?: string) {
  return {
    accessToken: tokens.access_token,
    // A server that does not rotate leaves the refresh token out of its answer (RFC 6749 §6).
    refreshToken: tokens.refresh_token ?? refreshToken,
    // An answer without a scope means: all that was asked for (RFC 6749 §5.1).
    scopes: (tokens.scope ?? asked).split(' '),
    ends: new Date(Date.now() + (tokens.expires_in ?? 0) * 1000),
  }
}

function errorCode(error: unknown): string {
  if (error instanceof openid.AuthorizationResponseError) return error.error
  if (error instanceof openid.ResponseBodyError) return error.error
  return (error as { code?: string }).code ?? 'failed'
}
