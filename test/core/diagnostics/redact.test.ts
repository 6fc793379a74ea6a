// What is kept of a value that a stranger sent: a table of cases, and properties over whatever fast-check thinks of.
import { randomUUID } from 'node:crypto'
import { describe, expect, test } from '@jest/globals'
import fc from 'fast-check'
import { newCredential, PREFIX } from '../../../src/base/credentials.ts'
import { difference, nearest } from '../../../src/core/diagnostics/diff.ts'
import { redact } from '../../../src/core/diagnostics/redact.ts'

const UUID = '0b9e6e0c-6a4f-4c54-9d37-3a2c8b1f5d11'
const JWT = 'eyJhbGciOiJSUzI1NiJ9.eyJzdWIiOiJqYW1pZSJ9.c2lnbmF0dXJl'

describe('a table of cases', () => {
  test.each([
    ['plain words stay', 'photos.raed', 'photos.raed'],
    ['addresses stay', 'https://printer.example/callback/', 'https://printer.example/callback/'],
    [
      'long words stay',
      'https://calendars-and-postcards-of-everybody.example',
      'https://calendars-and-postcards-of-everybody.example',
    ],
    ['nothing is nothing', undefined, ''],
    ['several are one text', ['a', 'b'], 'a b'],
    ['a secret is shown as far as lists show it', 'vk_cs_AbCdEfGhIjKlMnOp', 'vk_cs_AbCdEf…'],
    ['what is masked already stays', 'vk_cs_AbCdEf… (web 2)', 'vk_cs_AbCdEf… (web 2)'],
    ['no other credential is', 'code=vk_ac_AbCdEf', 'code=vk_ac_…'],
    ['nor a longer prefix', 'vk_at_cc_AbCdEf', 'vk_at_…'],
    ['a JWT', `a ${JWT} b`, 'a eyJ… b'],
    ['a person', 'jamie@example.com', '…@…'],
    ['a person in an address', 'https://app.example/u/jamie%40example.com/x', 'https://app.example/u/…@…/x'],
    ['encoded twice', 'jamie%2540example.com', '…@…'],
    ['user info', 'https://jamie:sesame@app.example/', 'https://…@…/'],
    ['the id of a user', `https://app.example/${UUID}`, 'https://app.example/…'],
    ['values of a query', 'https://app.example/?user=jamie&x&y=', 'https://app.example/?user=…&…&y='],
    ['a fragment', 'https://app.example/#jamie', 'https://app.example/#…'],
    ['random text', 'q1W2e3R4t5Y6u7I8o9P0a1S2', '…'],
    ['what turns text around', 'a\u202eb', 'a\\u{202e}b'],
    ['what nobody sees', 'a\u200bb\u00a0c\u0007', 'a\\u{200b}b\\u{a0}c\\u{7}'],
    ['half a character', 'a\ud800', 'a\\u{d800}'],
    ['markup is text; pages escape it', '<b>x</b>', '<b>x</b>'],
  ])('%s', (_, value, wanted) => {
    expect(redact(value)).toBe(wanted)
  })

  test('what is registered is public, and stays where it comes again', () => {
    const known = `https://app.example/${UUID}?tenant=7`

    expect(redact(known, { known })).toBe(known)
    expect(redact(`${known}&user=jamie`, { known })).toBe(`${known}&user=…`)
    expect(redact(`https://app.example/${randomUUID()}?tenant=8`, { known })).toBe(
      'https://app.example/…?tenant=…',
    )
  })

  test('long texts are cut, and nothing is cut so that it is no longer recognized', () => {
    expect(redact('z'.repeat(500))).toHaveLength(300)
    expect([...redact('😀'.repeat(500), { most: 10 })]).toHaveLength(10)
    for (let before = 1_900; before < 2_010; before++) {
      const secret = newCredential('access_token')
      const text = redact(`${'?a=b'.repeat(before / 4)} ${secret}`, { most: 5_000 })
      expect(text).not.toContain(secret.slice(6, 12))
    }
  })
})

