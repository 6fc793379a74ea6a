// npm run bench: Valetkey on a real PostgreSQL against oidc-provider in memory, or against itself with a full database.
// Starts everything, takes turns, writes the tables, and leaves nothing behind.
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { parseArgs } from 'node:util'
import { startEmbedded } from '../src/db/embedded.ts'
import { one, openPool, type Pool, sql } from '../src/db/pool.ts'
import { Unexpected } from './browser.ts'
import { consoleReport, FULL, fillConsole, SMALL, timePages } from './console.ts'
import { rate } from './load.ts'
import { removalsBySize, type Sizes } from './removals.ts'
import { type Comparison, describeMachine, describeRun, report, saveSection } from './report.ts'
import { allRounds, openSite, ROWS, type Round, type Row, type Site } from './rows.ts'
import { countTokens, createDatabase, fill, people, seedValetkey, settle } from './seed.ts'
import { floodReport, floods } from './strangers.ts'
import { postmaster, startCeiling, startValetkey, type Target } from './targets.ts'

const USAGE = `npm run bench -- [options]
  --rows N            compare an empty database with one that holds N live tokens, instead of with the ceiling
  --console           time the administrators' pages with 100,000 apps and a million grants instead
  --strangers         flood what strangers may call, and look at what the database keeps of it instead
  --only KEY          one row: ${ROWS.map(({ key }) => key).join(', ')}
  --seconds N         timed seconds of a round (3)
  --rounds N          rounds of each server, taking turns (3)
  --connections N     concurrent connections (16)
  --log-level LEVEL   of the server (info, its default)
  --quick             short rounds, for a look; figures are not to be believed
  --cpu-profile DIR   write a processor profile of the server there
Whole runs are written to bench/results.md; those with --only, --quick or --strangers are only printed.`

/** Things to put away, last one first, whatever happens. */
const cleanups: (() => Promise<unknown>)[] = []

async function main(): Promise<void> {
  const options = readOptions()
  const { connections } = options
  const dir = await mkdtemp(join(tmpdir(), 'valetkey-bench-'))
  cleanups.push(() => rm(dir, { recursive: true, force: true }))
  const embedded = await startEmbedded(dir)
  cleanups.push(() => embedded.stop())
  if (options.console) return timeConsole(embedded.url, dir, options)
  if (options.strangers) return floodAsStrangers(embedded.url, dir, options)

  const databases = [{ name: options.rows ? 'empty' : 'Valetkey', url: embedded.url }]
  if (options.rows) databases.push({ name: 'full', url: await createDatabase(embedded.url, 'valetkey_full') })
  const sites: Site[] = []
  let postgres = ''
  let tokens: number | undefined
  for (const { name, url } of databases) {
    const db = openPool(url, 2)
    cleanups.push(() => db.close())
    const target = await startValetkeyTarget(name, url, db, dir, options)
    sites.push(await openSite(target, connections, db))
    postgres = (await one<{ version: string }>(db, sql`select current_setting('server_version') as version`))
      .version
  }
  if (options.rows) {
    console.log(`Adding ${options.rows.toLocaleString('en')} live tokens …`)
    await fill(sites[1]!.db!, sites[1]!.target.clients, options.rows)
    tokens = await countTokens(sites[1]!.db!)
  } else {
    const ceiling = await startCeiling(sites[0]!.alg)
    cleanups.push(() => ceiling.stop())
    sites.push(await openSite(ceiling, connections))
  }
  cleanups.push(async () => {
    for (const { visitors } of sites) for (const { connection } of visitors) connection.close()
  })

  const comparisons: Comparison[] = []
  for (const row of ROWS.filter(({ key }) => !options.only || key === options.only)) {
    comparisons.push(await compare(row, sites, options))
  }
  let sizes: Sizes | undefined
  if (options.rows && (options.only ?? 'remove-app') === 'remove-app')
    sizes = await removalsBySize(sites[1]!, options.quick ? 1000 : 100_000)

  const text = report(describeRun({ ...options, postgres, tokens, alg: sites[0]!.alg }), comparisons, sizes)
  console.log(`\n${text}`)
  if (!options.only && !options.quick) {
    await saveSection(options.rows ? 'full' : 'ceiling', text)
    console.log('Written to bench/results.md.')
  }
}

async function timeConsole(url: string, dir: string, options: Options): Promise<void> {
  const db = openPool(url, 2)
  cleanups.push(() => db.close())
  const server = await startValetkey(url, dir, await postmaster(dir), {
    logLevel: options.logLevel,
    nodeOptions: [],
  })
  cleanups.push(() => server.stop())
  const size = options.quick ? SMALL : FULL
  console.log('Filling the database …')
  const pages = await fillConsole(db, size)
  const times = await timePages(db, `http://localhost:${server.port}`, pages)
  const { version } = await one<{ version: string }>(
    db,
    sql`select current_setting('server_version') as version`,
  )
  const text = consoleReport(describeMachine('## The administrators’ pages', version), size, times)
  console.log(`\n${text}`)
  if (!options.quick) {
    await saveSection('console', text)
    console.log('Written to bench/results.md.')
  }
}

