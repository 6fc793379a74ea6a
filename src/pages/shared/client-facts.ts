// The fields of a registration with their values, for the pages of an app. They follow from the table of fields.
import { isOpenidScope } from '../../base/openid-scopes.ts'
import { FIELD_NAMES, FIELDS, type Field, type FieldName } from '../../core/clients/fields.ts'
import type { Client } from '../../core/clients/store.ts'
import type { Resource } from '../../core/resources/store.ts'
import { isAsked } from './client-form.ts'

/** A field with its present value. */
export interface FieldFact {
  label: string
  as: 'text' | 'link' | 'codes' | 'scopes' | 'word'
  /** `title` is the API of a scope. */
  entries: { text: string; title?: string }[]
}

/** The fields of an app except its name, which is the page's heading. Empty fields are left out, except lists that its kind has. */
export function fieldFacts(client: Client, apis: Pick<Resource, 'name' | 'scopes'>[]): FieldFact[] {
  const known = new Map(apis.flatMap((api) => api.scopes.map((scope) => [scope.name, api.name])))
  const titleOf = (scope: string) => (isOpenidScope(scope) ? 'OpenID' : known.get(scope))
  return FIELD_NAMES.filter((name) => name !== 'name').flatMap((name) => {
    const field: Field = FIELDS[name]
    const texts = textsOf(client, name)
    const isLeftOut = texts.length === 0 && (field.shape !== 'list' || !isAsked(name, client.type))
    const as = name === 'scopes' ? 'scopes' : AS[field.shape]
    const entries = texts.map((text) => (as === 'scopes' ? { text, title: titleOf(text) } : { text }))
    return isLeftOut ? [] : [{ label: field.label, as, entries }]
  })
}

/** The value of a field in texts: one, or one an entry. */
export function textsOf(client: Client, name: FieldName): string[] {
  const { words } = FIELDS[name] as Field
  return words ? [words[client[name] ? 0 : 1]] : [client[name] ?? []].flat().map(String).filter(Boolean)
}

const AS = { text: 'text', address: 'link', list: 'codes', flag: 'word', choice: 'word' } as const
