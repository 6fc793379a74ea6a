// Protects forms against forgery: each has a keyed digest of its session or interaction. Nothing is stored.
import type { Context } from 'koa'
import type { Secrets } from '../base/secrets.ts'
import { ForgedForm } from './errors.ts'

/** The value of the hidden field `csrf` for a form that belongs to `subject` (a session's uid, an interaction's id). */
export function csrfToken(secrets: Secrets, subject: string): string {
  return secrets.mac(`form ${subject}`)
}

/** Checks the form of this request. @throws ForgedForm when another site sent it, or it belongs to another subject. */
export function checkForm(ctx: Context, secrets: Secrets, subject: string): void {
  // Trust browsers that send Fetch Metadata; of the others check the field.
  const site = ctx.get('sec-fetch-site')
  if (site && site !== 'same-origin' && site !== 'none') throw new ForgedForm()
  const { csrf } = (ctx.request.body ?? {}) as { csrf?: unknown }
  if (typeof csrf !== 'string' || !secrets.macMatches(`form ${subject}`, csrf)) throw new ForgedForm()
}
