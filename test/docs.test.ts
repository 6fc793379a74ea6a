// Lists that stand in docs/ and in the sources: whoever adds to the sources is told what to write, and where. The error codes and the
// configuration keys are held in test/http/error-codes.test.ts and test/config.test.ts.
import { readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { expect, test } from '@jest/globals'
import { EVENT_TYPES } from '../src/base/audit-events.ts'
import { OPENID_SCOPES } from '../src/base/openid-scopes.ts'
import { FIELD_NAMES } from '../src/core/clients/fields.ts'
import { expectNone } from './support/missing.ts'

test.each([
  [
    'docs/operating.md',
    EVENT_TYPES,
    'Write the event into the table under “Audit events” of docs/operating.md.',
  ],
  [
    'docs/cli.md',
    FIELD_NAMES,
    'Write the field into the list of fields under “Registrations as a file” of docs/cli.md.',
  ],
  ['docs/glossary.md', OPENID_SCOPES, 'Write the scope beside the other OpenID scopes of docs/glossary.md.'],
])('%s names all of them', async (file, names, advice) => {
  const text = await readFile(join(import.meta.dirname, '..', file), 'utf8')

  expect(names.length).toBeGreaterThan(3)
  expectNone(
    names.filter((name) => !text.includes(`\`${name}\``)),
    advice,
  )
})
