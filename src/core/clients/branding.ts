// What people know an app by: its name, its logo, and whom it sends them to. It knows no storage.

/** What an app looks like. */
export interface Looks {
  name: string
  logo_uri: string | null
  redirect_uris: string[]
}

/** Which of its looks become others. Another path, or another port of an app on the device, is the app's own affair. */
export function changedLooks(before: Looks, after: Looks): (keyof Looks)[] {
  const known = new Set(before.redirect_uris.map(destination))
  const leadsElsewhere = after.redirect_uris.some((uri) => !known.has(destination(uri)))
  return [
    ...(after.name !== before.name ? (['name'] as const) : []),
    ...(after.logo_uri !== before.logo_uri ? (['logo_uri'] as const) : []),
    ...(leadsElsewhere ? (['redirect_uris'] as const) : []),
  ]
}

/** Whom an address leads to: a host, or an app on the device by its scheme. A loopback port is the app's own affair. */
function destination(uri: string): string {
  const { protocol, host, hostname } = new URL(uri)
  if (protocol === 'https:') return host
  return protocol === 'http:' ? hostname : protocol
}
