// A real PostgreSQL for operators without one of their own: starts it, shares it between processes that use the same data directory,
// and stops it. cluster.ts owns the folder <data directory>/postgres. It does not know what is stored there.
import { type ChildProcess, spawnSync } from 'node:child_process'
import { open, readFile, realpath, rename, rm, stat } from 'node:fs/promises'
import { platform } from 'node:os'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import pg from 'pg'
import { makeDataDir } from '../base/data-dir.ts'
import { EmbeddedError, type Home, openHome, PORT, start } from './cluster.ts'
import { asDatabaseError, DatabaseUnavailable } from './errors.ts'

export { EmbeddedError }

/** A running embedded server. */
export interface Embedded {
  /** The address for any client of PostgreSQL: a Unix socket that only the owner of the data directory can reach. */
  url: string
  /** Gives up the use of the server. The last process that does so stops it, so that no process loses it while it uses it. */
  stop(): Promise<void>
}

/** Settings of postgresql.conf that only a throw-away database may loosen. Real data keeps the defaults. */
export interface EmbeddedOptions {
  settings?: Record<string, string>
}

/** Settings for throw-away data: no commit waits for the disk. */
export const THROW_AWAY = { fsync: 'off', synchronous_commit: 'off', full_page_writes: 'off' }

/**
 * Starts PostgreSQL in `<dataDir>/postgres`, or joins one that runs there already: because a server uses it while the command line
 * does, or because its server was killed. If PostgreSQL dies while it is used, it is started again at the same address.
 * @throws EmbeddedError when it cannot run here; its message is for a person
 */
export async function startEmbedded(dataDir: string, options: EmbeddedOptions = {}): Promise<Embedded> {
  await makeDataDir(dataDir)
  const home = await openHome(join(await realpath(dataDir), 'postgres'))
  const keeper = keep(home, options)
  await keeper.hold()
  return { url: home.url('valetkey'), stop: keeper.letGo }
}
const HOLD = 7_210_417_001 // The advisory lock that everyone who uses this server holds shared.
const START_SECONDS = 120
const STOP_SECONDS = 30
const MAX_LOG_BYTES = 10_000_000

/**
 * Holds a shared lock in the server for as long as we use it. The locks of a session end with its process, so a killed server
 * holds no lock, and the next start takes its database over and stops it in the end.
 */
function keep(home: Home, options: EmbeddedOptions) {
  let client: pg.Client | undefined
  let leaving = false
  let regained = Promise.resolve()

  async function hold(): Promise<void> {
    client = await connectOrStart(home, options)
    client.once('end', () => {
      if (!leaving) regained = regain()
    })
  }

  async function regain(): Promise<void> {
    while (!leaving) {
      await sleep(500, undefined, { ref: false })
      if (leaving) return
      const held = await hold().then(
        () => true,
        () => false,
      )
      if (held) return
    }
  }

  async function letGo(): Promise<void> {
    if (leaving) return
    leaving = true
    await regained
    const alone = `select pg_advisory_unlock_shared(${HOLD}) and pg_try_advisory_lock(${HOLD}) as last`
    const answer = await client?.query<{ last: boolean }>(alone).catch(() => undefined)
    if (answer?.rows[0]?.last) await stopPostmaster(home)
    await client?.end().catch(() => {})
  }

  return { hold, letGo }
}

async function connectOrStart(home: Home, options: EmbeddedOptions): Promise<pg.Client> {
  const deadline = Date.now() + START_SECONDS * 1000
  let server: ChildProcess | undefined
  for (let starts = 0; Date.now() < deadline; await sleep(50)) {
    const client = await connect(home)
    if (client) return client
    const coming = server && server.exitCode === null && server.signalCode === null
    if (coming || (await postmasterPid(home))) continue
    // After one failed start, try again: another process may have started the server and stopped it again by now.
    if (++starts > 3) break
    server = await spawnPostmaster(home, options)
  }
  const log = await readFile(home.log, 'utf8').catch(() => '')
  const end = log.trim().split('\n').slice(-5).join('\n')
  throw new EmbeddedError(`The embedded PostgreSQL does not start. The end of ${home.log}:\n${end}`)
}

/** A session that holds the shared lock; undefined while the server does not run yet, or shuts down. */
async function connect(home: Home): Promise<pg.Client | undefined> {
  const client = new pg.Client({
    connectionString: home.url('postgres'),
    application_name: 'valetkey holder',
    connectionTimeoutMillis: 10_000,
  })
  client.on('error', () => {})
  try {
    await client.connect()
    // This waits while another process stops the server, and fails when the server has stopped.
    await client.query(`select pg_advisory_lock_shared(${HOLD})`)
    await createDatabase(client)
    return client
  } catch (error) {
    await client.end().catch(() => {})
    if (asDatabaseError(error) instanceof DatabaseUnavailable) return undefined
    throw error
  }
}

async function createDatabase(client: pg.Client): Promise<void> {
  const { rowCount } = await client.query(`select from pg_database where datname = 'valetkey'`)
  if (rowCount) return
  // 42P04 and 23505: another start made it at the same moment.
  await client.query('create database valetkey').catch((error: { code?: string }) => {
    if (error.code !== '42P04' && error.code !== '23505') throw error
  })
}

async function spawnPostmaster(home: Home, { settings = {} }: EmbeddedOptions): Promise<ChildProcess> {
  const owner = await stat(home.cluster)
  const size = await stat(home.log).then(
    (log) => log.size,
    () => 0,
  )
  if (size > MAX_LOG_BYTES) await rename(home.log, `${home.log}.old`)
  const log = await open(home.log, 'a', 0o600)
  if (process.getuid?.() === 0) await log.chown(owner.uid, owner.gid)
  const all = {
    listen_addresses: '',
    unix_socket_directories: home.socketDir,
    unix_socket_permissions: '0700',
    max_connections: '400',
    // A failed statement or row may name a person, so log the message of the error only.
    log_min_error_statement: 'panic',
    log_error_verbosity: 'terse',
    log_checkpoints: 'off',
    ...settings,
  }
  const flags = Object.entries(all).flatMap(([name, value]) => ['-c', `${name}=${value}`])
  const args = ['-D', home.cluster, '-p', `${PORT}`, ...flags]
  const child = start('postgres', args, home.runAs, ['ignore', log.fd, log.fd])
  child.once('error', () => {})
  child.unref()
  await log.close()
  return child
}

/** Stops the server in fast mode: it rolls open transactions back and keeps everything that is committed. */
async function stopPostmaster(home: Home): Promise<void> {
  for (const signal of ['SIGINT', 'SIGQUIT'] as const) {
    const pid = await postmasterPid(home)
    if (pid) process.kill(pid, signal)
    const deadline = Date.now() + STOP_SECONDS * 1000
    while (Date.now() < deadline) {
      if (!(await postmasterPid(home))) return
      await sleep(20)
    }
  }
}

/** The process that serves this cluster. Delete the pid file that a crash left: its number may belong to another process now. */
async function postmasterPid(home: Home): Promise<number | undefined> {
  const file = join(home.cluster, 'postmaster.pid')
  const pid = Number((await readFile(file, 'utf8').catch(() => '')).split('\n')[0])
  if (!pid) return undefined
  const command =
    platform() === 'linux'
      ? await readFile(`/proc/${pid}/cmdline`, 'utf8').catch(() => '')
      : spawnSync('ps', ['-o', 'command=', '-p', `${pid}`], { encoding: 'utf8' }).stdout
  if (command.includes(home.cluster)) return pid
  await rm(file, { force: true })
  return undefined
}