describe('whatever comes', () => {
  const text = fc.oneof(
    fc.string({ unit: 'binary', maxLength: 400 }),
    fc.webUrl({ withQueryParameters: true, withFragments: true }),
    fc.lorem(),
  )
  const glue = fc.constantFrom('', ' ', '/', '?', '&x=', '=', '#', '"', '<', '%2F', ':', ',', '\u202e')

  test('no credential comes through', () => {
    const kinds = fc.constantFrom(...(Object.keys(PREFIX) as (keyof typeof PREFIX)[]))
    fc.assert(
      fc.property(text, glue, kinds, glue, text, (before, open, kind, close, after) => {
        const credential = newCredential(kind)
        const shown = redact(`${before}${open}${credential}${close}${after}`, { most: 5_000 })
        const body = credential.slice(kind === 'client_secret' ? 12 : PREFIX[kind].length)
        for (let i = 0; i + 8 <= body.length; i++) expect(shown).not.toContain(body.slice(i, i + 8))
      }),
      { numRuns: 500 },
    )
  })

  test('no person comes through', () => {
    fc.assert(
      fc.property(
        text,
        fc.constantFrom(' ', '/', '?user=', '&', ':', ','),
        fc.emailAddress(),
        (before, open, email) => {
          expect(redact(`${before}${open}${email}`, { most: 5_000 })).not.toContain(email)
          expect(redact(`${before}${open}${encodeURIComponent(email)}`, { most: 5_000 })).not.toContain(
            encodeURIComponent(email),
          )
        },
      ),
      { numRuns: 500 },
    )
    fc.assert(
      fc.property(text, glue, fc.uuid(), text, (before, open, id, after) => {
        expect(redact(`${before}${open}${id}${after}`, { most: 5_000 })).not.toContain(id)
      }),
    )
  })

  test('what comes out prints, is short, and changes no more', () => {
    fc.assert(
      fc.property(text, fc.integer({ min: 20, max: 300 }), (value, most) => {
        const shown = redact(value, { most })

        expect([...shown].length).toBeLessThanOrEqual(most)
        expect(shown).toMatch(/^[^\p{C}\p{Zl}\p{Zp}]*$/u)
        expect(shown.isWellFormed()).toBe(true)
        const whole = redact(value, { most: 5_000 })
        expect(redact(whole, { most: 5_000 })).toBe(whole)
      }),
      { numRuns: 1_000 },
    )
  })

  test('it is quick', () => {
    // The work of this process, which a machine that stands still does not add to. What grows with the square takes minutes.
    const began = process.cpuUsage()
    for (const unit of ['a', 'a@', '%40', 'vk_', '/', '?', 'eyJ.', '-1', '#', '\u202e', '//'])
      redact(unit.repeat(200_000))
    const { user, system } = process.cpuUsage(began)
    expect((user + system) / 1_000_000).toBeLessThan(10)
  })
})

describe('the difference of two addresses', () => {
  const marked = (expected: string, received: string) => {
    const { expected: a, received: b } = difference(expected, received)
    return [a, b].map((pieces) => pieces.map(({ text, differs }) => (differs ? `[${text}]` : text)).join(''))
  }

  test.each([
    ['https://a.example/cb', 'https://a.example/cb/', 'https://a.example/cb', 'https://a.example/cb[/]'],
    ['https://a.example/cb', 'http://a.example/cb', 'http[s]://a.example/cb', 'http://a.example/cb'],
    ['https://a.example/cb', 'http://a.example/cb/', 'http[s]://a.example/cb', 'http://a.example/cb[/]'],
    [
      'http://localhost:3000/',
      'https://print.example/',
      'http://[localhost:3000]/',
      'http[s]://[print.example]/',
    ],
    ['', 'x', '', '[x]'],
  ])('%s and %s', (expected, received, ...wanted) => {
    expect(marked(expected, received)).toEqual(wanted)
  })

  test('pieces make up the texts again, whatever they are', () => {
    fc.assert(
      fc.property(fc.string({ unit: 'grapheme' }), fc.string({ unit: 'grapheme' }), (a, b) => {
        const { expected, received } = difference(a, b)
        expect(expected.map(({ text }) => text).join('')).toBe(a)
        expect(received.map(({ text }) => text).join('')).toBe(b)
        if (a === b) expect([...expected, ...received].some(({ differs }) => differs)).toBe(false)
      }),
    )
  })

  test('the nearest of several is the one that looks most alike', () => {
    const registered = ['https://a.example/login', 'https://a.example/callback', 'https://b.example/callback']

    expect(nearest(registered, 'https://a.example/callback/')).toBe('https://a.example/callback')
    expect(nearest(registered, 'http://b.example/callback')).toBe('https://b.example/callback')
    expect(nearest([], 'x')).toBeUndefined()
  })
})
