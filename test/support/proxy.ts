// A TCP proxy that breaks on demand: it resets connections, goes silent, or cuts at one exact message of a conversation with PostgreSQL.
// The programs on both sides and their connections are real.
import { once } from 'node:events'
import { connect, createServer, type NetConnectOpts, type Socket } from 'node:net'

/** A proxy to one server. */
export interface TcpProxy {
  port: number
  /** Passes everything. What it held back while silent arrives late, as after an outage of the network. */
  pass(): void
  /** Resets all connections, and refuses new ones. */
  cut(): void
  /** Keeps connections and accepts new ones, but passes nothing: in both directions, or in one. */
  silence(what?: Silence): void
  /** Resets the present connections, one at random or all of them. New ones pass. */
  reset(which: 'one' | 'all'): void
  /** Arms a cut at one round trip to PostgreSQL, counted over all connections from now on. */
  cutAt(place: Place): Cut
  /** How many connections were attempted. */
  knocks(): number
  close(): Promise<void>
}

/** The direction that is silent, and the connections. */
export interface Silence {
  way?: 'both' | 'up' | 'down'
  /** Only for connections of this `application_name`. */
  name?: string
}

/** The place in a conversation where a connection breaks. */
export interface Place {
  /** The round trip, from 1. */
  trip: number
  /**
   * `asked`: the statement never arrives. `done`: it is executed, and nothing of the answer passes. `told`: all of the answer passes
   * except its end.
   */
  when: 'asked' | 'done' | 'told'
  /** Whether only this connection breaks, or all of them do and new ones are refused until {@link TcpProxy.pass}. */
  only: boolean
}

/** An armed cut. */
export interface Cut {
  happened(): boolean
  disarm(): void
}

/** The URL of a database by way of a proxy. */
export function throughProxy(databaseUrl: string, { port }: TcpProxy): string {
  const url = new URL(databaseUrl)
  url.search = ''
  url.hostname = '127.0.0.1'
  url.port = `${port}`
  return url.href
}

/** Where the PostgreSQL of a URL listens: a port, or the socket that `host` in its query names. */
export function placeOf(databaseUrl: string): NetConnectOpts {
  const url = new URL(databaseUrl)
  const dir = url.searchParams.get('host')
  if (!dir) return { host: url.hostname, port: Number(url.port || 5432) }
  return { path: `${dir}/.s.PGSQL.${url.searchParams.get('port') ?? 5432}` }
}

/** Starts a proxy to `target`. @param speaks the protocol; exact cuts need that of PostgreSQL */
export async function openProxy(
  target: NetConnectOpts,
  speaks: 'postgres' | 'anything' = 'anything',
): Promise<TcpProxy> {
  let state: 'open' | 'cut' | 'silent' = 'open'
  let silent: Silence = {}
  let knocks = 0
  let armed: (Place & { trips: number; happened: boolean }) | undefined
  const pairs = new Set<Pair>()

  const server = createServer({ allowHalfOpen: true, noDelay: true }, (near) => {
    knocks++
    near.on('error', () => {})
    if (state === 'cut') return near.resetAndDestroy()
    const pair = new Pair(near, connect({ ...target, allowHalfOpen: true }), speaks === 'postgres')
    pairs.add(pair)
    pair.ended = () => pairs.delete(pair)
    let hit: typeof armed
    pair.onTrip = () => {
      if (!armed || armed.happened || pair.name === LISTENING) return undefined
      if (++armed.trips !== armed.trip) return undefined
      hit = armed
      return hit.when
    }
    pair.onCut = () => {
      hit!.happened = true
      if (!hit!.only) state = 'cut'
      for (const each of hit!.only ? [pair] : [...pairs])
        if (each.name !== LISTENING) each.break(each === pair)
    }
    const holdIfMeant = () => {
      if (state === 'silent' && (!silent.name || silent.name === pair.name)) pair.hold(silent.way ?? 'both')
    }
    pair.onName = holdIfMeant
    holdIfMeant()
  }).listen(0, '127.0.0.1')
  await once(server, 'listening')

  return {
    port: (server.address() as { port: number }).port,
    pass() {
      state = 'open'
      for (const pair of pairs) pair.release()
    },
    cut() {
      state = 'cut'
      for (const pair of pairs) pair.break()
    },
    silence(what = {}) {
      state = 'silent'
      silent = what
      for (const pair of pairs) if (!what.name || pair.name === what.name) pair.hold(what.way ?? 'both')
    },
    reset(which) {
      const all = [...pairs]
      for (const pair of which === 'all' ? all : all.slice(0, 1)) pair.break()
    },
    cutAt(place) {
      const cut = { ...place, trips: 0, happened: false }
      armed = cut
      return {
        happened: () => cut.happened,
        disarm: () => {
          if (armed === cut) armed = undefined
        },
      }
    },
    knocks: () => knocks,
    async close() {
      for (const pair of pairs) pair.break()
      server.close()
      await once(server, 'close')
    },
  }
}

