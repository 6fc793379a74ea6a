// The tables of a run as Markdown, and the file that keeps them.
import { readFile, writeFile } from 'node:fs/promises'
import { arch, cpus, platform, totalmem } from 'node:os'
import { join } from 'node:path'
import { percentile, rate, sum } from './load.ts'
import { median, type Sizes } from './removals.ts'
import type { Round, Row } from './rows.ts'

/** A row's figures on each target; the first is the one that matters, the second what it is held against. */
export interface Comparison {
  row: Row
  results: { target: string; rounds: Round[]; total: Round }[]
}

/** What the reader has to know of a run. */
export interface Run {
  seconds: number
  rounds: number
  connections: number
  logLevel: string
  postgres: string
  alg: string
  /** Tokens in the full database. */
  tokens: number | undefined
}

/** A heading and the machine below it. */
export function describeMachine(heading: string, postgres: string): string {
  const [cpu] = cpus()
  const cores = cpus().length
  const memory = `${Math.round(totalmem() / 2 ** 30)} GiB`
  return [
    heading,
    '',
    `- ${new Date().toISOString().slice(0, 10)} · ${cores} × ${cpu?.model ?? arch()}, ${memory}, ${platform()}` +
      ` · Node ${process.versions.node} · PostgreSQL ${postgres}, embedded, its defaults (fsync and synchronous_commit on)`,
  ].join('\n')
}

/** The words above the table: machine, versions, load. */
export function describeRun({ seconds, rounds, connections, logLevel, postgres, alg, tokens }: Run): string {
  const heading =
    tokens === undefined
      ? '## Valetkey and its ceiling'
      : `## Valetkey with ${tokens.toLocaleString('en')} live tokens and with none`
  return [
    describeMachine(heading, postgres),
    `- ${connections} connections, ${rounds} rounds of ${seconds} s on each server, taking turns, after a warm-up` +
      ` · one server process (\`WORKERS=1\`, \`LOG_LEVEL=${logLevel}\`, log to a file) · driver, servers and PostgreSQL share the machine`,
    tokens === undefined
      ? `- The ceiling is oidc-provider alone with its in-memory adapter, the same features, clients, signing (${alg}) and argon2id; ratio = Valetkey ÷ ceiling`
      : '- Two databases in one PostgreSQL, a server process on each; ratio = full ÷ empty',
  ].join('\n')
}

/** The report of a run. */
export function report(description: string, comparisons: Comparison[], sizes?: Sizes): string {
  const full = comparisons.some(({ results }) => results.some(({ target }) => target === 'full'))
  const lines = [description, `- ${others(comparisons)}`, '']
  if (full) {
    lines.push('| | empty /s | full /s | ratio | p50 ms | p99 ms | full p50 | full p99 | memory | full |')
  } else {
    lines.push(
      '| | Valetkey /s | ceiling /s | ratio | p50 ms | p99 ms | ceiling p50 | ceiling p99 | memory | ceiling |',
    )
  }
  lines.push('|---|--:|--:|--:|--:|--:|--:|--:|--:|--:|')
  for (const { row, results } of comparisons) {
    const [a, b] = results.map(figures)
    const ratio = a && b ? (full ? b.rate / a.rate : a.rate / b.rate) : undefined
    const spread = ratio === undefined ? '' : ` (${ratios(results, full)})`
    const cells = [
      row.name,
      perSecond(a?.rate),
      perSecond(b?.rate),
      ratio === undefined ? '–' : `**${ratio.toFixed(2)}**${spread}`,
      ms(a?.p50),
      ms(a?.p99),
      ms(b?.p50),
      ms(b?.p99),
      a ? `${a.mebibytes} MiB` : '–',
      b ? `${b.mebibytes} MiB` : '–',
    ]
    lines.push(`| ${cells.join(' | ')} |`)
  }
  lines.push('', 'In parentheses the lowest and highest ratio of a pair of rounds.', '')
  lines.push(
    'What limits each, with the share of one core that each process used while the clock ran, and what that is for each piece of work:',
  )
  for (const { row, results } of comparisons) {
    lines.push(`- **${row.name}**: ${row.limit} (${results.map(shares).join('; ')})`)
  }
  if (sizes) lines.push('', ...removals(sizes))
  return lines.join('\n')
}

