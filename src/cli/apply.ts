// clients apply and clients export: registrations as a file. registration-file.ts reads the file.
import { open, rm } from 'node:fs/promises'
import { styleText } from 'node:util'
import type { Command } from 'commander'
import { stringify } from 'yaml'
import type { Change } from '../base/audit-events.ts'
import { applyPlan, planApply, type Step, standingApps, type Wanted } from '../core/clients/apply.ts'
import { VersionConflict } from '../core/clients/update.ts'
import { confirm } from './ask.ts'
import { type Answer, answering, EXIT, leaf, printed, Refused } from './command.ts'
import { readRegistrationFile } from './registration-file.ts'
import { withStores } from './session.ts'
import { fields, printable } from './table.ts'

/** Adds the commands to `clients`. */
export function addApply(clients: Command): void {
  leaf(clients, 'apply', 'bring registrations to what a file says; shows the difference and asks first')
    .requiredOption('-f, --file <file>', 'YAML or JSON, e.g. what clients export writes')
    .option('--yes', 'do not ask')
    .option('--dry-run', `show the difference only; exit code ${EXIT.differences} when there is one`)
    .option('--prune', 'delete the apps that the file says are `absent: true`')
    .option('--secrets-to <file>', 'write new secrets to this new file, not to standard output')
    .action(answering(apply))

  leaf(clients, 'export', 'write all apps as a file for apply; never a secret').action(answering(exportApps))
}

interface Apply {
  file: string
  yes?: boolean
  dryRun?: boolean
  prune?: boolean
  secretsTo?: string
  json?: boolean
}

function apply({ file, yes, dryRun, prune, secretsTo, json }: Apply): Promise<Answer> {
  return withStores(async ({ db, by }) => {
    const { wanted, lineOf } = await readRegistrationFile(file)
    const { steps: all, mistakes } = await planApply(db, wanted)
    if (mistakes.length > 0) {
      const lines = mistakes
        .map(({ index, field, problem }) => ({ line: lineOf(index, field), text: `${field}: ${problem}` }))
        .sort((a, b) => a.line - b.line)
      throw new Refused(`${file}: ${lines.map(({ line, text }) => `line ${line}: ${text}`).join('; ')}`)
    }
    const steps = prune ? all : all.filter(({ action }) => action !== 'delete')
    const left = all.filter((step) => !steps.includes(step))
    const note = left.length > 0 ? `left: ${left.map(({ id }) => id).join(', ')}; --prune deletes` : undefined
    const summaries = steps.map(({ id, action, changes }) => ({ id, action, changes }))
    if (steps.length === 0) {
      return { json: { steps: summaries, applied: false, secrets: {} }, text: 'nothing to do\n', note }
    }
    const shown = steps.map((step) => difference(step, !json && process.stdout.isTTY)).join('')
    if (dryRun) {
      const answer = { json: { steps: summaries, applied: false, secrets: {} }, text: shown, note }
      return { ...answer, exitCode: EXIT.differences }
    }
    if (json) process.stderr.write(yes ? '' : shown)
    else await printed(shown)
    if (!yes && !(await confirm(`Do that (${counted(steps)})?`))) throw new Refused('nothing was changed')
    const secrets = await carryOut(secretsTo, (keep) => applyPlan(db, steps, by, keep))
    const values = secretsTo === undefined ? Object.fromEntries(secrets) : {}
    const lines = Object.entries(values).map(([id, secret]): [string, unknown] => [`secret of ${id}`, secret])
    return {
      json: { steps: summaries, applied: true, secrets: values },
      text: `done: ${counted(steps)}\n${lines.length > 0 ? fields(lines) : ''}`,
      note: [note, lines.length > 0 ? 'the secrets are not shown again' : undefined]
        .filter(Boolean)
        .join('\n'),
      ifLost: lines.length > 0 ? 'get others: valetkey clients rotate-secret' : undefined,
    }
  })
}

/** Writes new secrets to a file before the commit, and removes the file if the transaction is rolled back. */
async function carryOut(
  file: string | undefined,
  work: (keep: (secrets: Map<string, string>) => Promise<void>) => Promise<Map<string, string>>,
): Promise<Map<string, string>> {
  let made = false
  try {
    return await work(async (secrets) => {
      if (file === undefined || secrets.size === 0) return
      const handle = await open(file, 'wx', 0o600)
      made = true
      try {
        await handle.appendFile(`${JSON.stringify(Object.fromEntries(secrets), null, 2)}\n`)
        await handle.sync()
      } finally {
        await handle.close()
      }
    })
  } catch (error) {
    if (made) await rm(file!, { force: true })
    const { code, message } = error as NodeJS.ErrnoException
    if (error instanceof VersionConflict) {
      throw new Refused(`${message}; nothing was changed, run it again`, { cause: error })
    }
    if (code?.startsWith('E')) {
      throw new Refused(`nothing was changed: cannot write ${file}: ${message}`, { cause: error })
    }
    throw error
  }
}

function exportApps(): Promise<Answer> {
  return withStores(async ({ db }) => {
    const apps: Wanted[] = []
    for await (const app of standingApps(db)) apps.push(app)
    // In the order of ids, so that the files of two servers can be compared.
    apps.sort((a, b) => (a.id < b.id ? -1 : 1))
    return { json: { clients: apps }, text: stringify({ clients: apps }, { lineWidth: 0 }) }
  })
}

const SIGN = { create: '+', change: '~', delete: '-' } as const
const COLOUR = { create: 'green', change: 'yellow', delete: 'red' } as const

function difference(step: Step, isTerminal: boolean): string {
  const painted = (colour: 'green' | 'yellow' | 'red', text: string) =>
    // Node reads NO_COLOR from the environment.
    isTerminal ? styleText(colour, text, { stream: process.stdout }) : text
  const name = step.action === 'delete' ? ` (${printable(step.name)})` : ''
  const lines = step.changes.flatMap(({ field, from, to }: Change) => [
    ...(from === undefined ? [] : [painted('red', `    - ${field}: ${valueText(from)}`)]),
    painted('green', `    + ${field}: ${valueText(to)}`),
  ])
  return [painted(COLOUR[step.action], `${SIGN[step.action]} ${step.id}${name}`), ...lines, ''].join('\n')
}

function valueText(value: unknown): string {
  return printable(JSON.stringify(value))
}

function counted(steps: Step[]): string {
  const words = { create: 'to register', change: 'to change', delete: 'to delete' }
  return (['create', 'change', 'delete'] as const)
    .map((action) => ({ action, count: steps.filter((step) => step.action === action).length }))
    .filter(({ count }) => count > 0)
    .map(({ action, count }) => `${count} ${words[action]}`)
    .join(', ')
}
