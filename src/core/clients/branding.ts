// What people know an app by: the fields of its branding. It knows no storage.
import { type ClientMetadata, FIELD_NAMES, FIELDS, type Field, type FieldName } from './fields.ts'

type Fields = typeof FIELDS

/** The fields that are branding. */
export type BrandingField = {
  [Name in FieldName]: Fields[Name] extends { branding: string } ? Name : never
}[FieldName]

/** What an app looks like. */
export type Branding = Pick<ClientMetadata, BrandingField>

const BRANDING = FIELD_NAMES.filter((name) => (FIELDS[name] as Field).branding) as BrandingField[]

/** Which of its branding becomes another. Another path, or another port of an app on the device, is the app's own affair. */
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

/** Whom an address leads to: a host, or an app on the device by its scheme. A loopback port is the app's own affair. */
function destination(uri: string): string {
  const { protocol, host, hostname } = new URL(uri)
  if (protocol === 'https:') return host
  return protocol === 'http:' ? hostname : protocol
}
