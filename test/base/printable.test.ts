// Names in the scripts and signs that people use, and none that hide something.
import { expect, test } from '@jest/globals'
import { isPlainName } from '../../src/base/printable.ts'

test.each([
  'Photo Printer',
  'Žofie Łukasz-O’Neill',
  'می‌خواهم', // Persian, with a zero-width non-joiner
  'क्‍ष', // Hindi, with a joiner after the virama
  'ক্‌ষ', // Bengali, with a non-joiner after the virama
  '写真アルバム 앨범',
  '👨‍👩‍👧‍👦 Family',
  '🏴󠁧󠁢󠁥󠁮󠁧󠁿 Cricket',
  '🇩🇪🇫🇷 Rail',
  '❤️ 1️⃣',
  '👩🏽‍🚀',
])('%j is a name', (name) => {
  expect(isPlainName(name)).toBe(true)
})

test.each([
  ['nothing to see', '\u200b\u200d'],
  ['a joiner between Latin letters', 'Goo\u200cgle'],
  ['a zero-width joiner between Latin letters', 'Goo\u200dgle'],
  ['a joiner between a Latin and an Arabic letter', 'a\u200cب'],
  ['a joiner at the end', 'می\u200c'],
  ['text turned round', 'App \u202egpj'],
  ['a zero-width space', 'Pay\u200bPal'],
  ['a word joiner', 'Pay\u2060Pal'],
  ['a soft hyphen', 'Pay\u00adPal'],
  ['tags without a flag', 'App\u{e0067}\u{e007f}'],
  ['two emoji that Unicode does not join', '🚀\u200d🚀'],
  ['many marks on one letter', 'e\u0301\u0301\u0301\u0301\u0301'],
  ['a filler that looks empty', '\u3164'],
  ['half of a pair', 'a\ud800'],
  ['a line feed', 'a\nb'],
])('%s is none', (_, name) => {
  expect(isPlainName(name)).toBe(false)
})
