// The OpenID scopes, which belong to no API: the claims that each stands for, and its words. They stand here only; a new one is
// an entry. Scopes of APIs bring their own sentences.

/** What claims are made of. */
export interface Person {
  id: string
  name: string
  email: string
  email_verified: boolean
}

/** A scope of OpenID Connect (Core §5.4). */
interface OpenidScope {
  /** What an app learns with it, by the names of the claims. */
  claims: Record<string, (person: Person) => unknown>
  /** For whoever registers an app: what it gets. */
  hint: string
  /** For the person who is asked: what of theirs it shares, after “Your”; or a point of its own. */
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

/** The OpenID scopes with what whoever registers an app reads about them. */
export const OPENID_HINTS = ENTRIES.map(([name, { hint }]) => ({ name, hint }))

/** The names of the claims of each scope that has any. */
export const OPENID_CLAIMS = Object.fromEntries(
  ENTRIES.map(([name, { claims }]) => [name, Object.keys(claims)] as const).filter(
    ([, claims]) => claims.length > 0,
  ),
)

/** Every claim about a person; which of them an app gets, its scopes decide. */
export function claimsOf(person: Person): { sub: string; [claim: string]: unknown } {
  const claims = ENTRIES.flatMap(([, scope]) => Object.entries(scope.claims))
  return { sub: person.id, ...Object.fromEntries(claims.map(([name, of]) => [name, of(person)])) }
}

/** What the consent page and the list of apps say about a scope. */
export interface ScopeWords {
  sentence: string
  detail: string
}

/** Words for a set of OpenID scopes, for people: who they are told about first. Order and grouping are those of the page. */
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
