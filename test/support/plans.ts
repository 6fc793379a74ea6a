// Finds statements whose plan reads a large table from end to end, or far more rows than it needs.
import type pg from 'pg'
import { many, type Pool, sql } from '../../src/db/pool.ts'
import type { Sent } from './statements.ts'

/** Tables with at least so many rows are large. Smaller ones are fast to read completely. */
const LARGE = 1_000
/** Rows that a statement may read without using them. */
const MOST_WASTED = 3_000

/** A statement whose plan is too slow for a large installation. */
export interface Finding {
  /** The problem, and the table. */
  problem: string
  statement: string
}

interface Plan {
  'Node Type': string
  'Relation Name'?: string
  'Actual Loops'?: number
  'Rows Removed by Filter'?: number
  Plans?: Plan[]
}

/**
 * Explains every statement with the values that it was sent with, once for each text and set of values that are not null. It rolls
 * everything back.
 */
export async function findings(db: Pool, sent: Sent[]): Promise<Finding[]> {
  const rows = await many<{ name: string }>(
    db,
    sql`select relname as name from pg_class where relkind = 'r' and reltuples >= ${LARGE}`,
  )
  const large = new Set(rows.map(({ name }) => name))
  const texts = new Map(sent.filter(isPlanned).map((each) => [shapeOf(each), each]))
  const found: Finding[] = []
  const client = await db.pg.connect()
  try {
    for (const each of texts.values()) {
      for (const problem of await problemsOf(client, each, large)) {
        found.push({ problem, statement: each.text.replace(/\s+/g, ' ').trim() })
      }
    }
  } finally {
    client.release()
  }
  return found
}

// An absent filter is null, and leads to another plan.
function shapeOf({ text, values }: Sent): string {
  return `${text} ${values.map((value) => (value === null || value === undefined ? 'null' : 'there'))}`
}

function isPlanned({ text }: Sent): boolean {
  return /^\s*(select|with|insert|update|delete)\b/i.test(text) && !/pg_notify|pg_advisory/.test(text)
}

async function problemsOf(client: pg.PoolClient, sent: Sent, large: Set<string>): Promise<string[]> {
  // Execute statements that create nothing: only then does the plan say how many rows were read without use.
  const isDone = !/\binsert into\b|\b(nextval|pg_terminate_backend)\b/i.test(sent.text)
  const plan = isDone ? await planOf(client, sent, 'analyze, timing off, ').catch(notOnceMore) : undefined
  return [...problemsIn(plan ?? (await planOf(client, sent)), large)]
}

async function planOf(client: pg.PoolClient, { text, values }: Sent, options = ''): Promise<Plan> {
  await client.query('begin')
  try {
    const { rows } = await client.query<{ 'QUERY PLAN': { Plan: Plan }[] }>(
      `explain (${options}format json) ${text}`,
      values,
    )
    return rows[0]!['QUERY PLAN'][0]!.Plan
  } finally {
    await client.query('rollback')
  }
}

// Class 23, a constraint: the row that the statement created the first time is in the way.
function notOnceMore(error: unknown): undefined {
  if (!/^23/.test((error as { code?: string }).code ?? '')) throw error
}

function* problemsIn(plan: Plan, large: Set<string>): Generator<string> {
  const table = plan['Relation Name']
  if (table !== undefined && large.has(table)) {
    const wasted = (plan['Rows Removed by Filter'] ?? 0) * (plan['Actual Loops'] ?? 1)
    if (plan['Node Type'] === 'Seq Scan') yield `reads all of ${table}`
    else if (wasted > MOST_WASTED) yield `reads ${wasted} rows of ${table} for nothing`
  }
  for (const below of plan.Plans ?? []) yield* problemsIn(below, large)
}
