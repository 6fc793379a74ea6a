// Rules of docs/architecture.md that the import rules cannot hold.
import { readdir, readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { expect, test } from '@jest/globals'

const src = join(import.meta.dirname, '../src')

test('SQL stands with the rows it reads and writes: never in a page, a command or a rule of the protocol', async () => {
  const guilty = await filesWith(/\bsql`/)

  // throttle.ts and once.ts keep tables of their own, which are no nouns of ours.
  const home =
    /^db\/|^api\/once\.ts$|^mail\/outbox\.ts$|^oidc\/(adapter|device-codes|state|tokens)\.ts$|^web\/throttle\.ts$/
  const noun =
    /^(audit|users|clients|grants|resources|keys)\/(?!(account|developer[a-z-]*|admin[a-z-]*|api|register|setup|reset)\.ts$)/
  expect(guilty.filter((file) => !home.test(file) && !noun.test(file))).toEqual([])
})

test('only the configuration looks at the environment', async () => {
  expect(await filesWith(/\bprocess\.env\b/)).toEqual(['config.ts'])
})

async function filesWith(pattern: RegExp): Promise<string[]> {
  const files = (await readdir(src, { recursive: true })).filter((file) => file.endsWith('.ts')).sort()
  const texts = await Promise.all(files.map((file) => readFile(join(src, file), 'utf8')))
  return files.filter((_, i) => pattern.test(texts[i]!))
}
