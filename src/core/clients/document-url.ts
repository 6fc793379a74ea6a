// Which addresses may be client ids (draft-ietf-oauth-client-id-metadata-document §3). It fetches nothing and knows no storage.

/** Whether a client id names a document rather than a registration. */
export function isDocumentId(id: string): boolean {
  return id.startsWith('https://')
}

/** What is wrong with the address of a document as a client id; undefined: nothing. */
export function documentUrlProblem(id: string): string | undefined {
  if (id.length > 500) return 'has more than 500 characters'
  const url = URL.parse(id)
  if (url?.protocol !== 'https:') return 'is not an https address'
  if (url.username || url.password) return 'holds user information'
  if (id.includes('#')) return 'has a fragment'
  if (url.port) return 'has a port of its own'
  // No dot segments, no default port, no upper case in the host: client ids are compared as texts, so each app has only one.
  if (url.href !== id) return `is not written as it is fetched, e.g. ${url.href.slice(0, 500)}`
  return undefined
}

/** Whether a host is on a list of hosts; `*.app.example` stands for all below app.example. An empty list names all. */
export function isHostOf(hosts: readonly string[], id: string): boolean {
  if (hosts.length === 0) return true
  const hostname = URL.parse(id)?.hostname ?? ''
  return hosts.some((host) => (host.startsWith('*.') ? hostname.endsWith(host.slice(1)) : hostname === host))
}
