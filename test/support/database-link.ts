// A TCP link to Postgres that breaks on demand: cut, silent, or without announcements.
import { once } from 'node:events'
import { connect, createServer, type Server, type Socket } from 'node:net'

/** A link to Postgres that breaks on demand. */
export interface DatabaseLink {
  url: string
  open(): void
  /** Breaks all connections, and refuses new ones. */
  cut(): void
  /** Keeps connections and accepts new ones, but passes nothing. */
  silence(): void
  /** Passes everything except announcements, as some poolers do. */
  dropAnnouncements(): void
  /** Passes nothing more on the present listening connections. All others work, new ones too. */
  silenceListeners(): void
  /** How many connections were attempted. */
  attempts(): number
  /** How many of them are open. */
  openConnections(): number
  /** Whether announcements arrive over a connection. */
  listening(): boolean
  close(): void
}

/** Opens a link to a database over TCP. */
export async function openDatabaseLink(databaseUrl: string): Promise<DatabaseLink> {
  const to = new URL(databaseUrl)
  const socketDir = to.searchParams.get('host')
  const target = socketDir
    ? { path: `${socketDir}/.s.PGSQL.${to.searchParams.get('port') ?? 5432}` }
    : { host: to.hostname, port: Number(to.port || 5432) }
  let state: 'open' | 'cut' | 'silent' | 'no announcements' = 'open'
  let attempts = 0
  const pairs = new Set<Pair>()
  const all = new Set<Socket>()
  const server: Server = createServer((near) => {
    attempts++
    all.add(near)
    near.on('error', () => {}).on('close', () => all.delete(near))
    if (state === 'cut') return near.resetAndDestroy()
    if (state === 'silent') return near.resume()
    const far = connect(target)
    const pair: Pair = { near, far, listens: false, isSwallowed: false }
    pairs.add(pair)
    const end = () => {
      near.destroy()
      far.destroy()
      pairs.delete(pair)
    }
    const passes = () => state !== 'silent' && !pair.isSwallowed
    near.on('data', (chunk) => {
      if (chunk.includes('listen valetkey')) pair.listens = true
      if (passes()) far.write(chunk)
    })
    const messages = messagesOf()
    far.on('data', (chunk) => {
      for (const message of messages(chunk)) {
        if (passes() && !(state === 'no announcements' && isAnnouncement(message))) near.write(message)
      }
    })
    for (const socket of [near, far]) socket.on('error', end).on('close', end)
  }).listen(0, '127.0.0.1')
  await once(server, 'listening')
  const url = new URL(databaseUrl)
  url.search = ''
  url.hostname = '127.0.0.1'
  url.port = String((server.address() as { port: number }).port)
  const drop = (which: (pair: Pair) => boolean = () => true) => {
    for (const pair of [...pairs].filter(which)) {
      pair.near.destroy()
      pair.far.destroy()
    }
  }
  return {
    url: url.href,
    open() {
      // A connection that lost bytes is unusable for ever.
      drop(({ isSwallowed }) => isSwallowed || state === 'silent')
      state = 'open'
    },
    cut() {
      state = 'cut'
      drop()
    },
    silence() {
      state = 'silent'
    },
    dropAnnouncements() {
      state = 'no announcements'
    },
    silenceListeners() {
      for (const pair of pairs) pair.isSwallowed ||= pair.listens
    },
    attempts: () => attempts,
    openConnections: () => all.size,
    listening: () => [...pairs].some(({ listens, near }) => listens && !near.destroyed),
    close() {
      drop()
      server.close()
    },
  }
}

interface Pair {
  near: Socket
  far: Socket
  listens: boolean
  isSwallowed: boolean
}

// A message of the server is a letter, a length of four bytes that includes itself, and the body.
function messagesOf(): (chunk: Buffer) => Buffer[] {
  let rest: Buffer = Buffer.alloc(0)
  return (chunk) => {
    rest = Buffer.concat([rest, chunk])
    const messages: Buffer[] = []
    while (rest.length >= 5 && rest.length > rest.readUInt32BE(1)) {
      const length = 1 + rest.readUInt32BE(1)
      messages.push(rest.subarray(0, length))
      rest = rest.subarray(length)
    }
    return messages
  }
}

function isAnnouncement(message: Buffer): boolean {
  return message[0] === 'A'.charCodeAt(0)
}
