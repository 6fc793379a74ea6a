// Words and short texts that several pages of developers and administrators show. It knows no storage and no page.
import type { Change } from '../../base/audit-events.ts'
import { labelOf } from '../../core/clients/fields.ts'
import { standingOf } from '../../core/clients/kinds.ts'
import type { SecretRow } from '../../core/clients/secrets.ts'
import type { Client } from '../../core/clients/store.ts'
import { when } from '../../http/time.ts'

/** Kinds of app. */
export const KIND_LABELS = {
  web: 'Web',
  spa: 'Single-page',
  native: 'Native',
  device: 'Device',
  service: 'Service',
  resource_server: 'API',
} as const

/** States of an app. */
export const CLIENT_STATE_LABELS = {
  pending: 'Waiting for approval',
  active: 'Active',
  suspended: 'Suspended',
  rejected: 'Rejected',
} as const

/** States of a bulk job. */
export const JOB_STATE_LABELS = {
  waiting: 'Waiting',
  running: 'Under way',
  done: 'Done',
  failed: 'Failed',
} as const

/** States of an initial access token. */
export const TOKEN_STATE_LABELS: Record<string, string> = {
  live: 'Live',
  revoked: 'Revoked',
  'used up': 'Used up',
  expired: 'Expired',
}

/** States of a signing key. */
export const KEY_STATE_LABELS = {
  current: 'Signs now',
  next: 'Next',
  retired: 'Retired',
} as const

/** The state of an app: its name, and the text of its chip. */
export function stateOf(client: Pick<Client, 'state' | 'suspended_at'>): {
  name: keyof typeof CLIENT_STATE_LABELS
  text: string
} {
  const name = standingOf(client)
  return { name, text: CLIENT_STATE_LABELS[name] }
}

/** A number that was counted up to `most`. */
export function countText(count: number, most: number): string {
  return count < most ? count.toLocaleString('en') : `${most.toLocaleString('en')} or more`
}

/** A secret as a list shows it. @param path of the page of the app or API */
export function secretView(secret: SecretRow, path: string) {
  return {
    name: secret.name || 'No name',
    prefix: secret.prefix,
    created: when(secret.created_at),
    expires: when(secret.expires_at),
    last_used: when(secret.last_used_at),
    revoke_href: `${path}/secrets/${secret.id}/revoke`,
  }
}

/** Changes as old → new, entry by entry, with the entries that go, those that are new, and uploaded logos marked. */
export function differenceView(changes: Change[]) {
  return changes.map(({ field, from, to }) => {
    const [before, after] = [entries(from), entries(to)]
    return {
      label: labelOf(field),
      from: before.map((text) => ({ text, is_logo: isLogo(field, text), goes: !after.includes(text) })),
      to: after.map((text) => ({ text, is_logo: isLogo(field, text), is_new: !before.includes(text) })),
    }
  })
}

// An uploaded logo is a picture that the server made itself. Administrators decide by the picture, so show that and not its address.
function isLogo(field: string, text: string): boolean {
  return field === 'logo_uri' && /\/logos\/[0-9a-f]{64}\.png$/.test(text)
}

function entries(value: unknown): string[] {
  return [value ?? []].flat().map(String).filter(Boolean)
}
