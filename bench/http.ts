// A small HTTP/1.1 client over one kept-alive connection. The driver shares the machine with what it measures, so it
// does no more than a load needs; it knows nothing of OAuth.
import { connect, type Socket } from 'node:net'

/** An answer, read whole. */
export interface Answer {
  status: number
  /** Status line and headers as they came. */
  head: string
  body: string
}

/** Cookies of one browser, by name; paths are not told apart, as each flow walks alone. */
export type Jar = Map<string, string>

/** One connection that sends a request at a time. It is opened by the first request, and again after it was closed. */
export class Connection {
  /** Where it leads, as a browser names it. */
  readonly origin: string
  readonly #port: number
  #socket: Socket | undefined
  #received: Buffer = Buffer.alloc(0)
  #waiting: { resolve(answer: Answer): void; reject(error: Error): void } | undefined

  constructor(port: number) {
    this.#port = port
    this.origin = `http://localhost:${port}`
  }

  /** Sends a request. @param headers finished lines, each ended by CRLF. */
  send(method: string, path: string, headers = '', body = ''): Promise<Answer> {
    const length = body || method === 'POST' ? `content-length: ${Buffer.byteLength(body)}\r\n` : ''
    const text = `${method} ${path} HTTP/1.1\r\nhost: localhost:${this.#port}\r\n${headers}${length}\r\n${body}`
    return new Promise((resolve, reject) => {
      this.#waiting = { resolve, reject }
      this.#open().write(text)
    })
  }

  close(): void {
    this.#socket?.destroy()
    this.#socket = undefined
  }

  #open(): Socket {
    if (this.#socket) return this.#socket
    const socket = connect({ port: this.#port, host: '127.0.0.1', noDelay: true })
    const lost = (error: Error) => {
      if (this.#socket === socket) this.#socket = undefined
      this.#received = Buffer.alloc(0)
      this.#waiting?.reject(error)
      this.#waiting = undefined
    }
    socket.on('data', (chunk) => this.#read(chunk))
    socket.on('error', lost)
    socket.on('close', () => lost(new Error(`the server on port ${this.#port} closed the connection`)))
    this.#socket = socket
    return socket
  }

  #read(chunk: Buffer): void {
    this.#received = this.#received.length > 0 ? Buffer.concat([this.#received, chunk]) : chunk
    const parsed = parse(this.#received)
    if (!parsed) return
    this.#received = this.#received.subarray(parsed.end)
    const waiting = this.#waiting
    this.#waiting = undefined
    if (/\r\nconnection: close/i.test(parsed.answer.head)) this.close()
    waiting?.resolve(parsed.answer)
  }
}

/** A header's value, or the empty string. @param name in lower case. */
export function header({ head }: Answer, name: string): string {
  const at = head.toLowerCase().indexOf(`\r\n${name}: `)
  if (at < 0) return ''
  const start = at + name.length + 4
  const end = head.indexOf('\r\n', start)
  return head.slice(start, end < 0 ? undefined : end)
}

/** Takes over the cookies that an answer sets, and drops those it clears. */
export function keepCookies(jar: Jar, { head }: Answer): void {
  for (const [, name, value] of head.matchAll(/\r\nset-cookie: ([^=\r]+)=([^;\r]*)/gi)) {
    if (value) jar.set(name!, value)
    else jar.delete(name!)
  }
}

/** The request header that carries a jar's cookies. */
export function cookies(jar: Jar): string {
  if (jar.size === 0) return ''
  return `cookie: ${[...jar].map(([name, value]) => `${name}=${value}`).join('; ')}\r\n`
}

/** A whole answer at the start of `bytes`, and where it ends; undefined while some of it is missing. */
function parse(bytes: Buffer): { answer: Answer; end: number } | undefined {
  const headEnd = bytes.indexOf('\r\n\r\n')
  if (headEnd < 0) return undefined
  const head = bytes.toString('latin1', 0, headEnd)
  const status = Number(head.slice(9, 12))
  const start = headEnd + 4
  if (/\r\ntransfer-encoding: chunked/i.test(head)) {
    const chunks = dechunk(bytes, start)
    return chunks && { answer: { status, head, body: chunks.body }, end: chunks.end }
  }
  const length = Number(/\r\ncontent-length: (\d+)/i.exec(head)?.[1] ?? 0)
  const end = start + length
  if (bytes.length < end) return undefined
  return { answer: { status, head, body: bytes.toString('utf8', start, end) }, end }
}

function dechunk(bytes: Buffer, start: number): { body: string; end: number } | undefined {
  const parts: Buffer[] = []
  for (let at = start; ; ) {
    const lineEnd = bytes.indexOf('\r\n', at)
    if (lineEnd < 0) return undefined
    const size = Number.parseInt(bytes.toString('latin1', at, lineEnd), 16)
    const next = lineEnd + 2 + size + 2
    if (bytes.length < next) return undefined
    if (size === 0) return { body: Buffer.concat(parts).toString('utf8'), end: next }
    parts.push(bytes.subarray(lineEnd + 2, lineEnd + 2 + size))
    at = next
  }
}
