// How an app looks on a page: always its logo or initial, its name, its host, and one chip.
import { createHash } from 'node:crypto'
import { isDocumentId } from './document-url.ts'
import type { Registrar } from './fields.ts'

/** An app as the views show it. */
export interface AppView {
  id: string
  name: string
  initial: string
  /** 0–11: the colour behind the initial, always the same for one app. */
  tint: number
  logo_uri: string | undefined
  host: string
  /** Pages of the app's makers about what it does with data, and on which terms. */
  policy_uri: string | undefined
  tos_uri: string | undefined
  chip: 'verified' | 'unverified' | 'dynamic' | 'first_party' | 'suspended'
  chip_text: string
}

/** What an app view is made of. */
export interface AppFacts {
  id: string
  name: string
  logo_uri: string | null
  homepage_uri: string | null
  policy_uri?: string | null
  tos_uri?: string | null
  redirect_uris: string[]
  type?: string
  first_party: boolean
  verified_at: Date | null
  suspended_at: Date | null
  registered_by: Registrar
}

const TINTS = 12

/**
 * Makes the view of an app. Unless an administrator vouches for it, its home page could be somebody else's, so it shows the host that
 * people are sent to. It shows the logo of a dynamically registered app only once that is verified. For an app whose id is the
 * address of a metadata document it shows the host of that, the only thing that is certain about it.
 * @param redirectUri where people are sent back to now; they must see its host
 * @param seenHost the host they were sent back to when they allowed it
 */
export function appView(app: AppFacts, redirectUri?: string, seenHost?: string): AppView {
  const [chip, chip_text] = chipOf(app)
  const isVouchedFor = app.registered_by === 'admin' || app.verified_at !== null || app.first_party
  const isBelieved = isVouchedFor || app.registered_by !== 'itself'
  const isDocument = isDocumentId(app.id)
  const host = isDocument
    ? hostOf(app.id)
    : hostOf(redirectUri ?? (isVouchedFor ? app.homepage_uri : undefined) ?? app.redirect_uris[0])
  const words = app.type === 'device' ? 'an app on a device' : ''
  return {
    id: app.id,
    name: app.name,
    initial: [...app.name.trim()][0]?.toUpperCase() ?? '?',
    tint: createHash('sha256').update(app.id).digest()[0]! % TINTS,
    logo_uri: (isBelieved && app.logo_uri) || undefined,
    host: (!isVouchedFor && !redirectUri && !isDocument && seenHost) || host || words,
    policy_uri: app.policy_uri ?? undefined,
    tos_uri: app.tos_uri ?? undefined,
    chip,
    chip_text,
  }
}

/** The host of an address, as people know it; words for an app on the device. */
export function hostOf(uri: string | undefined | null): string {
  const url = uri ? URL.parse(uri) : null
  if (!url) return ''
  const web = url.protocol === 'https:' || url.protocol === 'http:'
  // RFC 8252 §7.3: an installed app listens on a loopback IP address; `localhost` is the machine of a developer.
  if (!web || url.hostname === '127.0.0.1' || url.hostname === '[::1]') return 'an app on this device'
  return url.host
}

function chipOf(app: AppFacts): [AppView['chip'], string] {
  if (app.suspended_at) return ['suspended', 'Suspended']
  if (app.first_party) return ['first_party', 'Built in']
  if (app.verified_at) return ['verified', 'Verified']
  if (app.registered_by === 'itself') return ['dynamic', 'Registered itself']
  return ['unverified', 'Not verified']
}
