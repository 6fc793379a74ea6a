// A device: a browser that keeps a cookie for it, and what that browser calls itself. Grants are made on one, and accounts know
// theirs (src/core/users/known-devices.ts). The name is only a label, nothing is decided by it.
import { randomBytes } from 'node:crypto'
import type { Context } from 'koa'
import { digest } from '../../base/credentials.ts'
import type { Device } from '../../core/grants/store.ts'

const DAYS_KEPT = 400 // Browsers keep no cookie for longer.

/** The device of this request. A browser keeps its cookie from then on, so that signing in again makes no second device. */
export function deviceOf(ctx: Context): Device {
  const cookie = ctx.secure ? '__Host-device' : '_device'
  const value = ctx.cookies.get(cookie, { signed: true }) ?? randomBytes(16).toString('base64url')
  const maxAge = DAYS_KEPT * 86_400_000
  ctx.cookies.set(cookie, value, { signed: true, httpOnly: true, sameSite: 'lax', path: '/', maxAge })
  return { id: deviceId(value), name: deviceName(ctx.get('user-agent')) }
}

/** A device that is allowed from this browser and is another one; each has a grant of its own. */
export function otherDevice(ctx: Context): Device {
  const name = deviceName(ctx.get('user-agent'))
  const label = name === 'A device' ? name : `A device, allowed in ${name}`
  return { id: deviceId(randomBytes(16).toString('base64url')), name: label }
}

/** The device of this request if the browser has shown it before, by the id that its grants carry. */
export function currentDeviceId(ctx: Context): string | undefined {
  const known = ctx.cookies.get(ctx.secure ? '__Host-device' : '_device', { signed: true })
  return known && deviceId(known)
}

/** A short name for a User-Agent header, e.g. "Chrome on Windows"; "A device" when it says nothing we know. */
export function deviceName(userAgent: string | undefined): string {
  const text = userAgent?.slice(0, 400) ?? ''
  const browser = BROWSERS.find(([, pattern]) => pattern.test(text))?.[0]
  const system = SYSTEMS.find(([, pattern]) => pattern.test(text))?.[0]
  if (browser && system) return `${browser} on ${system}`
  return browser ?? system ?? 'A device'
}

// In this order: most browsers also claim to be Chrome or Safari, and most systems claim to be Linux or Macintosh.
const BROWSERS: [string, RegExp][] = [
  ['Edge', /\bEdg(e|A|iOS)?\//],
  ['Opera', /\bOPR\//],
  ['Samsung Internet', /\bSamsungBrowser\//],
  ['Firefox', /\b(Firefox|FxiOS)\//],
  ['Chrome', /\b(Chrome|CriOS|HeadlessChrome)\//],
  ['Safari', /\bSafari\//],
]
const SYSTEMS: [string, RegExp][] = [
  ['iPhone', /\biPhone\b/],
  ['iPad', /\biPad\b/],
  ['Android', /\bAndroid\b/],
  ['Windows', /\bWindows\b/],
  ['ChromeOS', /\bCrOS\b/],
  ['Mac', /\bMacintosh\b/],
  ['Linux', /\bLinux\b/],
]

function deviceId(cookie: string): string {
  return digest(cookie).toString('base64url')
}
