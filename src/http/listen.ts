// An HTTP server that stops without cutting off requests in flight. It knows no noun of ours.
import { createServer, type RequestListener } from 'node:http'

/** Where to listen, and the time limits of slow clients. */
export interface ListenOptions {
  host: string
  port: number
  /** How long requests in flight may take after the server was stopped. */
  shutdownSeconds: number
  /** How long the headers of a request may take to arrive. */
  headersSeconds?: number
  /** How long a whole request may take to arrive. */
  requestSeconds?: number
}

/** A server that accepts requests. */
export interface Listening {
  port: number
  /** Ends each connection with its next answer, so that clients connect to another node. New connections are still accepted. */
  drain(): void
  /** Accepts no more connections, waits for requests in flight, and cuts off those that are unfinished at the deadline. */
  stop(): Promise<void>
}

/** The port is taken or forbidden; the message says which one and what to do. */
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
  // Read the address once, so that Node remembers it after the other side has closed the connection.
  server.on('connection', (socket) => void socket.remoteAddress)
  server.headersTimeout = headersSeconds * 1000
  server.requestTimeout = requestSeconds * 1000
  // Longer than the minute for which proxies keep a connection, so that they close it first.
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
    // Close connections that were busy when the server closed, once they become idle. Node does not.
    const sweep = setInterval(() => server.closeIdleConnections(), 50)
    const deadline = setTimeout(() => server.closeAllConnections(), options.shutdownSeconds * 1000)
    await closed
    clearInterval(sweep)
    clearTimeout(deadline)
  }

  return { port: (server.address() as { port: number }).port, drain, stop }
}

// How often Node checks the limits. The default of 30 seconds would make a limit of 15 seconds one of up to 45.
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
