// The form of an app's metadata: how it is read, shown again, and which message stands at which field. It follows from the table of
// fields (core/clients/fields.ts). The pages that use it decide who may send it.
import type { Context } from 'koa'
import { z } from 'zod'
import { VERSION } from '../../base/ids.ts'
import { OPENID_SCOPES } from '../../base/openid-scopes.ts'
import {
  type ByAudience,
  FIELD_NAMES,
  FIELDS,
  type Field,
  type FieldName,
  type FormField,
  fieldsSetBy,
  labelOf,
  mapFields,
  standardOf,
} from '../../core/clients/fields.ts'
import { APP_TYPES, type ClientType } from '../../core/clients/kinds.ts'
import type { InvalidMetadata } from '../../core/clients/metadata.ts'
import type { Client } from '../../core/clients/store.ts'
import type { ClientChange } from '../../core/clients/update.ts'
import { type FormErrors, sentText } from '../../http/form.ts'

/** Whom the form is for. */
export type Audience = keyof ByAudience

/** The values of the form: texts, ticked boxes of a list, and whether a single box is ticked. */
export type AppValues = Record<FieldName, FormValue> & { type: string; scopes: string[] }

type FormValue = string | boolean | string[]

/** A field of the form, as the views show it. */
export interface FormRow {
  name: string
  as: FormField['as']
  label: string
  hint?: string
  value: FormValue
  error?: string
  rows?: number
  options?: { value: string; label: string }[]
  attributes: Record<string, unknown>
}

/** How a form shows a value, and reads it. */
interface Control {
  format(value: unknown): FormValue
  read: z.ZodType
  attributes?: Record<string, string>
}

const text = (value: unknown) => String(value ?? '')
const oneLine = z.string().trim().default('')
const lines = z
  .string()
  .default('')
  .transform((all) => all.split(/\r?\n/).map((line) => line.trim()))
  .transform((entries) => entries.filter(Boolean))
const ticked = z.union([z.string().transform((one) => [one]), z.array(z.string())]).default([])
// Browsers send CRLF at the end of each line.
const area = z
  .string()
  .default('')
  .transform((all) => all.replaceAll('\r\n', '\n'))

const CONTROLS: Record<FormField['as'], Control> = {
  line: { format: text, read: oneLine, attributes: { type: 'text', autocomplete: 'off' } },
  address: { format: text, read: oneLine, attributes: { type: 'url', autocomplete: 'off' } },
  area: { format: text, read: area },
  lines: {
    format: (value) => (value as string[]).join('\n'),
    read: lines,
    attributes: { spellcheck: 'false', autocapitalize: 'off' },
  },
  scopes: { format: (value) => value as string[], read: ticked },
  choice: { format: text, read: z.string().optional() },
  check: {
    format: (value) => value === true,
    read: z
      .string()
      .optional()
      .transform((sent) => sent !== undefined),
  },
}

const KINDS = [
  { value: 'web', label: 'Web: an app with a server' },
  { value: 'spa', label: 'Single-page: an app in the browser only' },
  { value: 'native', label: 'Native: an app on a phone or a computer' },
  { value: 'device', label: 'Device: an app without a browser, or without a keyboard' },
  { value: 'service', label: 'Service: a program without people' },
]

const KIND_HINT = {
  admin: undefined,
  developer: 'It cannot be changed later: it decides whether the app can keep a secret.',
}

/** Schema of the form for a new app; {@link changeOf} turns what it reads into values of fields. */
export function newAppForm(audience: Audience) {
  return z.object({ ...readers(audience), type: z.enum(APP_TYPES, 'Choose what it runs as.') })
}

/** Schema of the form for an existing app. It also holds the version that the person saw. */
export function editAppForm(audience: Audience) {
  const version = z.string().regex(VERSION).transform(Number)
  return z.object({ ...readers(audience), version })
}

/** The values of fields in a form that was read. @param type the kind of app: a box that the form does not show for it has no value */
export function changeOf(sent: object, audience: Audience, type: ClientType): ClientChange {
  const values = sent as Record<string, unknown>
  const said = asked(audience).filter((name) => isAsked(name, type) || FIELDS[name].form.as !== 'check')
  return Object.fromEntries(said.map((name) => [name, values[sentAs(name)]])) as ClientChange
}

