// What the forms of APIs and scopes share: their fields, the values as sent, and the errors.
import { z } from 'zod'
import { APP_TYPES } from '../../core/clients/kinds.ts'
import type { InvalidMetadata } from '../../core/clients/metadata.ts'
import type { AppKind, ResourceScope } from '../../core/resources/store.ts'
import type { Pool } from '../../db/pool.ts'
import { type FormErrors, sentText } from '../../http/form.ts'
import type { Render } from '../../http/render.ts'
import type { SignedIn } from '../../protocol/guards.ts'
import { KIND_LABELS } from '../shared/labels.ts'

/** What the pages of APIs are made of. */
export interface ResourceParts {
  db: Pool
  render: Render
  /** Lifetime of an access token where its API sets none. */
  standardSeconds: number
}

/** Schema of the fields of a scope that can be changed. */
export const scopeFields = z.object({
  sentence: z.string().trim().default(''),
  detail: z.string().trim().default(''),
  dangerous: z
    .string()
    .optional()
    .transform((value) => value !== undefined),
  by_default: z
    .string()
    .optional()
    .transform((value) => value !== undefined),
  // Without any ticked box every kind of app may ask for the scope.
  kinds: z.union([z.enum(APP_TYPES).transform((one) => [one]), z.array(z.enum(APP_TYPES))]).default([]),
})

/** Schema of the form for a new scope. */
export const scopeForm = scopeFields.extend({ scope: z.string().trim().default('') })

/** The address of a scope's pages. @param path that of its API */
export function scopePath(path: string, { name }: Pick<ResourceScope, 'name'>): string {
  return `${path}/scopes/${Buffer.from(name).toString('base64url')}`
}

/** The page that cancelling leads to. */
export function cancelLink(ctx: SignedIn): { cancel_href: string } {
  return { cancel_href: `/admin/apis/${String(ctx.params.api)}` }
}

/** The form of an API or a scope as it was sent, to be shown again. */
export function sentValues(ctx: SignedIn) {
  return {
    identifier: sentText(ctx, 'identifier', 2_000),
    name: sentText(ctx, 'name'),
    scope: sentText(ctx, 'scope'),
    sentence: sentText(ctx, 'sentence'),
    detail: sentText(ctx, 'detail', 1_000),
    dangerous: sentText(ctx, 'dangerous') !== '',
    by_default: ctx.method !== 'POST' || sentText(ctx, 'by_default') !== '',
    kinds: [((ctx.request.body ?? {}) as { kinds?: unknown }).kinds ?? []].flat().map(String),
  }
}

const FIELDS: Record<string, [field: string, label: string]> = {
  identifier: ['identifier', 'Identifier'],
  name: ['name', 'Name'],
  scopes: ['scope', 'Scope'],
  token_seconds: ['token_seconds', 'Access tokens live'],
}

/** The message, by the field that it is about. */
export function errorsOf({ field, problem }: InvalidMetadata): FormErrors {
  const [name, label] = FIELDS[field] ?? ['form', field]
  return { [name]: `${label}: ${problem}.` }
}

/** The boxes of the kinds of app. */
export function kindChoices(ticked: string[]): { value: AppKind; label: string; checked: boolean }[] {
  return APP_TYPES.map((kind) => ({ value: kind, label: KIND_LABELS[kind], checked: ticked.includes(kind) }))
}

/** A number of seconds, in words. */
export function seconds(count: number): string {
  return count % 60 === 0 && count >= 120 ? `${count / 60} minutes` : `${count} seconds`
}
