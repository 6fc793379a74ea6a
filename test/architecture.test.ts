// Rules of docs/architecture.md: that those of the import checker bite, and what it cannot hold.
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdir, mkdtemp, readdir, readFile, rm, symlink, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { text } from 'node:stream/consumers'
import { expect, test } from '@jest/globals'

const root = join(import.meta.dirname, '..')
const src = join(root, 'src')

// A file that imports another one, and the rule that forbids it.
const FORBIDDEN: [rule: string, from: string, to: string][] = [
  ['base-knows-nobody', 'src/base/config.ts', 'src/db/pool.ts'],
  ['db-is-above-base', 'src/db/pool.ts', 'src/http/errors.ts'],
  ['http-is-above-db', 'src/http/errors.ts', 'src/jobs/runner.ts'],
  ['jobs-are-above-http', 'src/jobs/runner.ts', 'src/core/clients/store.ts'],
  ['core-is-above-jobs', 'src/core/clients/store.ts', 'src/protocol/provider.ts'],
  ['protocol-is-above-core', 'src/protocol/provider.ts', 'src/pages/account/apps.ts'],
  ['pages-are-above-protocol', 'src/pages/account/apps.ts', 'src/api/clients/registration.ts'],
  ['pages-are-above-protocol', 'src/pages/account/profile.ts', 'src/app.ts'],
  ['an-audience-of-pages-knows-no-other', 'src/pages/admin/clients.ts', 'src/pages/developer/clients.ts'],
  ['api-is-above-protocol', 'src/api/clients/registration.ts', 'src/pages/shared/labels.ts'],
  ['cli-is-above-core', 'src/cli/clients.ts', 'src/protocol/session.ts'],
  ['no-folder-cycle', 'src/core/users/store.ts', 'src/core/grants/store.ts'],
  ['no-folder-cycle', 'src/core/grants/search.ts', 'src/core/users/search.ts'],
  // A cycle is named once, by its first file.
  ['no-cycle', 'src/http/form.ts', 'src/http/time.ts'],
  ['no-cycle', 'src/http/time.ts', 'src/http/form.ts'],
  ['imports-resolve', 'src/http/log.ts', 'src/http/nowhere.ts'],
  ['src-stands-alone', 'src/main.ts', 'test/support.ts'],
  ['the-sample-programs-are-strangers', 'demo/photo-printer.ts', 'src/workers.ts'],
]

test('each rule about imports bites', async () => {
  const tree = await mkdtemp(join(tmpdir(), 'valetkey-floors-'))
  try {
    const files = new Map<string, string[]>()
    for (const [, from, to] of FORBIDDEN) {
      files.set(from, [...(files.get(from) ?? []), to])
      if (!to.includes('nowhere')) files.set(to, files.get(to) ?? [])
    }
    files.set('src/turns.ts', ['jest'])
    for (const [file, imported] of files) {
      await mkdir(join(tree, dirname(file)), { recursive: true })
      const lines = imported.map(
        (to, i) => `import * as i${i} from '${to === 'jest' ? to : `${up(file)}${to}`}'`,
      )
      const used = imported.map((_, i) => `i${i}`)
      await writeFile(join(tree, file), `${lines.join('\n')}\nexport const used = [${used}]\n`)
    }
    await symlink(join(root, 'node_modules'), join(tree, 'node_modules'))
    await writeFile(
      join(tree, 'package.json'),
      JSON.stringify({ type: 'module', devDependencies: { jest: '*' } }),
    )

    const found = await violations(tree)

    for (const [rule, from, to] of FORBIDDEN) {
      const isFound = found.some(
        (each) =>
          each.rule === rule &&
          (rule === 'no-cycle' || each.from === from || each.from === dirname(from)) &&
          (each.to === to || each.to === dirname(to) || ['imports-resolve', 'no-cycle'].includes(rule)),
      )
      expect([rule, from, to, isFound]).toEqual([rule, from, to, true])
    }
    const rules = JSON.parse(await readFile(join(root, '.dependency-cruiser.json'), 'utf8')).forbidden
    expect(new Set(found.map(({ rule }) => rule))).toEqual(
      new Set(rules.map(({ name }: { name: string }) => name)),
    )
  } finally {
    await rm(tree, { recursive: true })
  }
})

test('SQL stands with the rows it reads and writes: never in a page, a command or a rule of the protocol', async () => {
  const guilty = await filesWith(/\bsql`/)

  // throttle.ts and idempotency.ts keep tables of their own, which are no nouns of ours.
  const home = /^(core|db|protocol\/storage)\/|^api\/idempotency\.ts$|^http\/throttle\.ts$/
  expect(guilty.filter((file) => !home.test(file))).toEqual([])
})

test('only the configuration looks at the environment', async () => {
  expect(await filesWith(/\bprocess\.env\b/)).toEqual(['base/config.ts'])
})

test('the time is what Date.now says, which is set by the database', async () => {
  expect(await filesWith(/\bnew Date\(\)/)).toEqual([])
})

test('the OpenID scopes stand once', async () => {
  // The configuration has them as what apps that register themselves may ask for, which is the operator's to decide.
  expect(await filesWith(/offline_access/)).toEqual(['base/config-keys.ts', 'base/openid-scopes.ts'])
})

test("the library's insides stand in one file: nothing else casts its objects or replaces its methods", async () => {
  const guilty = async (pattern: RegExp) =>
    (await filesWith(pattern)).filter(
      (file) => file.startsWith('protocol/') && file !== 'protocol/internals/library.ts',
    )

  expect(await guilty(/\bas unknown as\b|\bas any\b|@ts-(expect-error|ignore)/)).toEqual([])
  expect(await guilty(/\.prototype\b|\bdefinePropert|\.middleware\b|Provider\.ctx\b/)).toEqual([])
  expect(
    await guilty(
      /\boidc\.(entities|session|result|params|body)!?\)? as \{|\boidc\?*\.route ===|\.on\('[^']+' as /,
    ),
  ).toEqual([])
})

async function filesWith(pattern: RegExp): Promise<string[]> {
  const files = (await readdir(src, { recursive: true })).filter((file) => file.endsWith('.ts')).sort()
  const texts = await Promise.all(files.map((file) => readFile(join(src, file), 'utf8')))
  return files.filter((_, i) => pattern.test(texts[i]!))
}

/** The way from the folder of a file to the top. */
function up(file: string): string {
  return '../'.repeat(file.split('/').length - 1)
}

async function violations(tree: string): Promise<{ rule: string; from: string; to: string }[]> {
  const cruiser = join(root, 'node_modules/dependency-cruiser/bin/dependency-cruise.mjs')
  const config = join(root, '.dependency-cruiser.json')
  const child = spawn(
    process.execPath,
    [cruiser, '--config', config, '--output-type', 'json', 'src', 'demo', 'test'],
    {
      cwd: tree,
      stdio: ['ignore', 'pipe', 'inherit'],
    },
  )
  const [output] = await Promise.all([text(child.stdout), once(child, 'exit')])
  const { summary } = JSON.parse(output) as {
    summary: { violations: { rule: { name: string }; from: string; to: string }[] }
  }
  return summary.violations.map(({ rule, from, to }) => ({ rule: rule.name, from, to }))
}