/** The values of an empty form. */
export function noValues(): AppValues {
  return {
    type: 'web',
    ...formattedFields((name) => (name === 'scopes' ? OPENID_SCOPES : standardOf(name))),
  } as AppValues
}

/** The values of a registration, as the form shows them. */
export function appValues(client: Client): AppValues {
  return { type: client.type, ...formattedFields((name) => client[name]) } as AppValues
}

/** The values that were sent, to be shown again. */
export function sentValues(ctx: Context): AppValues {
  const sent = (ctx.request.body ?? {}) as Record<string, unknown>
  const values = mapFields(({ form }, name) => {
    if (form.as === 'scopes') return [sent[sentAs(name)] ?? []].flat().map(String)
    const typed = sentText(ctx, name, MOST_TEXT)
    return form.as === 'check' ? typed !== '' : typed
  })
  return { type: sentText(ctx, 'type', MOST_TEXT), ...values } as AppValues
}

/** The fields of a form, in their order. @param type the kind of an existing app; without it the form also asks for the kind */
export function formRows(
  audience: Audience,
  { values, errors }: { values: AppValues; errors: FormErrors },
  type?: ClientType,
): FormRow[] {
  const rows = asked(audience)
    .filter((name) => !type || isAsked(name, type))
    .map((name) => rowOf(name, audience, values[name], errors[name]))
  return type ? rows : rows.toSpliced(1, 0, kindRow(audience, values.type, errors.type))
}

/** The message, by the field that it is about. */
export function errorsOf({ field, problem }: InvalidMetadata): Record<string, string> {
  // An entry of a list has its index in its name: redirect_uris.0
  const [name = 'form'] = field.split('.')
  return { [name === 'type' || name in FIELDS ? name : 'form']: `${labelOf(name)}: ${problem}.` }
}

/** The message for somebody who edited an app while somebody else changed it. */
export function conflictText(stands: Client, typed: ClientChange): string {
  const now = appValues(stands)
  const mine = formattedFields((name) => (name in typed ? typed[name] : stands[name]))
  const different = FIELD_NAMES.filter((name) => JSON.stringify(mine[name]) !== JSON.stringify(now[name]))
  const names = different.map(labelOf).join(', ')
  return `Somebody else changed this app meanwhile. What you typed is kept below and was not saved; it differs from what stands now in: ${names || 'nothing'}. Send it again to overwrite that.`
}

const MOST_TEXT = 25_000

function readers(audience: Audience): object {
  return Object.fromEntries(
    asked(audience).map((name) => [sentAs(name), CONTROLS[FIELDS[name].form.as].read]),
  )
}

function asked(audience: Audience): FieldName[] {
  return fieldsSetBy(audience).filter((name) => {
    const { only }: FormField = FIELDS[name].form
    return only === undefined || only === audience
  })
}

/** Whether the form of an app of this kind has a field. */
export function isAsked(name: FieldName, type: ClientType): boolean {
  const { kinds }: FormField = FIELDS[name].form
  return kinds === undefined || (kinds as readonly ClientType[]).includes(type)
}

// The form has a box for each scope, so the field is named in the singular.
function sentAs(name: FieldName): string {
  return name === 'scopes' ? 'scope' : name
}

function formattedFields(of: (name: FieldName) => unknown) {
  return mapFields(({ form }, name) => CONTROLS[form.as].format(of(name)))
}

function rowOf(name: FieldName, audience: Audience, value: FormValue, error?: string): FormRow {
  const { form, label }: Field = FIELDS[name]
  const { required, most: maxlength, rows } = form
  return {
    name,
    as: form.as,
    label: textFor(audience, form.label) ?? label,
    hint: textFor(audience, form.hint),
    value,
    error,
    rows,
    options: optionsOf(FIELDS[name]),
    attributes: { ...CONTROLS[form.as].attributes, required, maxlength },
  }
}

function kindRow(audience: Audience, value: string, error?: string): FormRow {
  const label = labelOf('type')
  return {
    name: 'type',
    as: 'choice',
    label,
    hint: KIND_HINT[audience],
    value,
    error,
    options: KINDS,
    attributes: {},
  }
}

function optionsOf({ choices }: Field) {
  return choices?.map((value) => ({ value, label: value }))
}

function textFor(audience: Audience, text: string | ByAudience | undefined): string | undefined {
  return typeof text === 'string' ? text : text?.[audience]
}
