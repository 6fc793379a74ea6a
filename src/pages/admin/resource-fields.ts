// What the forms of APIs and scopes have in common: their fields, what was typed, and what is wrong with it.
import { z } from 'zod'
import { APP_TYPES } from '../../core/clients/kinds.ts'
import type { InvalidMetadata } from '../../core/clients/metadata.ts'
import type { AppKind, ResourceScope } from '../../core/resources/store.ts'
import type { Pool } from '../../db/pool.ts'
import { sentText } from '../../http/form.ts'
import type { Render } from '../../http/render.ts'
import type { SignedIn } from '../../protocol/guards.ts'

/** What pages of APIs stand on. */
export interface ResourceParts {
  db: Pool
  render: Render
  /** How long an access token lives where its API does not say. */
  standardSeconds: number
}

/** Messages by field. */
export type Errors = Record<string, string>

/** What is said of a scope. */
export const scopeWords = z.object({
  sentence: z.string().trim().default(''),
  detail: z.string().trim().default(''),
  dangerous: z
    .string()
    .optional()
    .transform((value) => value !== undefined),
  // None ticked: no limit.
  kinds: z.union([z.enum(APP_TYPES).transform((one) => [one]), z.array(z.enum(APP_TYPES))]).default([]),
})

/** A new scope. */
export const scopeForm = scopeWords.extend({ scope: z.string().trim().default('') })

/** Kinds of app, in words. */
export const KIND_WORDS = {
  web: 'Web',
  spa: 'Single-page',
  native: 'Native',
  device: 'Device',
  service: 'Service',
} as const

/** The address of a scope's pages. @param path that of its API */
export function scopePath(path: string, { name }: Pick<ResourceScope, 'name'>): string {
  return `${path}/scopes/${Buffer.from(name).toString('base64url')}`
}

/** Where cancelling leads. */
export function back(ctx: SignedIn): { cancel_href: string } {
  return { cancel_href: `/admin/apis/${String(ctx.params.api)}` }
}

/** What was typed into the form of an API or a scope. */
export function typed(ctx: SignedIn) {
  return {
    identifier: sentText(ctx, 'identifier', 2_000),
    name: sentText(ctx, 'name'),
    scope: sentText(ctx, 'scope'),
    sentence: sentText(ctx, 'sentence'),
    detail: sentText(ctx, 'detail', 1_000),
    dangerous: sentText(ctx, 'dangerous') !== '',
    kinds: [((ctx.request.body ?? {}) as { kinds?: unknown }).kinds ?? []].flat().map(String),
  }
}

const FIELDS: Record<string, [field: string, label: string]> = {
  identifier: ['identifier', 'Identifier'],
  name: ['name', 'Name'],
  scopes: ['scope', 'Scope'],
  token_seconds: ['token_seconds', 'Access tokens live'],
}

/** What is wrong, at its field. */
export function errorsOf({ field, problem }: InvalidMetadata): Errors {
  const [name, label] = FIELDS[field] ?? ['form', field]
  return { [name]: `${label}: ${problem}.` }
}

/** Kinds of app to tick. */
export function kindChoices(ticked: string[]): { value: AppKind; label: string; checked: boolean }[] {
  return APP_TYPES.map((kind) => ({ value: kind, label: KIND_WORDS[kind], checked: ticked.includes(kind) }))
}

/** A number of seconds, in words. */
export function seconds(count: number): string {
  return count % 60 === 0 && count >= 120 ? `${count / 60} minutes` : `${count} seconds`
}
