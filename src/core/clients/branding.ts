// Branding: what people know an app by. It knows no storage.
import { type ClientMetadata, FIELD_NAMES, FIELDS, type Field, type FieldName } from './fields.ts'

type Fields = typeof FIELDS

/** The fields that are branding. */
export type BrandingField = {
  [Name in FieldName]: Fields[Name] extends { branding: string } ? Name : never
}[FieldName]

/** The branding of an app. */
export type Branding = Pick<ClientMetadata, BrandingField>

const BRANDING = FIELD_NAMES.filter((name) => (FIELDS[name] as Field).branding) as BrandingField[]

/** Which branding fields a change alters. The path of a redirect URI, and the port of an app on the device, do not count. */
export function changedBranding(before: Branding, after: Branding): BrandingField[] {
  return BRANDING.filter((name) =>
    FIELDS[name].branding === 'another host'
      ? leadsElsewhere(before[name], after[name])
      : before[name] !== after[name],
  )
}

function leadsElsewhere(before: Branding[BrandingField], after: Branding[BrandingField]): boolean {
  const known = new Set([before ?? []].flat().map(destination))
  return [after ?? []].flat().some((uri) => !known.has(destination(uri)))
}

/** Where an address leads: a host, or an app on the device by its scheme. A loopback port does not count. */
function destination(uri: string): string {
  const { protocol, host, hostname } = new URL(uri)
  if (protocol === 'https:') return host
  return protocol === 'http:' ? hostname : protocol
}
