// The OpenID scopes in words for the person who decides. Scopes of APIs bring their own sentences.

/** What the consent page and the list of apps say about a scope. */
export interface ScopeWords {
  sentence: string
  detail: string
}

/**
 * Words for a set of OpenID scopes, for people: who they are told about first. Order and grouping are those of the page.
 * @param scopes of openid, profile, email, offline_access
 */
export function openidWords(scopes: ReadonlySet<string>): ScopeWords[] {
  const told = [scopes.has('profile') && 'name', scopes.has('email') && 'email address'].filter(Boolean)
  const words: ScopeWords[] = []
  if (scopes.has('openid') || told.length > 0) {
    words.push({
      sentence: 'Know who you are',
      detail:
        told.length > 0
          ? `Your ${told.join(' and ')}`
          : 'That it is you again, but not your name or email address',
    })
  }
  if (scopes.has('offline_access')) {
    words.push({ sentence: 'Stay connected', detail: 'Also while you are not using the app' })
  }
  return words
}