async function floodAsStrangers(url: string, dir: string, options: Options): Promise<void> {
  const db = openPool(url, 2)
  cleanups.push(() => db.close())
  const { logLevel } = options
  const server = await startValetkey(url, dir, await postmaster(dir), { logLevel, nodeOptions: [] })
  cleanups.push(() => server.stop())
  const results = await floods(db, server.port, options)
  const { version } = await one<{ version: string }>(
    db,
    sql`select current_setting('server_version') as version`,
  )
  console.log(`\n${floodReport(describeMachine('## What strangers leave behind', version), results)}`)
}

interface Options {
  rows: number | undefined
  console: boolean
  strangers: boolean
  only: string | undefined
  seconds: number
  rounds: number
  connections: number
  logLevel: string
  quick: boolean
  cpuProfile: string | undefined
}

function readOptions(): Options {
  const { values } = parseArgs({
    options: {
      rows: { type: 'string' },
      console: { type: 'boolean', default: false },
      strangers: { type: 'boolean', default: false },
      only: { type: 'string' },
      seconds: { type: 'string' },
      rounds: { type: 'string' },
      connections: { type: 'string' },
      'log-level': { type: 'string', default: 'info' },
      quick: { type: 'boolean', default: false },
      'cpu-profile': { type: 'string' },
      help: { type: 'boolean', short: 'h' },
    },
  })
  if (values.help) {
    console.log(USAGE)
    process.exit(0)
  }
  const { quick, only } = values
  if (only !== undefined && !ROWS.some(({ key }) => key === only))
    throw new TypeError(`there is no row ${only}`)
  return {
    only,
    quick,
    console: values.console,
    strangers: values.strangers,
    rows: values.rows === undefined ? undefined : positive('rows', values.rows),
    seconds: positive('seconds', values.seconds ?? (quick ? '0.3' : '3')),
    rounds: positive('rounds', values.rounds ?? (quick ? '1' : '3')),
    connections: positive('connections', values.connections ?? '16'),
    logLevel: values['log-level'],
    cpuProfile: values['cpu-profile'],
  }
}

function positive(name: string, text: string): number {
  const number = Number(text)
  if (!(number > 0)) throw new TypeError(`--${name} must be a positive number`)
  return number
}

async function startValetkeyTarget(
  name: string,
  url: string,
  db: Pool,
  dir: string,
  { logLevel, cpuProfile }: Options,
): Promise<Target> {
  const nodeOptions = cpuProfile ? ['--cpu-prof', `--cpu-prof-dir=${cpuProfile}`] : []
  const server = await startValetkey(url, dir, await postmaster(dir), { logLevel, nodeOptions })
  cleanups.push(() => server.stop())
  const clients = await seedValetkey(db)
  await settle(db)
  return { ...server, name, clients, nextPerson: people() }
}

/** Measures a row on each site in turn, so that whatever else the machine does hits all of them. */
async function compare(row: Row, sites: Site[], { rounds, seconds }: Options): Promise<Comparison> {
  const able = sites.filter(({ db }) => db || !row.ownOnly)
  const done = able.map((): Round[] => [])
  for (const site of able) await row.round(site, seconds / 3)
  for (let i = 0; i < rounds; i++) {
    for (const [j, site] of able.entries()) done[j]!.push(await row.round(site, seconds))
  }
  const results = able.map(({ target }, i) => ({
    target: target.name,
    rounds: done[i]!,
    total: allRounds(done[i]!),
  }))
  const figures = results.map(({ target, total }) => `${target} ${rate(total).toFixed(0)}/s`)
  console.log(`${row.name}: ${figures.join(', ')}`)
  return { row, results }
}

async function cleanUp(): Promise<void> {
  while (cleanups.length > 0) {
    await cleanups.pop()!().catch((error: Error) => console.error(`cleaning up: ${error.message}`))
  }
}

let interrupted = false
for (const signal of ['SIGINT', 'SIGTERM'] as const) {
  // More than one may come: from the terminal, and from npm, which passes it on.
  process.on(signal, () => {
    if (interrupted) return
    interrupted = true
    void cleanUp().then(() => process.exit(130))
  })
}

try {
  await main()
} catch (error) {
  const expected = error instanceof Unexpected || error instanceof TypeError
  if (!interrupted) console.error(expected ? `The bench stops: ${error.message}` : error)
  process.exitCode = 1
} finally {
  if (!interrupted) await cleanUp()
}
