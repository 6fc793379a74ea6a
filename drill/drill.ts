// One scenario from start to end: a cluster under load, faults with a beginning and an end, and the figures of what came of it.
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import pg from 'pg'
import { one, sql } from '../src/db/pool.ts'
import { call, send } from '../test/support/attack.ts'
import { type Cluster, type NodeOptions, openCluster } from './cluster.ts'
import { type Answer, type Breaches, Ledger } from './ledger.ts'
import { type Cast, type Choice, castFor, type Load, startLoad } from './load.ts'

/** Something that breaks. */
export interface Scenario {
  name: string
  /** For the report: what is broken, and how often or for how long. */
  about: string
  /** Why it cannot be run here. */
  cannot?(): Promise<string | undefined>
  /** How clients find a node. */
  choice?: Choice
  /** What the nodes are started with. */
  nodes?(): Promise<[NodeOptions, NodeOptions]>
  /** Where PostgreSQL's files are; absent: a folder for temporary files. */
  place?(): Promise<{ dir: string; remove(): Promise<void> }>
  /** A folder with the version that serves at first; absent: this one. */
  version?(): Promise<{ dir: string; remove(): Promise<void> }>
  /** Whether an answer was one that the fault may delay; absent: all of them. */
  mayWait?(answer: Answer): boolean
  run(drill: Drill): Promise<void>
}

/** What a scenario has in its hands. */
export interface Drill {
  cluster: Cluster
  load: Load
  cast: Cast
  /** Short, for a look. */
  quick: boolean
  /** Breaks something: the fault lasts while `work` runs. Returns when everything works again. */
  fault(work: () => Promise<void>): Promise<void>
  /** Something to be told in the report. */
  note(text: string): void
}

/** The figures of a scenario. */
export interface Figures {
  scenario: Scenario
  faults: number
  requests: number
  acknowledged: number
  unavailable: number
  broken: number
  /** Who was told 503 or nothing, and on what; the first few. */
  failures: string[]
  errors: number
  breaches: Breaches
  /** Nodes that ended by themselves. */
  deaths: number
  /** Milliseconds of the longest answer that a fault touched, by whoever might wait and by the others. */
  longest: number
  /** Who waited for it, and for what. */
  slowest: string
  othersLongest: number | undefined
  othersUnavailable: number | undefined
  /** Milliseconds from the end of a fault to the last answer that still showed it, or until all nodes were ready. */
  recovery: number
  seconds: number
  /** The version of PostgreSQL. */
  postgres: string
  notes: string[]
  /** What the nodes said of errors. */
  complaints: string[]
}

interface Window {
  began: number
  ended: number
  readyAt: number
}

const OURS = join(import.meta.dirname, '..')
const WARM_UP_MS = 2_000
const AFTERWARDS_MS = 1_000
const RECOVERY_MS = 30_000

/** Runs a scenario in a cluster of its own. */
export async function runScenario(scenario: Scenario, quick: boolean): Promise<Figures> {
  const started = performance.now()
  await using used = new AsyncDisposableStack()
  const place = (await scenario.place?.()) ?? (await temporary())
  used.defer(() => place.remove())
  const cluster = await openCluster(place.dir)
  used.defer(() => cluster.stop())
  const version = await scenario.version?.()
  used.defer(async () => version?.remove())
  const cast = await castFor(cluster.db, version?.dir ?? OURS)
  const options = (await scenario.nodes?.()) ?? [{}, {}]
  const main = version && join(version.dir, 'src/main.ts')
  await Promise.all(cluster.nodes.map((node, i) => node.start({ main, ...options[i] })))

  const ledger = new Ledger()
  const load = await startLoad(cast, cluster.issuer, cluster.nodes, ledger, scenario.choice)
  const windows: Window[] = []
  const notes: string[] = []
  const drill: Drill = {
    cluster,
    load,
    cast,
    quick,
    async fault(work) {
      const began = performance.now()
      await work()
      const ended = performance.now()
      windows.push({ began, ended, readyAt: await settled(cluster, load) })
      await sleep(AFTERWARDS_MS)
    },
    note: (text) => void notes.push(text),
  }
  await sleep(WARM_UP_MS)
  try {
    await scenario.run(drill)
  } finally {
    await load.stop()
  }
  await ledger.check(
    cluster.nodes.map(({ origin }) => origin),
    finder(cast),
  )
  await Promise.all(cluster.nodes.map((node) => node.stop()))
  return {
    scenario,
    faults: windows.length,
    ...figuresOf(ledger.answers, windows, scenario),
    acknowledged: ledger.acknowledged(),
    breaches: ledger.breaches,
    deaths: cluster.nodes.reduce((sum, { deaths }) => sum + deaths, 0),
    seconds: (performance.now() - started) / 1000,
    postgres: (await one<{ version: string }>(cluster.db, VERSION)).version,
    notes,
    complaints: cluster.nodes.flatMap(({ name, complaints }) =>
      [...complaints].map((text) => `node ${name}: ${text}`),
    ),
  }
}

