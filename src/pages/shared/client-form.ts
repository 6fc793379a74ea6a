// The form that says what an app is, for every page that has one: reading it, showing it again, what is wrong at which field.
// Which fields a page takes, and who may send it, the page knows.
import type { Context } from 'koa'
import { z } from 'zod'
import { isApiScope } from '../../base/admin-api-scopes.ts'
import { OPENID_HINTS, OPENID_SCOPES } from '../../base/openid-scopes.ts'
import { FIELDS, labelOf } from '../../core/clients/fields.ts'
import { APP_TYPES } from '../../core/clients/kinds.ts'
import type { InvalidMetadata } from '../../core/clients/metadata.ts'
import type { Client } from '../../core/clients/store.ts'
import type { ClientChange } from '../../core/clients/update.ts'
import type { ResourceDirectory } from '../../core/resources/cache.ts'
import type { ResourceScope } from '../../core/resources/store.ts'
import { sentText } from '../../http/form.ts'

const lines = z
  .string()
  .default('')
  .transform((text) => text.split(/\r?\n/).map((line) => line.trim()))
  .transform((entries) => entries.filter(Boolean))
const ticked = z.union([z.string().transform((one) => [one]), z.array(z.string())]).default([])

/** What every such form asks for. */
export const appForm = z.object({
  name: z.string().default(''),
  // Forms send line ends as two characters.
  description: z
    .string()
    .default('')
    .transform((text) => text.replaceAll('\r\n', '\n')),
  homepage_uri: z.string().trim().default(''),
  policy_uri: z.string().trim().default(''),
  tos_uri: z.string().trim().default(''),
  redirect_uris: lines,
  post_logout_redirect_uris: lines,
  scope: ticked,
})

/** What a form for a new app asks for besides. */
export const kindField = { type: z.enum(APP_TYPES, 'Choose what it runs as.') }

/** What a form for an app that there is carries along: the version that was seen. */
export const versionField = {
  version: z
    .string()
    .regex(/^\d{1,9}$/)
    .transform(Number),
}

/** Kinds to choose from. */
export const KINDS = [
  { value: 'web', label: 'Web: an app with a server' },
  { value: 'spa', label: 'Single-page: an app in the browser only' },
  { value: 'native', label: 'Native: an app on a phone or a computer' },
  { value: 'device', label: 'Device: an app without a browser, or without a keyboard' },
  { value: 'service', label: 'Service: a program without people' },
]

/** What such a form shows. */
export interface AppValues {
  type: string
  name: string
  description: string
  homepage_uri: string
  policy_uri: string
  tos_uri: string
  redirect_uris: string
  post_logout_redirect_uris: string
  scopes: string[]
}

/** A form in which nothing was entered yet. */
export const NO_VALUES: AppValues = {
  type: 'web',
  name: '',
  description: '',
  homepage_uri: '',
  policy_uri: '',
  tos_uri: '',
  redirect_uris: '',
  post_logout_redirect_uris: '',
  scopes: [...OPENID_SCOPES],
}

const MOST_TEXT = 25_000

/** A registration as the form shows it. */
export function appValues(client: Client): AppValues {
  return {
    ...client,
    homepage_uri: client.homepage_uri ?? '',
    policy_uri: client.policy_uri ?? '',
    tos_uri: client.tos_uri ?? '',
    redirect_uris: client.redirect_uris.join('\n'),
    post_logout_redirect_uris: client.post_logout_redirect_uris.join('\n'),
  }
}

/** The form as it was sent, to be shown again. */
export function sentValues(ctx: Context): AppValues {
  const { scope } = (ctx.request.body ?? {}) as { scope?: unknown }
  return {
    type: longText(ctx, 'type'),
    name: longText(ctx, 'name'),
    description: longText(ctx, 'description'),
    homepage_uri: longText(ctx, 'homepage_uri'),
    policy_uri: longText(ctx, 'policy_uri'),
    tos_uri: longText(ctx, 'tos_uri'),
    redirect_uris: longText(ctx, 'redirect_uris'),
    post_logout_redirect_uris: longText(ctx, 'post_logout_redirect_uris'),
    scopes: [scope ?? []].flat().map(String),
  }
}

/** A field of the form as it was sent. */
export function longText(ctx: Context, field: string): string {
  return sentText(ctx, field, MOST_TEXT)
}

/** What is wrong, at its field. */
export function errorsOf({ field, problem }: InvalidMetadata): Record<string, string> {
  // The entries of a list are named by their place: redirect_uris.0
  const [name = 'form'] = field.split('.')
  return { [name === 'type' || name in FIELDS ? name : 'form']: `${labelOf(name)}: ${problem}.` }
}

/** What the page says to whoever edited an app that somebody else changed meanwhile. */
export function conflictText(stands: object, typed: ClientChange): string {
  const now = stands as Record<string, unknown>
  const different = Object.entries(typed).filter(([field, mine]) => {
    const text = Array.isArray(mine) && field !== 'scopes' ? mine.join('\n') : mine
    return JSON.stringify(text) !== JSON.stringify(now[field])
  })
  const names = different.map(([field]) => labelOf(field)).join(', ')
  return `Somebody else changed this app meanwhile. What you typed is kept below and was not saved; it differs from what stands now in: ${names || 'nothing'}. Send it again to overwrite that.`
}

/** The scopes to tick, by API; those of the Admin API only where an administrator registers the app. */
export async function scopeChoices(
  resources: ResourceDirectory,
  chosen: string[],
  door: Client['registered_by'],
) {
  const scopes = new Set(chosen)
  const apis = [
    {
      name: 'OpenID',
      scopes: OPENID_HINTS.map(({ name, hint }) => ({ name, sentence: hint, dangerous: false, kinds: null })),
    },
    ...(await resources.all()).filter(
      ({ scopes }) => door === 'admin' || !scopes.some(({ name }) => isApiScope(name)),
    ),
  ]
  return apis.map((api) => ({
    name: api.name,
    scopes: api.scopes.map((scope) => ({
      name: scope.name,
      hint: hintOf(scope),
      checked: scopes.has(scope.name),
    })),
  }))
}

function hintOf({ sentence, dangerous, kinds }: Omit<ResourceScope, 'name' | 'detail'>): string | undefined {
  const notes = [...(dangerous ? ['dangerous'] : []), ...(kinds ? [`only ${kinds.join(', ')}`] : [])]
  return sentence ? `${sentence}${notes.length > 0 ? ` (${notes.join('; ')})` : ''}` : undefined
}
