// The OpenID scopes, which belong to no API: the claims of each and the words that people read. To add a scope, add an entry here.
// Scopes of APIs bring their own sentences.

/** The account that claims are made from. */
export interface Person {
  id: string
  name: string
  email: string
  email_verified: boolean
}

/** A scope of OpenID Connect (Core §5.4). */
interface OpenidScope {
  /** The claims that an app gets with it, by name. */
  claims: Record<string, (person: Person) => unknown>
  /** What an app gets, in words for those who register one. */
  hint: string
  /** What the app gets, in words for the person who is asked: it follows “Your”, or is a point of its own. */
  consent: { shares: string } | { sentence: string; detail: string } | 'identity'
}

const SCOPES = {
  openid: {
    claims: { sub: ({ id }) => id },
    hint: 'Know that it is the same person again',
    consent: 'identity',
  },
  profile: {
    claims: { name: ({ name }) => name },
    hint: 'Their name',
    consent: { shares: 'name' },
  },
  email: {
    claims: { email: ({ email }) => email, email_verified: ({ email_verified }) => email_verified },
    hint: 'Their email address',
    consent: { shares: 'email address' },
  },
  offline_access: {
    claims: {},
    hint: 'Stay connected while they are away',
    consent: { sentence: 'Stay connected', detail: 'Also while you are not using the app' },
  },
} satisfies Record<string, OpenidScope>

/** The name of an OpenID scope. */
export type OpenidScopeName = keyof typeof SCOPES

const ENTRIES = Object.entries(SCOPES) as [OpenidScopeName, OpenidScope][]

/** The OpenID scopes, in the order of every page. */
export const OPENID_SCOPES = ENTRIES.map(([name]) => name)

/** Whether a scope is one of OpenID's. */
export function isOpenidScope(scope: string): scope is OpenidScopeName {
  return Object.hasOwn(SCOPES, scope)
}

/** The OpenID scopes, in words for those who register an app. */
export const OPENID_HINTS = ENTRIES.map(([name, { hint }]) => ({ name, hint }))

/** The names of the claims of each scope that has any. */
export const OPENID_CLAIMS = Object.fromEntries(
  ENTRIES.map(([name, { claims }]) => [name, Object.keys(claims)] as const).filter(
    ([, claims]) => claims.length > 0,
  ),
)

/** Every claim about a person. The scopes of an app decide which of them it gets. */
export function claimsOf(person: Person): { sub: string; [claim: string]: unknown } {
  const claims = ENTRIES.flatMap(([, scope]) => Object.entries(scope.claims))
  return { sub: person.id, ...Object.fromEntries(claims.map(([name, of]) => [name, of(person)])) }
}

/** What the consent page and the list of apps say about a scope. */
export interface ScopeWords {
  sentence: string
  detail: string
}

/** Describes a set of OpenID scopes for people, in the order and grouping of the consent page. */
export function openidWords(scopes: ReadonlySet<string>): ScopeWords[] {
  const asked = ENTRIES.filter(([name]) => scopes.has(name)).map(([, { consent }]) => consent)
  const shared = asked.flatMap((consent) =>
    typeof consent === 'object' && 'shares' in consent ? [consent.shares] : [],
  )
  const others = asked.filter((consent) => typeof consent === 'object' && 'sentence' in consent)
  if (shared.length === 0 && !asked.includes('identity')) return others
  const detail =
    shared.length > 0
      ? `Your ${new Intl.ListFormat('en').format(shared)}`
      : 'That it is you again, but not your name or email address'
  return [{ sentence: 'Know who you are', detail }, ...others]
}
