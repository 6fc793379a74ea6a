// Masks values of requests, which anybody may have sent, before they are stored: no credentials, no personal data, nothing that a page
// could run or that reverses text. Pure; it knows no request and no row.

/** How {@link redact} treats a text. */
export interface Redaction {
  /** Text that is public already, for example a registered address: parts of it stay unmasked. */
  known?: string
  /** Characters (code points) that are kept. */
  most?: number
}

// Characters kept of a value unless told otherwise.
const MOST_SHOWN = 300

const MOST_READ = 2_000

/**
 * Makes a value fit to be kept and shown. Masked with `…`: our credentials (of a client secret the listed prefix stays), JWTs,
 * long random text, UUIDs, e-mail addresses, user info, values in a query, fragments. Characters that do not print come as
 * `\u{202e}`. Doing it twice changes nothing more.
 */
export function redact(value: unknown, { known = '', most = MOST_SHOWN }: Redaction = {}): string {
  let text = [value ?? ''].flat().map(String).join(' ')
  // Mask before cutting, because a credential that is cut in two would not be recognized.
  if (text.length > MOST_READ) text = `${text.slice(0, MOST_READ).replace(/[^\s/?&#]*$/, '')}…`
  for (const [pattern, masked] of MASKS) {
    text = text.replace(pattern, (match) => (known.includes(match) ? match : masked(match)))
  }
  const printed = text.replace(UNPRINTABLE, (char) => `\\u{${char.codePointAt(0)!.toString(16)}}`)
  const points = [...printed]
  return points.length > most
    ? `${points
        .slice(0, most - 1)
        .join('')
        .replace(/…+$/, '')}…`
    : printed
}

// How much of a client secret lists show: enough to tell one from another.
const LISTED = 12

// Other, control, format, surrogate, private and unassigned characters; separators that are no plain space.
const UNPRINTABLE = /[\p{C}\p{Zl}\p{Zp}]|(?! )\p{Zs}/gu

// In this order: each rule works on what the rules before it left.
const MASKS: [RegExp, (match: string) => string][] = [
  [/vk_[a-z]{2}_[^\s/?&#,;"'<>…]*…?/g, credential],
  [/eyJ[\w-]*\.[\w.-]*/g, () => 'eyJ…'],
  [/\/\/[^\s/?#]*@/g, () => '//…@'],
  [/[^\s@/?&=#:;,<>"()]{0,64}(?:@|%(?:25)*40)[^\s/?&#:;,<>"'()]{1,255}/gi, () => '…@…'],
  [/[0-9a-f]{8}-?(?:[0-9a-f]{4}-?){3}[0-9a-f]{12}/gi, () => '…'],
  [/[A-Za-z0-9_~+-]{22,}={0,2}/g, (match) => (isRandom(match) ? '…' : match)],
  [/[?&][^\s#&]*/g, parameter],
  [/#\S*/g, (match) => (match.length > 1 ? '#…' : match)],
]

function credential(match: string): string {
  const prefix = match.slice(0, 6)
  if (match === prefix) return match
  return prefix === 'vk_cs_' ? `${match.slice(0, LISTED).replace('…', '')}…` : `${prefix}…`
}

// Words, even many of them in a row, have neither digits nor capitals in the middle.
function isRandom(text: string): boolean {
  return /\d/.test(text) || (/[a-z]/.test(text) && /[A-Z]/.test(text))
}

function parameter(match: string): string {
  if (match.length === 1) return match
  const value = match.indexOf('=') + 1
  return value === match.length ? match : `${match.slice(0, value || 1)}…`
}
