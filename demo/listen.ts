// Loopback servers of the demo: on which port, and what is said when it is taken.
import { randomInt } from 'node:crypto'
import { createServer, type RequestListener, type Server } from 'node:http'
import { createServer as createSocket } from 'node:net'

/** A server that listens. */
export interface Listening {
  stop(): Promise<void>
}

/** Another program listens on the port. */
export class PortInUse extends Error {
  override name = 'PortInUse'
  constructor(port: number, what: string, option: string) {
    super(
      `Port ${port} (${what}) is in use. Stop the program that uses it, or choose another: ${option} PORT`,
    )
  }
}

/** Serves on the loopback address until stopped. */
export async function listen(handler: RequestListener, port: number): Promise<Listening> {
  const server = createServer(handler)
  await bound(server, port, '127.0.0.1')
  return {
    stop: () =>
      new Promise((resolve) => {
        server.close(() => resolve())
        server.closeAllConnections()
      }),
  }
}

/** Whether nobody listens on the port, on either loopback address: a browser may try both for `localhost`. */
export async function isFree(port: number): Promise<boolean> {
  return (await canListen(port, '127.0.0.1')) && (await canListen(port, '::1'))
}

/** A port nobody listens on now, below those that systems give to outgoing connections of the next moment. */
export async function freePort(): Promise<number> {
  for (;;) {
    const port = randomInt(20_000, 32_000)
    if (await isFree(port)) return port
  }
}

async function canListen(port: number, host: string): Promise<boolean> {
  const socket = createSocket()
  try {
    await bound(socket, port, host)
  } catch (error) {
    // A machine without IPv6 has no ::1 to be taken.
    return !['EADDRINUSE', 'EACCES'].includes((error as NodeJS.ErrnoException).code ?? '')
  }
  await new Promise((resolve) => socket.close(resolve))
  return true
}

function bound(server: Server | ReturnType<typeof createSocket>, port: number, host: string): Promise<void> {
  return new Promise((resolve, reject) => {
    server.once('error', reject)
    server.listen(port, host, () => {
      server.off('error', reject)
      resolve()
    })
  })
}