const VERSION = sql`select current_setting('server_version') as version`

/** Waits until the database that a fault was about takes writes again, asked without any node. */
export async function untilWritable({ databaseUrl }: Cluster): Promise<void> {
  const deadline = performance.now() + 120_000
  while (performance.now() < deadline) {
    const client = new pg.Client({ connectionString: databaseUrl, connectionTimeoutMillis: 1_000 })
    client.on('error', () => {})
    try {
      await client.connect()
      await client.query('create temporary table drill_probe as select 1')
      return
    } catch {
      await sleep(20)
    } finally {
      client.end().catch(() => {})
    }
  }
  throw new Error('PostgreSQL did not come back within two minutes')
}

async function temporary(): Promise<{ dir: string; remove(): Promise<void> }> {
  const dir = await mkdtemp(join(tmpdir(), 'valetkey-drill-'))
  return { dir, remove: () => rm(dir, { recursive: true, force: true }) }
}

/** Waits until every node is ready and has served somebody again. @returns when that was */
async function settled({ nodes }: Cluster, load: Load): Promise<number> {
  const before = nodes.map(({ name }) => load.successes(name))
  const deadline = performance.now() + RECOVERY_MS
  let readyAt = Number.NaN
  while (performance.now() < deadline) {
    const ready = await Promise.all(
      nodes.map(({ origin, isRunning }) =>
        isRunning
          ? send('GET', origin, '/readyz').then(
              ({ status }) => status === 200,
              () => false,
            )
          : false,
      ),
    )
    if (!ready.every(Boolean)) readyAt = Number.NaN
    else if (Number.isNaN(readyAt)) readyAt = performance.now()
    const served = nodes.every(({ name }, i) => load.successes(name) > before[i]!)
    if (!Number.isNaN(readyAt) && served) return readyAt
    await sleep(50)
  }
  return performance.now()
}

/** What a client is, as the Admin API of a node says. */
function finder({ office }: Cast): (node: string, id: string) => Promise<string> {
  let token: Promise<string> | undefined
  const tokenFrom = async (node: string): Promise<string> => {
    const form = { grant_type: 'client_credentials', scope: 'clients:read' }
    return String((await call(node, '/token', office, form)).body.access_token)
  }
  return async (node, id) => {
    token ??= tokenFrom(node)
    const headers = { authorization: `Bearer ${await token}` }
    const { status, text } = await send('GET', node, `/api/v1/clients/${id}`, { headers })
    if (status === 404) return 'none'
    if (status !== 200) throw new Error(`GET /api/v1/clients/… answered ${status}`)
    return JSON.parse(text).suspended_at ? 'suspended' : 'active'
  }
}

function figuresOf(answers: Answer[], windows: Window[], { mayWait = () => true }: Scenario) {
  const count = (outcome: Answer['outcome'], of = answers) =>
    of.filter((answer) => answer.outcome === outcome).length
  const took = (of: Answer[]) => of.reduce((most, { began, ended }) => Math.max(most, ended - began), 0)
  const touched = answers.filter(({ began, ended }) =>
    windows.some((window) => began < window.ended && ended > window.began),
  )
  const waiting = touched.filter(mayWait)
  const others = touched.filter((answer) => !mayWait(answer))
  const slowest = waiting.find(({ began, ended }) => ended - began === took(waiting))
  const recoveries = windows.map((window, i) => {
    const next = windows[i + 1]?.began ?? Number.POSITIVE_INFINITY
    const shows = answers
      .filter(({ outcome, ended }) => outcome !== 'answered' && ended > window.ended && ended < next)
      .map(({ ended }) => ended)
    return Math.max(0, window.readyAt - window.ended, ...shows.map((ended) => ended - window.ended))
  })
  return {
    requests: answers.length,
    unavailable: count('unavailable'),
    broken: count('broken'),
    failures: answers
      .filter(({ outcome }) => outcome === 'broken' || outcome === 'unavailable')
      .slice(0, 5)
      .map(({ who, what, outcome }) => `${who}, ${what}, ${outcome}`),
    errors: count('error'),
    longest: took(waiting),
    slowest: slowest ? `${slowest.who}, ${slowest.what}, ${slowest.outcome}` : '',
    othersLongest: others.length > 0 ? took(others) : undefined,
    othersUnavailable: others.length > 0 ? count('unavailable', others) : undefined,
    recovery: Math.max(0, ...recoveries),
  }
}