const LISTENING = 'valetkey listen'
const STARTUP = 196_608 // Protocol 3.0. What comes before a connection has started has no type.
const ENDS_A_REQUEST = new Set(['startup', 'other', 'Q', 'S', 'p', 'X'])

/** Two connected sockets. */
class Pair {
  /** PostgreSQL's `application_name`, once it is known. */
  name: string | undefined
  ended: () => void = () => {}
  onName: () => void = () => {}
  onTrip: () => Place['when'] | undefined = () => undefined
  onCut: () => void = () => {}
  readonly #near: Socket
  readonly #far: Socket
  readonly #held: { up: (() => void)[]; down: (() => void)[] } = { up: [], down: [] }
  #way: 'both' | 'up' | 'down' | undefined
  /** Messages of a request or an answer that is incomplete. */
  #asking: Buffer[] = []
  #answer: Buffer[] = []
  /** The start of a connection counts as a request: ReadyForQuery answers it, too. */
  #asked = 0
  #answered = 0
  #cutAt: { answer: number; when: Place['when'] } | undefined

  constructor(near: Socket, far: Socket, postgres: boolean) {
    this.#near = near
    this.#far = far
    const up = postgres ? messages((message, type) => this.#toServer(message, type), true) : undefined
    const down = postgres ? messages((message, type) => this.#toClient(message, type), false) : undefined
    near.on('data', (chunk) => this.#move('up', () => (up ? up(chunk) : far.write(chunk))))
    far.on('data', (chunk) => this.#move('down', () => (down ? down(chunk) : near.write(chunk))))
    near.on('end', () => this.#move('up', () => far.end()))
    far.on('end', () => this.#move('down', () => near.end()))
    // Pass a reset on as a reset. While silent, the other side gets it when the silence ends.
    for (const [way, socket, other] of [
      ['up', near, far],
      ['down', far, near],
    ] as const) {
      socket.on('error', () => {})
      socket.on('close', (failed) => {
        this.#move(way, () => (failed ? reset(other) : other.end()))
        if (near.destroyed && far.destroyed) this.ended()
      })
    }
  }

  hold(way: 'both' | 'up' | 'down'): void {
    this.#way = way
  }

  release(): void {
    this.#way = undefined
    for (const way of ['up', 'down'] as const) for (const move of this.#held[way].splice(0)) move()
  }

  /** @param gently whether what was written before still arrives */
  break(gently = false): void {
    this.#far.destroy()
    if (gently) this.#near.end(() => this.#near.destroy())
    else reset(this.#near)
    this.ended()
  }

  #move(way: 'up' | 'down', move: () => void): void {
    if (this.#way === 'both' || this.#way === way) this.#held[way].push(move)
    else move()
  }

  // Pass requests on as a whole: PostgreSQL keeps nothing of one before its Sync.
  #toServer(message: Buffer, type: string): void {
    this.#asking.push(message)
    if (!ENDS_A_REQUEST.has(type)) return
    const request = Buffer.concat(this.#asking.splice(0))
    if (type === 'startup') {
      this.#asked++
      this.name = /application_name\0([^\0]*)/.exec(message.toString('latin1'))?.[1]
      this.onName()
    }
    if (type === 'Q' || type === 'S') {
      this.#asked++
      const when = this.onTrip()
      if (when === 'asked') {
        this.onCut()
        return
      }
      if (when) this.#cutAt = { answer: this.#asked, when }
    }
    this.#far.write(request)
  }

  #toClient(message: Buffer, type: string): void {
    if (this.#cutAt?.answer === this.#answered + 1) {
      this.#answer.push(message)
      if (type !== 'Z') return
      if (this.#cutAt.when === 'told') this.#near.write(Buffer.concat(this.#answer.slice(0, -1)))
      this.onCut()
      return
    }
    if (type === 'Z') this.#answered++
    this.#near.write(message)
  }
}

// Only TCP has resets. The other end of a Unix socket sees the end of the stream.
function reset(socket: Socket): void {
  if (socket.remoteFamily) socket.resetAndDestroy()
  else socket.destroy()
}

/** Splits a stream into messages of PostgreSQL: a type of one letter, a length, a body. */
function messages(take: (message: Buffer, type: string) => void, fromClient: boolean) {
  let rest: Buffer = Buffer.alloc(0)
  let started = !fromClient
  return (chunk: Buffer): void => {
    rest = rest.length > 0 ? Buffer.concat([rest, chunk]) : chunk
    for (;;) {
      const head = started ? 1 : 0
      if (rest.length < head + 4) return
      const length = head + rest.readUInt32BE(head)
      if (rest.length < length) return
      const message = rest.subarray(0, length)
      rest = rest.subarray(length)
      const isStart = !started && length >= 8 && message.readUInt32BE(4) === STARTUP
      const type = started ? String.fromCharCode(message[0]!) : isStart ? 'startup' : 'other'
      if (isStart) started = true
      take(message, type)
    }
  }
}
