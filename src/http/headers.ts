// Which headers of a request are trusted, and the headers of every answer.
import type { IncomingMessage } from 'node:http'
import { BlockList, isIP, isIPv6 } from 'node:net'
import type { Context, Middleware } from 'koa'
import helmet from 'koa-helmet'

/**
 * Rewrites headers about host, scheme and address before anything reads them: host and scheme become those of the issuer, whatever the
 * request claims, and the address is the last one in X-Forwarded-For that is not a trusted proxy.
 */
export function believedHeaders(
  issuer: URL,
  trustedProxies: readonly string[],
): (req: IncomingMessage) => void {
  const trusted = new BlockList()
  for (const entry of trustedProxies) {
    const [address = '', prefix] = entry.split('/')
    const family = isIP(address) === 6 ? 'ipv6' : 'ipv4'
    if (prefix === undefined) trusted.addAddress(address, family)
    else trusted.addSubnet(address, Number(prefix), family)
  }
  const isTrusted = (address: string) => trusted.check(address, isIP(address) === 6 ? 'ipv6' : 'ipv4')

  const { host, protocol } = issuer
  const scheme = protocol.slice(0, -1)

  return (req) => {
    const { headers, socket } = req
    req.url = originForm(req.url ?? '/', host)
    let address = plainAddress(socket.remoteAddress ?? '')
    const hops = trustedProxies.length > 0 ? String(headers['x-forwarded-for'] ?? '').split(',') : []
    while (hops.length > 0 && isTrusted(address)) {
      const hop = plainAddress(hops.pop()!.trim())
      if (!isIP(hop)) break
      address = hop
    }
    headers.host = host
    headers['x-forwarded-proto'] = scheme
    headers['x-forwarded-for'] = address
    headers['x-forwarded-host'] = undefined
  }
}

/**
 * Sets security headers. Pages: no scripts, no framing, nothing loaded from elsewhere except app logos. Answers for programs get only
 * headers that matter to them.
 * @param isForPrograms whether only programs read the answers under this path
 */
export function securityHeaders(https: boolean, isForPrograms: (path: string) => boolean): Middleware {
  const pages = helmet({
    contentSecurityPolicy: {
      useDefaults: false,
      directives: {
        defaultSrc: ["'none'"],
        styleSrc: ["'self'"],
        // data: for the tick marks of the style sheet; an image cannot run code.
        imgSrc: ["'self'", 'https:', 'data:'],
        // No scripts. oidc-provider adds the digest of its one script, which submits a form_post answer.
        scriptSrc: [],
        formAction: ["'self'"],
        frameAncestors: ["'none'"],
        baseUri: ["'none'"],
      },
    },
    crossOriginOpenerPolicy: false,
    referrerPolicy: { policy: 'no-referrer' },
    strictTransportSecurity: https ? { maxAge: HSTS_SECONDS } : false,
    xFrameOptions: { action: 'deny' },
  })
  return (ctx, next) => {
    if (!isForPrograms(ctx.path)) return pages(ctx, next)
    ctx.res.setHeader('X-Content-Type-Options', 'nosniff')
    if (https) ctx.res.setHeader('Strict-Transport-Security', `max-age=${HSTS_SECONDS}; includeSubDomains`)
    return next()
  }
}

const HSTS_SECONDS = 31_536_000

/**
 * Lets the forms of this answer lead to an app. It allows the whole scheme, because browsers check every redirect after a form
 * against this list, and callbacks of apps often redirect to another host.
 */
export function allowFormTo(ctx: Context, uri: string | undefined): void {
  const url = uri ? URL.parse(uri) : null
  if (!url) return
  const policy = ctx.response.get('content-security-policy')
  ctx.set(
    'Content-Security-Policy',
    policy.replace(/form-action [^;]*/, (directive) => `${directive} ${url.protocol}`),
  )
}

// A request may name the host in its target (RFC 9112 §3.2.2), and code that builds addresses from the target would trust it. Give a
// foreign host an address that does not exist.
function originForm(target: string, host: string): string {
  if (target.startsWith('/')) return target
  const url = URL.parse(target)
  return url?.host === host ? `${url.pathname}${url.search}` : '/misdirected'
}

function plainAddress(address: string): string {
  // Some gateways add a port, and a zone (fe80::1%eth0) is valid on one machine only.
  const bare = address
    .replace(/^\[(.*)\](:\d+)?$/, '$1')
    .replace(/^([\d.]+):\d+$/, '$1')
    .replace(/%.*/, '')
  if (!isIPv6(bare)) return bare
  // One spelling for each address; an IPv4-mapped IPv6 address becomes the IPv4 address.
  const canonical = new URL(`http://[${bare}]`).hostname.slice(1, -1)
  const mapped = /^::ffff:([\da-f]{1,4}):([\da-f]{1,4})$/.exec(canonical)
  if (!mapped) return canonical
  const [high, low] = [Number.parseInt(mapped[1]!, 16), Number.parseInt(mapped[2]!, 16)]
  return `${high >> 8}.${high & 255}.${low >> 8}.${low & 255}`
}
