// A host of client ID metadata documents, as a third party runs one: real https on this machine, under names of its own, with a
// certificate of its own authority.
import { createPrivateKey, generateKeyPairSync, type KeyObject, sign } from 'node:crypto'
import { once } from 'node:events'
import type { IncomingMessage, ServerResponse } from 'node:http'
import { createServer, type Server } from 'node:https'
import type { Socket } from 'node:net'
import { type FetchOutside, type OutsideParts, outsideFetch } from '../../src/http/fetch.ts'

/** The answer at an address. */
export type Answering = (req: IncomingMessage, res: ServerResponse) => void

/** The host of the documents. */
export interface DocumentHost {
  /** Fetches as the server does, from an internet of this one host. */
  fetchOutside: FetchOutside
  /** Where {@link DocumentHost.fetchOutside} reaches it. */
  network: OutsideParts
  /** Publishes a document at an address of this host. @returns its client id */
  put(path: string, document: object | Answering, headers?: Record<string, string>): string
  /** How often an address was requested. */
  asked(path: string): number
  /** The headers of the last request. */
  lastHeaders(): IncomingMessage['headers']
  stop(): Promise<void>
}

/** The name of the host. */
export const HOST = 'printer.example'

/** A typical document. */
export const PRINTER = {
  client_name: 'Photo Printer',
  redirect_uris: ['https://printer.example/callback'],
  grant_types: ['authorization_code', 'refresh_token'],
  response_types: ['code'],
  token_endpoint_auth_method: 'none',
}

/** Starts a host. @param names of it in DNS */
export async function startDocumentHost(names = [HOST, `*.${HOST}`]): Promise<DocumentHost> {
  const { ca, cert, key } = certificateFor(names)
  const answers = new Map<string, Answering>()
  const counts = new Map<string, number>()
  let last: IncomingMessage['headers'] = {}
  const sockets = new Set<Socket>()
  const server: Server = createServer({ cert, key }, (req, res) => {
    const path = req.url ?? ''
    counts.set(path, (counts.get(path) ?? 0) + 1)
    last = req.headers
    const answer = answers.get(path)
    if (answer) return answer(req, res)
    res.writeHead(404, { 'Content-Type': 'application/json' }).end('{}')
  })
  server.on('connection', (socket: Socket) => {
    sockets.add(socket)
    socket.on('close', () => sockets.delete(socket))
  })
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  const { port } = server.address() as { port: number }
  const network: OutsideParts = {
    ownHosts: ['localhost'],
    resolve: async () => ['127.0.0.1'],
    mayReach: () => true,
    port,
    ca,
  }
  return {
    fetchOutside: outsideFetch(network),
    network,
    put(path, document, headers = {}) {
      const client_id = `https://${HOST}${path}`
      const json = JSON.stringify({ client_id, ...document })
      answers.set(
        path,
        typeof document === 'function'
          ? (document as Answering)
          : (_req, res) => res.writeHead(200, { 'Content-Type': 'application/json', ...headers }).end(json),
      )
      return client_id
    },
    asked: (path) => counts.get(path) ?? 0,
    lastHeaders: () => last,
    async stop() {
      for (const socket of sockets) socket.destroy()
      server.close()
      await once(server, 'close')
    },
  }
}

function certificateFor(names: string[]): { ca: string; cert: string; key: string } {
  const authority = generateKeyPairSync('ec', { namedCurve: 'P-256' })
  const host = generateKeyPairSync('ec', { namedCurve: 'P-256' })
  const of = { issuer: 'Authority of the tests', signer: authority.privateKey }
  const altNames = der(0x30, ...names.map((name) => der(0x82, Buffer.from(name))))
  const isAuthority = der(0x30, der(0x01, Buffer.from([0xff])))
  return {
    ca: certificate({
      ...of,
      subject: of.issuer,
      key: authority.publicKey,
      extension: ['2.5.29.19', isAuthority],
    }),
    cert: certificate({
      ...of,
      subject: 'Host of the tests',
      key: host.publicKey,
      extension: ['2.5.29.17', altNames],
    }),
    key: createPrivateKey(host.privateKey.export({ type: 'pkcs8', format: 'pem' })).export({
      type: 'pkcs8',
      format: 'pem',
    }) as string,
  }
}

interface Certificate {
  issuer: string
  signer: KeyObject
  subject: string
  key: KeyObject
  extension: [oid: string, value: Buffer]
}

// X.509 v3 (RFC 5280 §4.1), only as much as TLS needs.
function certificate({ issuer, signer, subject, key, extension: [id, value] }: Certificate): string {
  const algorithm = der(0x30, oid('1.2.840.10045.4.3.2'))
  const day = (offset: number) => {
    const iso = new Date(Date.now() + offset * 86_400_000).toISOString()
    return der(0x18, Buffer.from(`${iso.replace(/[-:T]/g, '').slice(0, 14)}Z`))
  }
  const name = (text: string) => der(0x30, der(0x31, der(0x30, oid('2.5.4.3'), der(0x0c, Buffer.from(text)))))
  const body = der(
    0x30,
    der(0xa0, der(0x02, Buffer.from([2]))),
    der(0x02, Buffer.from([subject.length])),
    algorithm,
    name(issuer),
    der(0x30, day(-1), day(1)),
    name(subject),
    key.export({ type: 'spki', format: 'der' }),
    der(0xa3, der(0x30, der(0x30, oid(id), der(0x04, value)))),
  )
  const signature = der(0x03, Buffer.from([0]), sign('sha256', body, signer))
  const whole = der(0x30, body, algorithm, signature).toString('base64')
  return `-----BEGIN CERTIFICATE-----\n${whole.match(/.{1,64}/g)!.join('\n')}\n-----END CERTIFICATE-----\n`
}

function der(tag: number, ...parts: Uint8Array[]): Buffer {
  const content = Buffer.concat(parts)
  const { length } = content
  const size = length < 128 ? [length] : length < 256 ? [0x81, length] : [0x82, length >> 8, length & 255]
  return Buffer.concat([Buffer.from([tag, ...size]), content])
}

function oid(dotted: string): Buffer {
  const [first, second, ...rest] = dotted.split('.').map(Number)
  const bytes = [first! * 40 + second!]
  for (const arc of rest) {
    const groups = [arc & 127]
    for (let left = arc >> 7; left > 0; left >>= 7) groups.unshift((left & 127) | 128)
    bytes.push(...groups)
  }
  return der(0x06, Buffer.from(bytes))
}
