// An HTTP server that can be stopped without cutting anybody off. It knows no noun of ours.
import { createServer, type RequestListener } from 'node:http'

/** Where to listen, and how long what is slow may take. */
export interface ListenOptions {
  host: string
  port: number
  /** How long requests in flight may take to finish once it is stopped. */
  shutdownSeconds: number
  /** How long a connection may take to bring the headers of its next request. */
  headersSeconds?: number
  /** How long a request may take to arrive as a whole. */
  requestSeconds?: number
}

/** A server that accepts requests. */
export interface Listening {
  port: number
  /** Ends each connection with its next answer, so that who keeps it opens the next one elsewhere; new ones are still accepted. */
  drain(): void
  /** Accepts no more, waits for the requests in flight, and cuts off what the deadline finds unfinished. */
  stop(): Promise<void>
}

/** The port is taken, or not ours to use; the message says which and what to do. */
export class CannotListen extends Error {
  override name = 'CannotListen'
}

/** Accepts requests from the moment the promise resolves. @throws CannotListen */
export async function listenHttp(handler: RequestListener, options: ListenOptions): Promise<Listening> {
  const { headersSeconds = 15, requestSeconds = 30 } = options
  let draining = false
  const server = createServer({ connectionsCheckingInterval: CHECK_MS }, (request, response) => {
    if (draining) response.setHeader('Connection', 'close')
    handler(request, response)
  })
  // Asked once while it is known, the address of a connection stays known after the other side has torn it down.
  server.on('connection', (socket) => void socket.remoteAddress)
  server.headersTimeout = headersSeconds * 1000
  server.requestTimeout = requestSeconds * 1000
  // Longer than the minute for which proxies keep a connection, so that they, not we, are the first to close it.
  server.keepAliveTimeout = 65_000

  await new Promise<void>((resolve, reject) => {
    server.once('error', (error: NodeJS.ErrnoException) => reject(explained(error, options)))
    server.listen(options.port, options.host, resolve)
  })

  function drain(): void {
    draining = true
  }

  async function stop(): Promise<void> {
    drain()
    const closed = new Promise<void>((resolve) => server.close(() => resolve()))
    // A connection that was busy when the server closed is idle afterwards, and nobody else ends it.
    const sweep = setInterval(() => server.closeIdleConnections(), 50)
    const deadline = setTimeout(() => server.closeAllConnections(), options.shutdownSeconds * 1000)
    await closed
    clearInterval(sweep)
    clearTimeout(deadline)
  }

  return { port: (server.address() as { port: number }).port, drain, stop }
}

// Node ends what is too slow when it looks, every 30 seconds unless told otherwise: a limit of 15 was one of up to 45.
const CHECK_MS = 500

function explained(error: NodeJS.ErrnoException, { host, port }: ListenOptions): Error {
  const reasons: Record<string, string> = {
    EADDRINUSE: 'is in use by another program; set PORT to a free one',
    EACCES: 'is not open to this user; set PORT to one above 1023',
    EADDRNOTAVAIL: 'is not an address of this machine; set HOST',
  }
  const reason = reasons[error.code ?? '']
  return reason ? new CannotListen(`${host} port ${port} ${reason}.`, { cause: error }) : error
}
