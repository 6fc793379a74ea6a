// The list of error codes against the page that shows it.
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { expect, test } from '@jest/globals'
import { ERROR_CODES } from '../../src/http/error-codes.ts'

const PAGE = join(import.meta.dirname, '../../docs/error-codes.md')

test('the page in docs shows each code as it is', () => {
  const rows = Object.entries(ERROR_CODES).map(
    ([code, { statuses, meaning, remedy }]) =>
      `| \`${code}\` | ${statuses.join(', ')} | ${meaning} | ${remedy} |`,
  )

  const shown = readFileSync(PAGE, 'utf8')
    .split('\n')
    .filter((line) => line.startsWith('| `'))

  expect(shown).toEqual(rows)
})
