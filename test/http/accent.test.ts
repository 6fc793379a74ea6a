// What follows from an accent colour can be read, whatever the colour, in both schemes; so can our own
// colours.
import { readFileSync } from 'node:fs'
import { describe, expect, test } from '@jest/globals'
import { accentSheet, contrast, SURFACES, textOn } from '../../src/http/accent.ts'

const SHEET = readFileSync(new URL('../../public/valetkey.css', import.meta.url), 'utf8')

describe('contrast', () => {
  test('is the ratio of WCAG, in either order', () => {
    expect(contrast('#000000', '#ffffff')).toBeCloseTo(21)
    expect(contrast('#fff', '#000')).toBeCloseTo(21)
    expect(contrast('#777777', '#ffffff')).toBeCloseTo(4.48, 2)
  })

  test('refuses what is not a hexadecimal colour', () => {
    expect(() => contrast('red', '#ffffff')).toThrow(new TypeError('a colour is #rgb or #rrggbb, not red'))
    expect(() => accentSheet('#12345;}')).toThrow(TypeError)
  })
})

describe.each(['#1f5eff', '#ffdd00', '#111', '#ffffff', '#8fd3c8', '#777777', '#b3261e', '#0b7a4b'])(
  'the style sheet of %s',
  (accent) => {
    test.each(['light', 'dark'] as const)('is readable in the %s scheme', (scheme) => {
      const own = variables(part(accentSheet(accent), scheme))
      const card = SURFACES[scheme][1]

      expect(contrast(own.accent!, own['on-accent']!)).toBeGreaterThanOrEqual(4.5)
      expect(contrast(own['accent-hover']!, own['on-accent']!)).toBeGreaterThanOrEqual(4.5)
      expect(contrast(own['on-soft']!, own.soft!)).toBeGreaterThanOrEqual(4.5)
      expect(contrast(own['accent-edge']!, card)).toBeGreaterThanOrEqual(3)
      for (const surface of SURFACES[scheme]) {
        expect(contrast(own.link!, surface)).toBeGreaterThanOrEqual(4.5)
        expect(contrast(own['link-hover']!, surface)).toBeGreaterThanOrEqual(4.5)
      }
    })
  },
)

test('an accent that can be read already is taken as it is', () => {
  const own = variables(part(accentSheet('#1f5eff'), 'light'))

  expect(own.accent).toBe('#1f5eff')
  expect(own.link).toBe('#1f5eff')
  expect(own['on-accent']).toBe('#ffffff')
  expect(textOn('#ffdd00')).toBe('#000000')
})

describe.each(['light', 'dark'] as const)('the %s colours of valetkey.css', (scheme) => {
  const own = variables(part(SHEET, scheme))
  const [page, card] = SURFACES[scheme]

  test('are on the surfaces that the accent is computed for', () => {
    expect([own.page, own.card]).toEqual([page, card])
  })

  test.each(['ink', 'muted', 'warning', 'danger', 'good', 'neutral'])('%s can be read as text', (name) => {
    const backs = ['warning', 'danger', 'good', 'neutral'].includes(name) ? [own[`${name}-back`]!] : [page]

    for (const back of [card, ...backs]) expect(contrast(own[name]!, back)).toBeGreaterThanOrEqual(4.5)
  })

  test('text on notices and dangerous buttons, and the edges of fields, can be told apart', () => {
    expect(contrast(own.ink!, own['danger-back']!)).toBeGreaterThanOrEqual(4.5)
    expect(contrast(own.ink!, own['good-back']!)).toBeGreaterThanOrEqual(4.5)
    expect(contrast(own['on-danger']!, own.danger!)).toBeGreaterThanOrEqual(4.5)
    expect(contrast(own.edge!, card)).toBeGreaterThanOrEqual(3)
  })
})

test('a white initial can be read on each of the twelve tints', () => {
  const tints = [...SHEET.matchAll(/\.tint-(\d+) \{\s+background: (#[0-9a-f]{6});\s+\}/g)]

  expect(tints.map((tint) => Number(tint[1]))).toEqual(Array.from({ length: 12 }, (_, i) => i))
  for (const [, , colour] of tints) expect(contrast(colour!, '#ffffff')).toBeGreaterThanOrEqual(4.5)
})

/** The first block of a sheet that a scheme reads. */
function part(sheet: string, scheme: 'light' | 'dark'): string {
  const [light, dark] = sheet.split('prefers-color-scheme: dark')
  return (scheme === 'light' ? light! : dark!).split('}')[0]!
}

function variables(block: string): Record<string, string> {
  return Object.fromEntries([...block.matchAll(/--vk-([\w-]+): (#[0-9a-f]{6});/g)].map((m) => [m[1], m[2]]))
}
