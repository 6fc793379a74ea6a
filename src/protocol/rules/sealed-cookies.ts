// What belongs to a browser before anybody has done something: it travels with the browser, encrypted under SECRET_KEYS, bound to
// its id and its time, and costs the database nothing. It must hold no credential and nothing that may be used once only.
import { deflateRawSync, inflateRawSync } from 'node:zlib'
import type { Context } from 'koa'
import type { Secrets } from '../../base/secrets.ts'

/** A cookie that holds something: what it is called, which one of its kind it is, and where it is sent. */
export interface Sealed {
  name: string
  id: string
  path: string
}

/** Browsers keep 4,096 bytes a cookie with its name and attributes. */
const MOST_CHARACTERS = 3_800
const MOST_UNPACKED = 64 * 1024

/** Puts something into a cookie. @returns false, and sets none, when it is too large for one. */
export function setSealed(
  ctx: Context,
  secrets: Secrets,
  { name, id, path }: Sealed,
  payload: object,
  seconds: number,
): boolean {
  const content: Content = [name, id, Math.floor(Date.now() / 1000) + seconds, payload]
  const value = secrets.encrypt(deflateRawSync(JSON.stringify(content))).toString('base64url')
  if (value.length > MOST_CHARACTERS) return false
  setCookie(ctx, name, value, path, seconds)
  return true
}

/** What a cookie holds that was set for this id, and lives. */
export function readSealed(
  ctx: Context,
  secrets: Secrets,
  { name, id }: Omit<Sealed, 'path'>,
): Record<string, unknown> | undefined {
  const value = ctx.cookies.get(name, { signed: false })
  if (!value) return undefined
  const content = open(secrets, value)
  if (!content) return undefined
  const [itsName, itsId, until, payload] = content
  const isOurs = itsName === name && itsId === id && until > Date.now() / 1000
  return isOurs ? payload : undefined
}

/** Sets the cookie that this request brought for another path, too. */
export function copySealed(ctx: Context, name: string, path: string, seconds: number): void {
  const value = ctx.cookies.get(name, { signed: false })
  if (value) setCookie(ctx, name, value, path, seconds)
}

/** Takes the cookie away. */
export function clearSealed(ctx: Context, name: string, path: string): void {
  setCookie(ctx, name, null, path, 0)
}

type Content = [name: string, id: string, until: number, payload: object]

function open(
  secrets: Secrets,
  value: string,
): [string, string, number, Record<string, unknown>] | undefined {
  try {
    const packed = secrets.decryptBytes(Buffer.from(value, 'base64url'))
    return JSON.parse(inflateRawSync(packed, { maxOutputLength: MOST_UNPACKED }).toString('utf8'))
  } catch {
    // Anybody can send anything; and what a key has sealed that is gone is asked for anew.
    return undefined
  }
}

function setCookie(ctx: Context, name: string, value: string | null, path: string, seconds: number): void {
  ctx.cookies.set(name, value, {
    httpOnly: true,
    sameSite: 'lax',
    signed: false,
    path,
    ...(value === null ? {} : { maxAge: seconds * 1000 }),
  })
}
