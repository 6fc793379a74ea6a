// npm run house: how the house of docs/architecture.md stands: who imports whom, how large folders, files and functions are.
import { readdir, readFile } from 'node:fs/promises'
import { dirname, join, normalize } from 'node:path'
import { parse } from '@swc/core'

const ROOT = join(import.meta.dirname, '..')
const FLOORS = ['base', 'db', 'http', 'jobs', 'core', 'protocol', 'pages', 'api', 'cli', 'app']
// On one floor, and none above the other.
const SIDE_BY_SIDE = new Set(['pages', 'api', 'cli'])

interface File {
  path: string
  lines: number
  imports: string[]
  functions: { name: string; lines: number }[]
}

const paths = (await readdir(join(ROOT, 'src'), { recursive: true }))
  .filter((path) => path.endsWith('.ts'))
  .map((path) => `src/${path}`)
  .sort()
const files = await Promise.all(paths.map(readOne))

const arrows = files.flatMap(({ path, imports }) => imports.map((to) => [path, to] as const))
const folderArrows = new Set(
  arrows.map(([from, to]) => [dirname(from), dirname(to)]).map(([from, to]) => `${from} ${to}`),
)
const bothWays = [...folderArrows].filter((arrow) => {
  const [from, to] = arrow.split(' ') as [string, string]
  return from < to && folderArrows.has(`${to} ${from}`)
})
const upward = arrows.filter(([from, to]) => isUpward(floorOf(from), floorOf(to)))
const folders = Map.groupBy(files, ({ path }) => dirname(path))
const [largest] = [...folders].sort(([, a], [, b]) => b.length - a.length)
const byLines = files.toSorted((a, b) => b.lines - a.lines)
const functions = files
  .flatMap(({ path, functions }) => functions.map((each) => ({ path, ...each })))
  .sort((a, b) => b.lines - a.lines)
const app = files.find(({ path }) => path === 'src/app.ts')!

// What it takes to add a metadata field of a client: beside these, a migration and a test.
const namers = await filesNaming('tos_uri')

const rows: [string, string | number, string][] = [
  ['folders that import each other', bothWays.length, bothWays.join(', ')],
  ['imports that run upward', upward.length, upward.map((arrow) => arrow.join(' → ')).join(', ')],
  ['largest folder, files', largest![1].length, largest![0]],
  ['median file, lines', byLines[Math.floor(byLines.length / 2)]!.lines, `${files.length} files`],
  ['files over 300 lines', byLines.filter(({ lines }) => lines > 300).length, named(byLines, 300)],
  ['functions over 80 lines', functions.filter(({ lines }) => lines > 80).length, named(functions, 80)],
  ['imports of `app.ts`', app.imports.length, ''],
  ['files that name the field `tos_uri`', namers.length, namers.join(', ')],
]
console.log('| | now | which |\n|---|--:|---|')
for (const row of rows) console.log(`| ${row.join(' | ')} |`)

async function filesNaming(field: string): Promise<string[]> {
  const found: string[] = []
  for (const folder of ['src', 'views']) {
    for (const path of await readdir(join(ROOT, folder), { recursive: true })) {
      if (!/\.(ts|pug)$/.test(path)) continue
      const text = await readFile(join(ROOT, folder, path), 'utf8')
      if (text.includes(field)) found.push(join(folder, path))
    }
  }
  return found
}

async function readOne(path: string): Promise<File> {
  const text = await readFile(join(ROOT, path), 'utf8')
  const imports = [...text.matchAll(/(?:from|import\()\s*'(\.[^']+)'/g)].map(([, to]) =>
    normalize(join(dirname(path), to!)),
  )
  return { path, lines: text.split('\n').length - 1, imports, functions: await functionsOf(text) }
}

/** Each function with a body that is not within another one. A list of rows or of operations is one, too. */
async function functionsOf(text: string): Promise<{ name: string; lines: number }[]> {
  const module = await parse(text, { syntax: 'typescript', target: 'es2024' })
  // Offsets are in bytes, and go on from one file to the next.
  const bytes = Buffer.from(text)
  const start = module.span.start - leading(text)
  const found: { name: string; lines: number }[] = []
  for (const item of module.body) {
    const declared = item.type === 'ExportDeclaration' ? item.declaration : item
    if (declared.type !== 'FunctionDeclaration' || !declared.body) continue
    const { span } = declared.body
    const body = bytes.subarray(span.start - start, span.end - start).toString()
    found.push({ name: declared.identifier.value, lines: body.split('\n').length })
  }
  return found
}

// A module's span begins at its first statement.
function leading(text: string): number {
  const first = /^(?:\s*\/\/[^\n]*\n|\s*\/\*[\s\S]*?\*\/|\s)*/.exec(text)![0]
  return Buffer.byteLength(first)
}

function floorOf(path: string): number {
  const [, floor, ...rest] = path.split('/')
  return FLOORS.indexOf(rest.length === 0 ? 'app' : floor!)
}

function isUpward(from: number, to: number): boolean {
  if (from === to) return false
  return to > from || (SIDE_BY_SIDE.has(FLOORS[from]!) && SIDE_BY_SIDE.has(FLOORS[to]!))
}

function named(all: { path: string; name?: string; lines: number }[], most: number): string {
  return all
    .filter(({ lines }) => lines > most)
    .map(({ path, name, lines }) => `${name ?? path.replace('src/', '')} ${lines}`)
    .join(', ')
}
