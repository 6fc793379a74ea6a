// Everything that follows from a brand's accent colour: readable text on it, links, selected rows, in both
// schemes. It must not know requests, files or any noun of ours.

/** The backgrounds of text in public/valetkey.css: page, card. */
export const SURFACES = { light: ['#f5f6f8', '#ffffff'], dark: ['#12161c', '#1a2029'] } as const

/** WCAG AA: text, and the edges of controls. */
const TEXT = 4.5
const EDGE = 3

/** The style sheet of an accent colour: the `--vk-…` variables that public/valetkey.css builds upon. */
export function accentSheet(accent: string): string {
  return [
    `:root:not([data-theme=dark]), [data-theme=light] {\n${variables(accent, 'light')}}`,
    '@media only screen and (prefers-color-scheme: dark) {',
    `:root:not([data-theme]) {\n${variables(accent, 'dark')}}`,
    '}\n',
  ].join('\n')
}

/** The colour of text on `background`: white where it can be read, else black. Always 4.5:1 or better. */
export function textOn(background: string): string {
  return contrast('#ffffff', background) >= TEXT ? '#ffffff' : '#000000'
}

/** The contrast ratio of two colours, 1 to 21 (WCAG 2.2, "contrast ratio"). */
export function contrast(one: string, other: string): number {
  const [dark, light] = [luminance(one), luminance(other)].sort((a, b) => a - b) as [number, number]
  return (light + 0.05) / (dark + 0.05)
}

function variables(accent: string, scheme: 'light' | 'dark'): string {
  const surfaces = SURFACES[scheme]
  const card = surfaces[1]
  const away = scheme === 'light' ? '#000000' : '#ffffff'
  // A pale accent on white keeps its colour and gets an edge. A dark accent on a dark page would not be visible, so it is made lighter.
  const button = scheme === 'light' ? toward(accent, away, 0) : until(EDGE, accent, away, [card])
  const soft = toward(card, accent, scheme === 'light' ? 0.09 : 0.2)
  const values = {
    accent: button,
    'on-accent': textOn(button),
    'accent-hover': toward(button, textOn(button) === '#ffffff' ? '#000000' : '#ffffff', 0.16),
    'accent-edge': until(EDGE, button, away, [card]),
    link: until(TEXT, accent, away, surfaces),
    'link-hover': toward(until(TEXT, accent, away, surfaces), away, 0.25),
    soft,
    'on-soft': until(TEXT, toward(accent, away, 0.15), away, [soft, ...surfaces]),
  }
  return Object.entries(values)
    .map(([name, value]) => `  --vk-${name}: ${value};\n`)
    .join('')
}

/** Moves a colour toward another until its contrast with every background is at least `ratio`. */
function until(ratio: number, colour: string, goal: string, backgrounds: readonly string[]): string {
  for (let share = 0; share < 1; share += 0.02) {
    const candidate = toward(colour, goal, share)
    if (backgrounds.every((background) => contrast(candidate, background) >= ratio)) return candidate
  }
  return goal
}

function toward(colour: string, goal: string, share: number): string {
  const to = channels(goal)
  const mixed = channels(colour).map((value, i) => Math.round(value + (to[i]! - value) * share))
  return `#${mixed.map((value) => value.toString(16).padStart(2, '0')).join('')}`
}

function luminance(colour: string): number {
  const [red, green, blue] = channels(colour).map((value) => {
    const part = value / 255
    return part <= 0.04045 ? part / 12.92 : ((part + 0.055) / 1.055) ** 2.4
  }) as [number, number, number]
  return 0.2126 * red + 0.7152 * green + 0.0722 * blue
}

/** `#rgb` or `#rrggbb` as three numbers. @throws TypeError for anything else. */
function channels(colour: string): number[] {
  const long = /^#[0-9a-f]{3}$/i.test(colour) ? colour.replace(/[0-9a-f]/gi, '$&$&') : colour
  if (!/^#[0-9a-f]{6}$/i.test(long)) throw new TypeError(`a colour is #rgb or #rrggbb, not ${colour}`)
  return [1, 3, 5].map((start) => Number.parseInt(long.slice(start, start + 2), 16))
}
