// The figures of a run as a page. It starts nothing.
import { execFileSync } from 'node:child_process'
import { writeFile } from 'node:fs/promises'
import { cpus, totalmem } from 'node:os'
import { join } from 'node:path'
import type { Figures } from './drill.ts'

// What every answer and every recovery may take.
const LIMIT_MS = 5_000

const HEAD = `# Drills

Written by \`npm run drill\`; do not edit.

Two nodes, each a process with a way of its own to one PostgreSQL, under load: apps that sign people in, refresh, look tokens up
and revoke them, people who allow apps and remove them, programs, and an administrator who registers and suspends clients. Whoever
is told 503 sends the same request again, to either node. A ledger keeps what was acknowledged and is held against the server at
the end.`

const COLUMNS = `- **faults**: how often something was broken. **requests**: all tries. **503**: told to come back. **no answer**: the connection to a node
  broke, so that the client cannot know. **5xx**: other failures.
- **acknowledged**: tokens, used up codes and refresh tokens, and clients in the ledger.
- **lost**: acknowledged, and not there. **doubled**: good for one use, and used twice. **alive again**: revoked, removed or suspended,
  and alive at some node.
- **refused after 503**: told 503, and the same request again was refused. **refused**: refused although no fault had touched it.
- **died**: node processes that ended by themselves.
- **longest answer**: of all requests that a fault touched, with those that were answered 503.
- **recovery**: from the end of a fault to the last answer that still shows it, and until all nodes are ready; the longest of all.`

/** The whole page. @param more what else was found, and what cannot be run here */
export function report(all: Figures[], postgres: string, more: string[]): string {
  const head =
    '| | faults | requests | 503 | no answer | 5xx | acknowledged | lost | doubled | alive again | refused after 503 | refused | died | longest answer | recovery |'
  const rule = `|---|${'--:|'.repeat(14)}`
  const lines = [HEAD, '', describe(postgres), '', head, rule, ...all.map(row), '', COLUMNS, '']
  for (const { scenario, othersLongest, othersUnavailable, notes } of all) {
    lines.push(`- **${scenario.name}**: ${scenario.about}.`)
    if (othersLongest !== undefined) {
      lines.push(
        `  Requests that did not need the row took at most ${seconds(othersLongest)}; ${othersUnavailable} of them were answered 503.`,
      )
    }
    for (const note of new Set(notes)) lines.push(`  ${note}.`)
  }
  for (const each of more) lines.push(`- ${each}`)
  return `${lines.join('\n')}\n`
}

/** Puts the page where it belongs. */
export async function save(page: string): Promise<void> {
  await writeFile(join(import.meta.dirname, '../docs/drills.md'), page)
}

/** What a scenario did that it may not do, one line each. */
export function breachesOf({
  scenario,
  breaches,
  errors,
  deaths,
  longest,
  slowest,
  recovery,
  ...rest
}: Figures): string[] {
  const found = Object.entries(breaches).flatMap(([kind, cases]: [string, string[]]) =>
    cases.length > 0 ? [`${cases.length} ${kind}: ${cases.slice(0, 5).join('; ')}`] : [],
  )
  if (errors > 0) found.push(`${errors} answers of 5xx that were not 503`)
  if (deaths > 0) found.push(`${deaths} nodes died`)
  if (longest > LIMIT_MS) found.push(`an answer took ${seconds(longest)} (${slowest})`)
  if (recovery > LIMIT_MS) found.push(`recovery took ${seconds(recovery)}`)
  const failed = rest.unavailable + rest.broken
  if (scenario.choice === 'ready' && failed > 0)
    found.push(`${failed} requests failed: ${rest.failures.join('; ')}`)
  if (rest.othersUnavailable) found.push(`${rest.othersUnavailable} requests of others were answered 503`)
  return found.map((text) => `${scenario.name}: ${text}`)
}

function row(figures: Figures): string {
  const { scenario, faults, requests, unavailable, broken, errors, acknowledged, breaches, deaths } = figures
  const { lost, doubled, alive, changed, wrong } = breaches
  const counts = [faults, requests, unavailable, broken, errors, acknowledged]
  const none = [lost.length, doubled.length, alive.length, changed.length, wrong.length, deaths]
  const times = [seconds(figures.longest), seconds(figures.recovery)]
  const cells = [scenario.name, ...[...counts, ...none].map((n) => n.toLocaleString('en')), ...times]
  return `| ${cells.join(' | ')} |`
}

function describe(postgres: string): string {
  const commit = execFileSync('git', ['-C', import.meta.dirname, 'log', '-1', '--format=%h'], {
    encoding: 'utf8',
  })
  const date = new Date().toISOString().slice(0, 10)
  const memory = Math.round(totalmem() / 2 ** 30)
  return `${date}, commit ${commit.trim()}, Node.js ${process.versions.node}, PostgreSQL ${postgres}, ${cpus().length} cores, ${memory} GiB of memory, ${process.platform} on ${process.arch}.`
}

function seconds(ms: number): string {
  return `${(ms / 1000).toFixed(ms < 100 ? 2 : 1)} s`
}
