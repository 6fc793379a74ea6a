// Parses the texts of environment keys, and says what is wrong with a text.
import { isIP } from 'node:net'
import { z } from 'zod'

/** An address, and the name that is shown with it. */
export interface MailAddress {
  name: string
  address: string
}

/** A server that takes mails. */
export interface SmtpServer {
  host: string
  port: number
  /** TLS from the first byte. */
  secure: boolean
  /** Whether it runs on this machine. */
  isLoopback: boolean
  auth: { user: string; pass: string } | undefined
}

/** An https origin; on this machine http, too. */
export function issuer(text: string, context: z.RefinementCtx): URL {
  const refuse = (message: string) => {
    context.addIssue(message)
    return z.NEVER
  }
  const url = URL.parse(text)
  if (!url || !['http:', 'https:'].includes(url.protocol)) return refuse('must be an https address')
  if (url.href !== `${url.origin}/`)
    return refuse('must be an origin, without a path, a query or a user name')
  if (url.protocol === 'http:' && !isLoopback(url))
    return refuse('must be https: only this machine itself may use http')
  return url
}

/** An smtp:// or smtps:// address with user name and password. */
export function smtpServer(text: string, context: z.RefinementCtx): SmtpServer {
  const refuse = (message: string) => {
    context.addIssue(message)
    return z.NEVER
  }
  const url = URL.parse(text)
  if (!url || !/^smtps?:$/.test(url.protocol) || !url.hostname) {
    return refuse('must be an smtp:// or smtps:// address')
  }
  if (/[^/]/.test(url.pathname + url.search + url.hash)) {
    return refuse('must be an address without a path or a query')
  }
  const secure = url.protocol === 'smtps:'
  try {
    const [user, pass] = [decodeURIComponent(url.username), decodeURIComponent(url.password)]
    return {
      host: url.hostname.replace(/^\[(.*)\]$/, '$1'),
      port: Number(url.port) || (secure ? 465 : 587),
      secure,
      isLoopback: isLoopback(url),
      auth: user ? { user, pass } : undefined,
    }
  } catch {
    return refuse('must have its user name and password percent-encoded')
  }
}

/** An e-mail address, or a name with an <address>. */
export function sender(text: string, context: z.RefinementCtx): MailAddress {
  const [, name = '', address] = /^(?:([^<>\p{Cc}]*)<([^<>]*)>|.*)$/su.exec(text) ?? []
  const checked = z
    .email()
    .max(320)
    .safeParse(address ?? text)
  if (checked.success) return { name: name.trim().replace(/^"(.*)"$/, '$1'), address: checked.data }
  context.addIssue('must be an e-mail address, or a name and <an address>')
  return z.NEVER
}

/** Whether an address leads to this machine. */
export function isLoopback({ hostname }: URL): boolean {
  return /^(localhost|.+\.localhost|127\.\d+\.\d+\.\d+|\[::1\])$/.test(hostname)
}

/** A whole number of this range. @param must how the sentence of the mistake begins */
export function wholeNumber(min: number, max: number, must = 'must be a') {
  const fits = (text: string) => /^\d{1,12}$/.test(text) && Number(text) >= min && Number(text) <= max
  return z.string().refine(fits, `${must} whole number from ${min} to ${max}`).transform(Number)
}

/** Texts that are separated by commas. */
export function list() {
  const parts = (text: string) => text.split(',').map((part) => part.trim())
  return z.string().transform((text) => parts(text).filter(Boolean))
}

/** Whether there are keys, each long enough. */
export function areStrongKeys(keys: string[]): boolean {
  return keys.length > 0 && keys.every((key) => key.length >= 32)
}

/** Whether it can name a scope (RFC 6749 §3.3). */
export function isScope(name: string): boolean {
  return /^[\x21\x23-\x5B\x5D-\x7E]{1,100}$/.test(name)
}

/** Whether it is the name of a host in lower case, or `*.` and such a name. */
export function isHostPattern(host: string): boolean {
  return /^(\*\.)?([a-z0-9-]+\.)+[a-z][a-z0-9-]*$/.test(host)
}

/** Whether it is a postgres:// address. */
export function isPostgresUrl(text: string): boolean {
  return /^postgres(ql)?:\/\/./.test(text) && URL.canParse(text)
}

/** Whether it is an IP address or a CIDR range. */
export function isAddressOrRange(entry: string): boolean {
  const [address = '', bits, ...rest] = entry.split('/')
  const version = isIP(address)
  if (!version || rest.length > 0) return false
  return bits === undefined || (/^\d{1,3}$/.test(bits) && Number(bits) <= (version === 4 ? 32 : 128))
}
