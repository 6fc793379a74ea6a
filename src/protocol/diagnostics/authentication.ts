// Why a proof of who asks was not good enough: secrets, ways to authenticate, DPoP proofs, times in assertions. For notes about
// refused requests only.
import { digest, kindOf } from '../../base/credentials.ts'
import { characters, type Reason, type Seen } from './context.ts'
import { payloadOf, presentedBy } from './credentials.ts'

/** A secret that none of the live ones is. */
export function wrongSecret({ ctx }: Seen): Reason {
  const { secret = '' } = presentedBy(ctx)
  const received = `${shownSecret(secret)}${/^\s|\s$/.test(secret) ? ', with white space around it' : ''}`
  return { kind: 'secret_wrong', received, secret_hash: digest(secret.trim()) }
}

/** A way to authenticate that is not the registered one. */
export function authMethod({ ctx, client }: Seen): Reason {
  const confidential = client?.clientAuthMethod !== 'none'
  return {
    kind: 'auth_method',
    expected: confidential ? 'client_secret_basic or client_secret_post' : 'none: client_id alone',
    received: presentedBy(ctx).method,
  }
}

/** Credentials that could not be read, or came in several ways. */
export function malformed({ says }: Seen): Reason {
  return { kind: 'auth_malformed', received: says }
}

/** A time in a proof or assertion that is not that of this server. */
export function clock({ ctx, says }: Seen): Reason {
  const jwt = presentedBy(ctx).assertion ?? ctx.get('dpop')
  const claim = /"(iat|exp|nbf)"/.exec(says)?.[1] ?? 'iat'
  const time = payloadOf(jwt)?.[claim]
  const off = typeof time === 'number' ? Math.round(time - Date.now() / 1000) : undefined
  const received =
    off === undefined ? says : `${claim} is ${Math.abs(off)} seconds ${off < 0 ? 'behind' : 'ahead of'} it`
  return { kind: 'clock_skew', expected: 'the time of this server', received }
}

/** A proof for another method or address. */
export function dpopTarget({ ctx, says }: Seen): Reason {
  const claims = payloadOf(ctx.get('dpop')) ?? {}
  if (says.includes('htm')) {
    return { kind: 'dpop_target', expected: `htm=${ctx.method}`, received: `htm=${claims.htm}` }
  }
  const expected = new URL(ctx.oidc.urlFor(ctx.oidc.route)).href
  return { kind: 'dpop_target', expected, received: String(claims.htu) }
}

/** A proof of another key, or none at all. */
export function otherKey({ ctx }: Seen): Reason {
  if (ctx.get('dpop')) return { kind: 'dpop_other_key' }
  return { kind: 'dpop_missing', expected: 'a DPoP header', received: 'none' }
}

// Only what looks like a secret of ours is shown, as far as lists show it: the rest may be somebody's password.
function shownSecret(presented: string): string {
  const secret = presented.trim()
  const kind = kindOf(secret)
  if (kind && kind !== 'client_secret') return `no secret, but one of our ${kind.replaceAll('_', ' ')}s`
  if (!secret.startsWith('vk_cs_')) return `something that does not begin with vk_cs_ (${characters(secret)})`
  const whole = kind ? '' : ` (mistyped or cut off: ${characters(secret)})`
  return `${secret.slice(0, 12)}…${whole}`
}
