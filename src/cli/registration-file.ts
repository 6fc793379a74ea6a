// Reads a file of registrations, with the line of each field. It refuses the dangerous parts of YAML: aliases, tags, a second
// document. It knows no database.
import { open } from 'node:fs/promises'
import { type Document, isCollection, isMap, isNode, LineCounter, parseDocument, visit } from 'yaml'
import { z } from 'zod'
import type { Wanted } from '../core/clients/apply.ts'
import { type Field, mapFields, typeSchema } from '../core/clients/fields.ts'
import { Refused } from './command.ts'

/** A file that was read. */
export interface RegistrationFile {
  wanted: Wanted[]
  /** The line of a field of an app, or of the app. */
  lineOf(index: number, field: string): number
}

const MOST_BYTES = 1_000_000
const MOST_APPS = 2_000

const text = z.string('must be text')
const texts = z.array(text, 'must be a list of texts')
const flag = z.boolean('must be true or false')

// Only the shape of the file. The rules of registrations check the values later, of all apps together.
function inFile({ shape, choices, example }: Field): z.ZodType {
  if (choices) return z.enum(choices, `must be one of ${choices.join(', ')}, e.g. ${example}`)
  return { text, address: text.nullable(), list: texts, flag, choice: text }[shape]
}

const app = z
  .strictObject({ id: text, absent: flag, type: typeSchema, ...mapFields(inFile) })
  .partial()
  .required({ id: true })

const schema = z.strictObject(
  { clients: z.array(app, 'must be a list of apps').max(MOST_APPS, `has more than ${MOST_APPS} apps`) },
  'must begin with clients:',
)

/** Reads a file. @throws Refused with every mistake and its line */
export async function readRegistrationFile(file: string): Promise<RegistrationFile> {
  const lines = new LineCounter()
  const doc = parsed(file, await readText(file), lines)
  const dangerous = forbidden(doc, lines)
  const broken = [...doc.errors, ...doc.warnings].map(({ linePos, message }) => ({
    line: linePos?.[0].line ?? 1,
    text: message.split('\n')[0]!.replace(/ at line \d+, column \d+:?$/, ''),
  }))
  if (broken.length + dangerous.length > 0) throw refusal(file, [...broken, ...dangerous])
  const result = schema.safeParse(doc.toJS())
  if (result.success) {
    return {
      wanted: result.data.clients as Wanted[],
      lineOf: (index, field) => lineAt(doc, lines, ['clients', index, field]),
    }
  }
  const mistakes = result.error.issues.flatMap((issue) => {
    const path = issue.path as (string | number)[]
    if (issue.code === 'unrecognized_keys') {
      return issue.keys.map((key) => ({
        line: lineAt(doc, lines, [...path, key]),
        text: `${key}: is unknown; there are ${path.length === 0 ? 'clients' : Object.keys(app.shape).join(', ')}`,
      }))
    }
    const name = path.filter((part) => typeof part === 'string').at(-1) ?? 'the file'
    const isMissing = issue.code === 'invalid_type' && path.at(-1) === 'id' && !doc.hasIn(path)
    const problem = isMissing ? 'is missing, e.g. photo-printer' : issue.message
    return [{ line: lineAt(doc, lines, path), text: `${name}: ${problem}` }]
  })
  throw refusal(file, mistakes)
}

async function readText(file: string): Promise<string> {
  try {
    const handle = await open(file, 'r')
    try {
      // Count while reading, because a pipe or a device has no size.
      const { buffer, bytesRead } = await readAtMost(handle, MOST_BYTES + 1)
      if (bytesRead > MOST_BYTES) throw new Refused(`${file} has more than ${MOST_BYTES} bytes`)
      return new TextDecoder('utf-8', { fatal: true }).decode(buffer.subarray(0, bytesRead))
    } finally {
      await handle.close()
    }
  } catch (error) {
    if (error instanceof Refused) throw error
    if (error instanceof TypeError) throw new Refused(`${file} is not UTF-8 text`, { cause: error })
    throw new Refused(`cannot read ${file}: ${(error as Error).message}`, { cause: error })
  }
}

async function readAtMost(
  handle: Awaited<ReturnType<typeof open>>,
  most: number,
): Promise<{ buffer: Buffer; bytesRead: number }> {
  const buffer = Buffer.alloc(most)
  let total = 0
  while (total < most) {
    const { bytesRead } = await handle.read(buffer, total, most - total)
    if (bytesRead === 0) break
    total += bytesRead
  }
  return { buffer, bytesRead: total }
}

function parsed(file: string, source: string, lineCounter: LineCounter): Document.Parsed {
  try {
    return parseDocument(source, { lineCounter, schema: 'core', merge: false, uniqueKeys: true })
  } catch (cause) {
    // Deeply nested brackets overflow the stack of the parser.
    throw new Refused(`${file} cannot be read: it is nested too deeply`, { cause })
  }
}

interface Said {
  line: number
  text: string
}

function forbidden(doc: Document.Parsed, lines: LineCounter): Said[] {
  const found: Said[] = []
  const say = (offset: number | undefined, text: string) =>
    found.push({ line: lines.linePos(offset ?? 0).line, text })
  visit(doc, {
    Alias: (_, node) => void say(node.range?.[0], 'aliases (*) are not taken; say it twice'),
    Value: (_, node) => {
      if (node.anchor) say(node.range?.[0], 'anchors (&) are not taken; say it twice')
      if (node.tag) say(node.range?.[0], 'tags (!) are not taken')
    },
  })
  return found.slice(0, 20)
}

function lineAt(doc: Document.Parsed, lines: LineCounter, path: (string | number)[]): number {
  for (let length = path.length; length > 0; length--) {
    const parent = length === 1 ? doc.contents : doc.getIn(path.slice(0, length - 1), true)
    const key = path[length - 1]!
    if (isMap(parent)) {
      const pair = parent.items.find(({ key: each }) => String(each) === String(key))
      if (isNode(pair?.key) && pair.key.range) return lines.linePos(pair.key.range[0]).line
    } else if (isCollection(parent)) {
      const node = parent.get(key, true)
      if (isNode(node) && node.range) return lines.linePos(node.range[0]).line
    }
  }
  return 1
}

function refusal(file: string, mistakes: Said[]): Refused {
  const all = mistakes.toSorted((a, b) => a.line - b.line).map(({ line, text }) => `line ${line}: ${text}`)
  return new Refused(`${file}: ${all.join('; ')}`)
}
