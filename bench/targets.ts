// The servers that are measured, each a process of its own, and what they use of the machine.
import { type ChildProcess, spawn } from 'node:child_process'
import { randomBytes } from 'node:crypto'
import { openSync, readdirSync, readFileSync } from 'node:fs'
import { readFile } from 'node:fs/promises'
import { createServer } from 'node:net'
import { cpus } from 'node:os'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { fileURLToPath } from 'node:url'
import { sum } from './load.ts'
import { type Clients, ceilingSetUp, type SigningAlg } from './plan.ts'

/** A running server. */
export interface Target {
  name: string
  port: number
  clients: Clients
  /** E-mail address of somebody who has not signed in yet. */
  nextPerson(): string
  /** What it has used since it started. */
  usage(): Usage
  stop(): Promise<void>
}

/** Seconds of processor time, and bytes of memory now. Zero where the system does not tell. */
export interface Usage {
  serverSeconds: number
  postgresSeconds: number
  driverSeconds: number
  /** Of the whole machine, whoever used it. */
  machineSeconds: number
  serverBytes: number
}

// A busy machine takes its time; nothing is measured meanwhile.
const START_MS = 180_000

const ROOT = join(import.meta.dirname, '..')

/** Starts the ceiling. @param alg what it signs ID tokens with: the same as Valetkey. */
export async function startCeiling(alg: SigningAlg): Promise<Target> {
  const setUp = await ceilingSetUp(await freePort(), alg)
  const child = spawn(process.execPath, [fileURLToPath(import.meta.resolve('./ceiling.ts'))], {
    cwd: ROOT,
    stdio: ['pipe', 'ignore', 'pipe'],
    env: { PATH: process.env.PATH, NODE_ENV: 'production' },
  })
  let complaint = ''
  child.stderr!.setEncoding('utf8').on('data', (text: string) => {
    complaint = (complaint + text).slice(-2000)
  })
  child.stdin!.end(JSON.stringify(setUp))
  await answers(child, setUp.port, '/.well-known/openid-configuration', () => complaint)
  let people = 0
  return {
    name: 'ceiling',
    port: setUp.port,
    clients: setUp,
    nextPerson: () => `person-${++people}@bench.example`,
    usage: () => usage(child),
    stop: () => stop(child),
  }
}

/** A server that runs; its people and clients are the seed's matter. */
export interface Server {
  port: number
  usage(): Usage
  stop(): Promise<void>
}

/** Starts Valetkey on a database, as in production but for the issuer. @param dir for its log. @param postgres process id. */
export async function startValetkey(
  databaseUrl: string,
  dir: string,
  postgres: number | undefined,
  extra: { logLevel: string; nodeOptions: string[] },
): Promise<Server> {
  const port = await freePort()
  const logFile = join(dir, `valetkey-${port}.log`)
  const log = openSync(logFile, 'a', 0o600)
  const child = spawn(process.execPath, [...extra.nodeOptions, 'src/main.ts'], {
    cwd: ROOT,
    stdio: ['ignore', log, log],
    env: {
      PATH: process.env.PATH,
      NODE_ENV: 'production',
      ISSUER_URL: `http://localhost:${port}`,
      PORT: `${port}`,
      DATABASE_URL: databaseUrl,
      DATA_DIR: dir,
      SECRET_KEYS: randomBytes(32).toString('base64url'),
      WORKERS: '1',
      LOG_LEVEL: extra.logLevel,
      // The driver plays many people; each brings an address, as a proxy would tell it.
      TRUSTED_PROXIES: '127.0.0.1',
    },
  })
  await answers(child, port, '/readyz', () => readFileSync(logFile, 'utf8').slice(-2000))
  return { port, usage: () => usage(child, postgres), stop: () => stop(child) }
}

/** The process that serves the embedded database of a data directory. */
export async function postmaster(dataDir: string): Promise<number | undefined> {
  const file = await readFile(join(dataDir, 'postgres', 'cluster', 'postmaster.pid'), 'utf8').catch(() => '')
  return Number(file.split('\n')[0]) || undefined
}

async function answers(child: ChildProcess, port: number, path: string, said: () => string): Promise<void> {
  const deadline = performance.now() + START_MS
  for (;;) {
    const answer = await fetch(`http://127.0.0.1:${port}${path}`).catch(() => undefined)
    if (answer?.ok) return
    const ended = child.exitCode !== null || child.signalCode !== null
    if (ended || performance.now() > deadline) {
      child.kill('SIGKILL')
      throw new Error(`a server ${ended ? 'ended at once' : 'does not become ready'}:\n${said()}`)
    }
    await sleep(50)
  }
}

async function stop(child: ChildProcess): Promise<void> {
  if (child.exitCode !== null || child.signalCode !== null) return
  const ended = new Promise((resolve) => child.once('exit', resolve))
  child.kill('SIGTERM')
  const timer = setTimeout(() => child.kill('SIGKILL'), 25_000)
  await ended
  clearTimeout(timer)
}

function usage(child: ChildProcess, postgres?: number): Usage {
  const { user, system } = process.cpuUsage()
  const server = processInfo(child.pid!)
  return {
    serverSeconds: server?.seconds ?? 0,
    serverBytes: server?.bytes ?? 0,
    driverSeconds: (user + system) / 1e6,
    machineSeconds: sum(cpus().map(({ times }) => (times.user + times.nice + times.sys + times.irq) / 1000)),
    postgresSeconds: postgres && server ? sum(backends(postgres).map(({ seconds }) => seconds)) : 0,
  }
}

const TICKS = 100 // USER_HZ, the same on every Linux.
const PAGE = 4096

/** From /proc; undefined where there is none. */
function processInfo(pid: number): { parent: number; seconds: number; bytes: number } | undefined {
  try {
    const stat = readFileSync(`/proc/${pid}/stat`, 'utf8')
    // The second field is the program's name in parentheses and may hold spaces.
    const fields = stat
      .slice(stat.lastIndexOf(')') + 2)
      .split(' ')
      .map(Number)
    return { parent: fields[1]!, seconds: (fields[11]! + fields[12]!) / TICKS, bytes: fields[21]! * PAGE }
  } catch {
    return undefined
  }
}

function backends(postmasterPid: number): { seconds: number }[] {
  return readdirSync('/proc')
    .filter((name) => /^\d+$/.test(name))
    .map((name) => processInfo(Number(name)))
    .filter((info) => info?.parent === postmasterPid)
    .map((info) => info!)
}

function freePort(): Promise<number> {
  return new Promise((resolve, reject) => {
    const server = createServer().once('error', reject)
    server.listen(0, '127.0.0.1', () => {
      const { port } = server.address() as { port: number }
      server.close(() => resolve(port))
    })
  })
}
