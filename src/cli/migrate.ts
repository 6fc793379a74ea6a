// migrate: the schema of the database.
import type { Command } from 'commander'
import { migrate, migrationStatus } from '../db/migrate.ts'
import { answering, group, leaf } from './command.ts'
import { withDatabase } from './session.ts'
import { table } from './table.ts'

/** Adds the commands of this noun. */
export function addMigrate(program: Command): void {
  const noun = group(program, 'migrate', 'the schema of the database')

  leaf(noun, 'status', 'list migrations, applied and pending').action(answering(status))

  leaf(noun, 'up', 'apply the pending migrations; serve does this by itself').action(answering(up))
}

function status() {
  return withDatabase(async ({ db }) => {
    const { applied, pending, tooNew } = await migrationStatus(db)
    const rows = [
      ...applied.map((name) => ({
        name,
        state: tooNew.includes(name) ? 'applied, breaks this version' : 'applied',
      })),
      ...pending.map((name) => ({ name, state: 'pending' })),
    ]
    const text = table(rows, [
      ['MIGRATION', ({ name }) => name],
      ['STATE', ({ state }) => state],
    ])
    return { json: { applied, pending, too_new: tooNew }, text }
  })
}

function up() {
  return withDatabase(
    async ({ db }) => {
      const applied = await migrate(db, { onRetry: sayOnce() })
      const text =
        applied.length === 0 ? 'nothing is pending\n' : applied.map((name) => `applied ${name}\n`).join('')
      return { json: { applied }, text }
    },
    { create: true },
  )
}

// Tell why nothing happens; the retries go on by themselves.
function sayOnce(): (name: string) => void {
  const said = new Set<string>()
  return (name) => {
    if (!said.has(name)) process.stderr.write(`${name} waits for locks that others hold\n`)
    said.add(name)
  }
}
