// npm run drill: breaks what a server stands on while it is used, counts what was lost, and writes the figures down.
import { parseArgs } from 'node:util'
import { type Figures, runScenario, type Scenario } from './drill.ts'
import { ABOUT, everyPlace } from './every-place.ts'
import { breachesOf, report, save } from './report.ts'
import { clock } from './scenarios/clock.ts'
import { cut } from './scenarios/cut.ts'
import { fullDisk } from './scenarios/full-disk.ts'
import { killNode } from './scenarios/kill-node.ts'
import { killPostgres } from './scenarios/kill-postgres.ts'
import { lock } from './scenarios/lock.ts'
import { readOnly } from './scenarios/read-only.ts'
import { rollingRestart } from './scenarios/rolling-restart.ts'
import { silence } from './scenarios/silence.ts'
import { terminate } from './scenarios/terminate.ts'
import { upgrade } from './scenarios/upgrade.ts'

const NAMES = [
  killNode,
  killPostgres,
  terminate,
  cut,
  silence,
  lock,
  readOnly,
  fullDisk,
  clock,
  rollingRestart,
].map(({ name }) => name)

const EVERY_PLACE = 'every-place'

const USAGE = `npm run drill -- [options] [scenario …]
  scenarios     ${[...NAMES, 'upgrade', EVERY_PLACE].join(', ')}
  --from REF    what the upgrade starts from (the last tag, or the state before the newest migration)
  --quick       few and short faults, for a look
Whole runs are written to docs/drills.md; those of some scenarios or with --quick are only printed. The full disk needs to be
allowed to mount a file system: root is.`

async function main(): Promise<number> {
  const { values, positionals } = parseArgs({
    allowPositionals: true,
    options: { quick: { type: 'boolean' }, from: { type: 'string' }, help: { type: 'boolean' } },
  })
  const all: Scenario[] = [
    killNode,
    killPostgres,
    terminate,
    cut,
    silence,
    lock,
    readOnly,
    fullDisk,
    clock,
    rollingRestart,
    upgrade(values.from),
  ]
  const names = [...all.map(({ name }) => name), EVERY_PLACE]
  const unknown = positionals.filter((name) => !names.includes(name))
  if (values.help || unknown.length > 0) {
    console.log(USAGE)
    return values.help ? 0 : 2
  }
  const chosen = all.filter(({ name }) => positionals.length === 0 || positionals.includes(name))
  const figures: Figures[] = []
  const skipped: string[] = []
  for (const scenario of chosen) {
    const reason = await scenario.cannot?.()
    if (reason) {
      skipped.push(`${scenario.name}, as ${reason}`)
      continue
    }
    console.log(`${scenario.name}: ${scenario.about}`)
    const found = await runScenario(scenario, values.quick === true)
    figures.push(found)
    for (const breach of breachesOf(found)) console.log(`  ✗ ${breach}`)
    for (const complaint of found.complaints.slice(0, 10)) console.log(`    ${complaint}`)
    console.log(`  ${found.requests} requests in ${Math.round(found.seconds)} s`)
  }
  const notes = skipped.map((each) => `Not run: ${each}.`)
  const isWhole = positionals.length === 0 && !values.quick
  const pageNow = () => report(figures, figures[0]?.postgres ?? '–', notes)
  let hasFailed = false
  // What was found so far is kept: the rest takes as long again.
  if (isWhole) await save(pageNow())
  if (isWhole || positionals.includes(EVERY_PLACE)) {
    console.log(`${EVERY_PLACE}: ${ABOUT}`)
    const { passed, failed, output } = await everyPlace()
    hasFailed = failed > 0
    if (hasFailed) console.log(output)
    notes.unshift(`**${EVERY_PLACE}**: ${ABOUT}. ${passed} cases held, ${failed} did not.`)
  }
  const page = pageNow()
  console.log(`\n${page}`)
  if (isWhole) await save(page)
  return hasFailed || figures.some((each) => breachesOf(each).length > 0) ? 1 : 0
}

process.exit(await main())