/** Puts a report into bench/results.md, in place of the last one of its kind. */
export async function saveSection(kind: 'ceiling' | 'full' | 'console', text: string): Promise<void> {
  const file = join(import.meta.dirname, 'results.md')
  const before = await readFile(file, 'utf8').catch(() => '')
  const kept = (each: string) => (each === kind ? text : (sectionIn(before, each) ?? ''))
  const sections = ['ceiling', 'full', 'console']
    .filter((each) => kept(each))
    .map((each) => `<!-- ${each} -->\n${kept(each)}\n<!-- /${each} -->`)
  const top =
    '# Benchmark\n\nWritten by `npm run bench`, `npm run bench -- --rows 1000000` and `npm run bench -- --console`; do not edit.'
  await writeFile(file, `${[top, ...sections].join('\n\n')}\n`)
}

function sectionIn(text: string, kind: string): string | undefined {
  return new RegExp(`<!-- ${kind} -->\\n(.*?)\\n<!-- /${kind} -->`, 's').exec(text)?.[1]
}

/** How far the figures can be trusted: what else the machine did while the clock ran. */
function others(comparisons: Comparison[]): string {
  const totals = comparisons.flatMap(({ results }) => results.map(({ total }) => total))
  const used = totals.map(
    ({ used: u }) => u.machineSeconds - u.serverSeconds - u.postgresSeconds - u.driverSeconds,
  )
  const share = Math.max(0, sum(used) / sum(totals.map(({ seconds }) => seconds)))
  const text = `Other processes took ${Math.round(share * 100)} % of a core meanwhile`
  return share < QUIET ? text : `${text}: **the machine was busy; run this again when it is idle**`
}

/** Shares of a core; what the kernel does for our own sockets and files is among it. */
const QUIET = 0.3

function figures({ total }: Comparison['results'][number]) {
  return {
    rate: rate(total),
    p50: percentile(total, 0.5),
    p99: percentile(total, 0.99),
    mebibytes: Math.round(total.serverBytes / 2 ** 20),
  }
}

function ratios([a, b]: Comparison['results'], full: boolean): string {
  const pairs = a!.rounds.map((round, i) => {
    const ratio = rate(round) / rate(b!.rounds[i]!)
    return full ? 1 / ratio : ratio
  })
  return `${Math.min(...pairs).toFixed(2)}–${Math.max(...pairs).toFixed(2)}`
}

function shares({ target, total }: Comparison['results'][number]): string {
  const share = (seconds: number) => `${Math.round((seconds / total.seconds) * 100)} %`
  const { serverSeconds, postgresSeconds, driverSeconds } = total.used
  const postgres = target === 'ceiling' ? '' : `, PostgreSQL ${share(postgresSeconds)}`
  const each = duration(serverSeconds / total.count)
  return `${target}: server ${share(serverSeconds)} = ${each} each${postgres}, driver ${share(driverSeconds)}`
}

function removals({ many, oneMs, manyMs }: Sizes): string[] {
  const line = (tokens: number, times: number[]) =>
    `| ${tokens.toLocaleString('en')} | ${ms(median(times))} | ${ms(Math.min(...times))} | ${ms(Math.max(...times))} |`
  return [
    'Removing an app, from the last click to the answer, in turns, with no other load of the bench; its tokens were dead at once:',
    '',
    '| tokens of the app | median ms | min | max |',
    '|--:|--:|--:|--:|',
    line(1, oneMs),
    line(many, manyMs),
  ]
}

function duration(seconds: number): string {
  return seconds < 0.01 ? `${Math.round(seconds * 1e6)} µs` : `${Math.round(seconds * 1e3)} ms`
}

function perSecond(value?: number): string {
  if (value === undefined) return '–'
  return value < 100 ? value.toFixed(1) : Math.round(value).toLocaleString('en')
}

function ms(value?: number): string {
  if (value === undefined) return '–'
  return value < 100 ? value.toFixed(1) : Math.round(value).toLocaleString('en')
}
