// The fields of an app on the command line: their options, reading them, and printing them. All of it follows from the table of
// fields.
import { Option } from 'commander'
import { type ClientInput, FIELD_NAMES, FIELDS, type Field, type FieldName } from '../core/clients/fields.ts'
import type { Client } from '../core/clients/store.ts'

/** The options for the fields of an app. @param isNew whether it is being registered: then some are mandatory */
export function fieldOptions(isNew: boolean): Option[] {
  return FIELD_NAMES.flatMap((name) => {
    const { option, choices, form }: Field = FIELDS[name]
    const { flags, help, no } = option
    const set = new Option(flags, help).makeOptionMandatory(isNew && form.required === true)
    if (choices) set.choices(choices)
    return no ? [set, new Option(flags.replace('--', '--no-'), no)] : [set]
  })
}

/** The fields that the options set. */
export function fieldsFrom(options: object): Partial<ClientInput> {
  const values = options as Record<string, unknown>
  const entries = FIELD_NAMES.map((name) => {
    const value = values[new Option(FIELDS[name].option.flags).attributeName()]
    return [name, name === 'scopes' ? words(value as string[] | undefined) : value]
  })
  return Object.fromEntries(entries)
}

/** As {@link fieldsFrom}, for an existing app, of which an empty value removes the present one. */
export function changeFrom(options: object): Partial<ClientInput> {
  const entries = Object.entries(fieldsFrom(options)).map(([name, value]) => [
    name,
    Array.isArray(value) ? value.filter(Boolean) : value,
  ])
  return Object.fromEntries(entries)
}

/** The fields of an app, a line each, without its name. */
export function shownFields(client: Client): [string, unknown][] {
  return FIELD_NAMES.filter((name) => name !== 'name').map((name) => [inSentence(name), client[name]])
}

function words(texts: string[] | undefined): string[] | undefined {
  return texts?.flatMap((text) => text.split(/\s+/)).filter(Boolean)
}

// In lower case, as within a sentence, unless the first word is in capitals: web page, PKCE.
function inSentence(name: FieldName): string {
  const { label } = FIELDS[name]
  return /^.[A-Z]/.test(label) ? label : label.charAt(0).toLowerCase() + label.slice(1)
}
