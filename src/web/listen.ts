// An HTTP server that can be stopped without cutting anybody off. It knows no noun of ours.
import { createServer, type RequestListener } from 'node:http'

/** Where to listen, and how long requests in flight may take to finish once it is stopped. */
export interface ListenOptions {
  host: string
  port: number
  shutdownSeconds: number
}

/** A server that accepts requests. */
export interface Listening {
  port: number
  /** Accepts no more, waits for the requests in flight, and cuts off what the deadline finds unfinished. */
  stop(): Promise<void>
}

/** The port is taken, or not ours to use; the message says which and what to do. */
export class CannotListen extends Error {
  override name = 'CannotListen'
}

/** Accepts requests from the moment the promise resolves. @throws CannotListen */
export async function listenHttp(handler: RequestListener, options: ListenOptions): Promise<Listening> {
  let draining = false
  const server = createServer((request, response) => {
    // Tells a client that keeps its connection to open the next one elsewhere.
    if (draining) response.setHeader('Connection', 'close')
    handler(request, response)
  })
  // Asked once while it is known, the address of a connection stays known after the other side has torn it down.
  server.on('connection', (socket) => void socket.remoteAddress)
  server.headersTimeout = 15_000
  server.requestTimeout = 30_000
  // Longer than the minute for which proxies keep a connection, so that they, not we, are the first to close it.
  server.keepAliveTimeout = 65_000

  await new Promise<void>((resolve, reject) => {
    server.once('error', (error: NodeJS.ErrnoException) => reject(explained(error, options)))
    server.listen(options.port, options.host, resolve)
  })

  async function stop(): Promise<void> {
    draining = true
    const closed = new Promise<void>((resolve) => server.close(() => resolve()))
    // A connection that was busy when the server closed is idle afterwards, and nobody else ends it.
    const sweep = setInterval(() => server.closeIdleConnections(), 50)
    const deadline = setTimeout(() => server.closeAllConnections(), options.shutdownSeconds * 1000)
    await closed
    clearInterval(sweep)
    clearTimeout(deadline)
  }

  return { port: (server.address() as { port: number }).port, stop }
}

function explained(error: NodeJS.ErrnoException, { host, port }: ListenOptions): Error {
  const reasons: Record<string, string> = {
    EADDRINUSE: 'is in use by another program; set PORT to a free one',
    EACCES: 'is not open to this user; set PORT to one above 1023',
    EADDRNOTAVAIL: 'is not an address of this machine; set HOST',
  }
  const reason = reasons[error.code ?? '']
  return reason ? new CannotListen(`${host} port ${port} ${reason}.`, { cause: error }) : error
}
