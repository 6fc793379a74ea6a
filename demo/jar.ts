// A cookie jar as browsers keep one (RFC 6265): by host, whatever the port, and by path.

interface Cookie {
  host: string
  path: string
  name: string
  value: string
}

/** The cookies of one visitor. */
export class CookieJar {
  readonly #cookies = new Map<string, Cookie>()

  /** Takes what an answer sets. */
  take(url: URL, setCookies: string[]): void {
    for (const line of setCookies) {
      const [pair, ...attributes] = line.split(';').map((part) => part.trim())
      const [name, ...rest] = pair!.split('=')
      const given = new Map(attributes.map((each) => split(each)))
      const path = given.get('path') || '/'
      const cookie = { host: url.hostname, path, name: name!, value: rest.join('=') }
      const key = [cookie.host, cookie.path, cookie.name].join('\n')
      if (isOver(given)) this.#cookies.delete(key)
      else this.#cookies.set(key, cookie)
    }
  }

  /** The Cookie header for a request, or undefined when there are none. */
  header(url: URL): string | undefined {
    const sent = [...this.#cookies.values()]
      .filter(({ host, path }) => host === url.hostname && covers(path, url.pathname))
      .sort((a, b) => b.path.length - a.path.length)
    return sent.length > 0 ? sent.map(({ name, value }) => `${name}=${value}`).join('; ') : undefined
  }
}

function split(attribute: string): [string, string] {
  const [name, ...value] = attribute.split('=')
  return [name!.toLowerCase(), value.join('=')]
}

function isOver(attributes: Map<string, string>): boolean {
  const age = attributes.get('max-age')
  if (age !== undefined) return Number(age) <= 0
  const expires = attributes.get('expires')
  return expires !== undefined && Date.parse(expires) <= Date.now()
}

/** RFC 6265 §5.1.4: a path covers itself and everything below it. */
function covers(path: string, requested: string): boolean {
  return requested === path || requested.startsWith(path.endsWith('/') ? path : `${path}/`)
}
