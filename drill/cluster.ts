// What a drill breaks: a PostgreSQL of its own, and two nodes, each a process with a way of its own to the database.
import { readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { type Embedded, startEmbedded } from '../src/db/embedded.ts'
import { openPool, type Pool } from '../src/db/pool.ts'
import { openProxy, placeOf, type TcpProxy, throughProxy } from '../test/support/proxy.ts'
import { freePort, startServer, type TestServer } from '../test/support/server.ts'

/** What differs between nodes, or between two runs of one. */
export interface NodeOptions {
  env?: Record<string, string>
  /** The program; absent: ours as it is. */
  main?: string
}

interface LogLine {
  level?: number
  msg?: string
  err?: { message?: string }
}

const ERROR = 50

function parsed(line: string): unknown {
  try {
    return JSON.parse(line)
  } catch {
    return undefined
  }
}

/** A node, whether it runs at this moment or not. */
export class Node {
  readonly name: string
  readonly port: number
  readonly origin: string
  /** Its way to the database. */
  readonly proxy: TcpProxy
  /** How often its process ended when nobody had told it to. */
  deaths = 0
  /** What its processes said of errors, each once. */
  readonly complaints = new Set<string>()
  readonly #databaseUrl: string
  readonly #env: Record<string, string>
  #server: TestServer | undefined
  #expected = false

  constructor(name: string, port: number, proxy: TcpProxy, databaseUrl: string, env: Record<string, string>) {
    this.name = name
    this.port = port
    this.origin = `http://localhost:${port}`
    this.proxy = proxy
    this.#databaseUrl = throughProxy(databaseUrl, proxy)
    this.#env = { ...env, PORT: `${port}` }
  }

  /** Starts the process; resolves when it is ready. Should it end by itself, it is started again, as by an orchestrator. */
  start(options: NodeOptions = {}): Promise<void> {
    this.#expected = false
    return this.#run(options)
  }

  async #run(options: NodeOptions): Promise<void> {
    const { env, main } = options
    const server = await startServer({
      databaseUrl: this.#databaseUrl,
      port: this.port,
      env: { ...this.#env, ...env },
      main,
      // Tests wait longer for their database than a server does.
      isImpatient: true,
    })
    this.#server = server
    server.process.once('close', () => this.#listenTo(server))
    if (this.#expected) return this.kill()
    server.process.once('exit', () => {
      if (this.#expected) return
      this.deaths++
      void this.#startAgain(options)
    })
  }

  // Errors in the log, and what Node.js writes when it gives up.
  #listenTo(server: TestServer): void {
    for (const line of server.output().split('\n')) {
      const { level = 0, msg, err } = (parsed(line) ?? {}) as LogLine
      if (level >= ERROR) this.complaints.add(`${msg}: ${err?.message}`)
      else if (/^\w*Error\b|^error: /.test(line)) this.complaints.add(line)
    }
  }

  async #startAgain(options: NodeOptions): Promise<void> {
    while (!this.#expected) {
      const started = await this.#run(options).then(
        () => true,
        () => false,
      )
      if (started) return
      await sleep(200)
    }
  }

  /** SIGTERM, and waits for the end. */
  async stop(): Promise<void> {
    this.#expected = true
    await this.#server?.stop()
  }

  /** SIGKILL. */
  async kill(): Promise<void> {
    this.#expected = true
    await this.#server?.kill()
  }

  /** What its process has written. */
  output(): string {
    return this.#server?.output() ?? ''
  }

  get isRunning(): boolean {
    const { exitCode, signalCode } = this.#server?.process ?? { exitCode: 0, signalCode: null }
    return exitCode === null && signalCode === null
  }
}

/** A database and the nodes over it. */
export interface Cluster {
  issuer: string
  /** Straight to the database, by none of the ways that break. */
  db: Pool
  databaseUrl: string
  nodes: [Node, Node]
  /** The process of PostgreSQL. */
  postmaster(): Promise<number>
  stop(): Promise<void>
}

/** Starts PostgreSQL in `dir`; the nodes are the caller's to start. */
export async function openCluster(dir: string): Promise<Cluster> {
  await using opened = new AsyncDisposableStack()
  const embedded: Embedded = await startEmbedded(dir)
  opened.defer(() => embedded.stop())
  const db = openPool(embedded.url, 4)
  opened.defer(() => db.close())
  const ports = [await freePort(), await freePort()] as const
  const issuer = `http://localhost:${ports[0]}`
  const env = {
    ISSUER_URL: issuer,
    LOG_LEVEL: 'warn',
    TRUSTED_PROXIES: '127.0.0.1',
    DRAIN_SECONDS: '2',
  }
  const open = async (name: string, port: number): Promise<Node> => {
    const proxy = await openProxy(placeOf(embedded.url), 'postgres')
    opened.defer(() => proxy.close())
    const node = new Node(name, port, proxy, embedded.url, env)
    opened.defer(() => node.kill())
    return node
  }
  const nodes: [Node, Node] = [await open('one', ports[0]), await open('two', ports[1])]
  const running = opened.move()
  return {
    issuer,
    db,
    databaseUrl: embedded.url,
    nodes,
    async postmaster() {
      return Number((await readFile(join(dir, 'postgres/cluster/postmaster.pid'), 'utf8')).split('\n')[0])
    },
    stop: () => running.disposeAsync(),
  }
}
