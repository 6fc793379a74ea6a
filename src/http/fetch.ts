// Fetches addresses that others name, against SSRF: whoever names an address must not reach anything that only this machine can reach, keep
// us busy, or learn anything about us. It knows no noun of ours.
import { Resolver } from 'node:dns/promises'
import type { IncomingHttpHeaders, IncomingMessage } from 'node:http'
import { request } from 'node:https'
import { isIP, type LookupFunction } from 'node:net'
import { networkInterfaces } from 'node:os'
import { isPublicAddress } from './public-address.ts'

/** The answer of such an address. */
export interface OutsideAnswer {
  status: number
  headers: IncomingHttpHeaders
  /** At most 64 KB. */
  body: Buffer
}

/** Fetches an https address that others named. @throws OutsideRefused */
export type FetchOutside = (address: string) => Promise<OutsideAnswer>

/** Nothing was fetched, or the answer may not be used. */
export class OutsideRefused extends Error {
  override name = 'OutsideRefused'
  /** Whether the only reason is that too much is being fetched at this moment. */
  readonly busy: boolean

  constructor(message: string, { busy = false, cause }: { busy?: boolean; cause?: unknown } = {}) {
    super(message, { cause })
    this.busy = busy
  }
}

/** Options of {@link outsideFetch}. No environment key sets them: everything but `ownHosts` is for tests. */
export interface OutsideParts {
  /** The names of this server. */
  ownHosts: string[]
  /** All addresses of a name. */
  resolve?: (hostname: string, signal: AbortSignal) => Promise<string[]>
  /** The name servers to ask, instead of those of this machine. */
  nameServers?: string[]
  /** Whether an address may be connected to. */
  mayReach?: (address: string) => boolean
  /** The port instead of 443. */
  port?: number
  /** Certificate authorities, instead of the public ones. */
  ca?: string
  timeoutMs?: number
}

const TIMEOUT_MS = 5_000
const MOST_BYTES = 64 * 1024
const MOST_AT_ONCE = 20
const MOST_PER_HOST = 4

/** Makes the only function with which this server fetches addresses that others name. */
export function outsideFetch({
  ownHosts,
  nameServers,
  resolve = resolverBy(nameServers),
  mayReach = isElsewhere,
  port = 443,
  ca,
  timeoutMs = TIMEOUT_MS,
}: OutsideParts): FetchOutside {
  const underWay = new Map<string, number>()
  let all = 0

  const fetchFrom = async (url: URL): Promise<OutsideAnswer> => {
    const ended = new AbortController()
    const timer = setTimeout(() => ended.abort(new OutsideRefused('took too long')), timeoutMs)
    try {
      const found = resolve(url.hostname, ended.signal)
      const addresses = await Promise.race([found, whenAborted(ended.signal)])
      if (addresses.length === 0) throw new OutsideRefused('has a name that nobody knows')
      // Refuse a host with even one bad address: an honest host has none.
      if (!addresses.every(mayReach)) throw new OutsideRefused('leads to an address that is not public')
      return await get(url, { addresses, port, ca, signal: ended.signal })
    } catch (error) {
      if (error instanceof OutsideRefused) throw error
      if (ended.signal.aborted) throw ended.signal.reason
      throw new OutsideRefused('could not be reached', { cause: error })
    } finally {
      clearTimeout(timer)
      ended.abort()
    }
  }

  return async (address) => {
    const url = outsideUrl(address, ownHosts)
    const sameHost = underWay.get(url.hostname) ?? 0
    if (all >= MOST_AT_ONCE || sameHost >= MOST_PER_HOST) {
      throw new OutsideRefused('too much is being fetched at this moment', { busy: true })
    }
    all++
    underWay.set(url.hostname, sameHost + 1)
    try {
      return await fetchFrom(url)
    } finally {
      all--
      const left = underWay.get(url.hostname)! - 1
      if (left === 0) underWay.delete(url.hostname)
      else underWay.set(url.hostname, left)
    }
  }
}

/** The same with the interface of `fetch`: GET only, without the headers and options of the caller. */
export function asFetch(fetchOutside: FetchOutside) {
  return async (address: string | URL | Request, options: RequestInit = {}): Promise<Response> => {
    const { method = 'GET', body } = options
    if (address instanceof Request || method !== 'GET' || body) {
      throw new OutsideRefused('may only be read, by its address')
    }
    const answer = await fetchOutside(String(address))
    const type = answer.headers['content-type'] ?? ''
    const headers = { 'content-type': type, 'cache-control': answer.headers['cache-control'] ?? '' }
    const isEmpty = [101, 204, 205, 304].includes(answer.status)
    return new Response(isEmpty ? null : new Uint8Array(answer.body), { status: answer.status, headers })
  }
}

/** The freshness lifetime of an answer in seconds (RFC 9111 §4.2.1); undefined: it states none. */
export function freshSeconds({ headers }: OutsideAnswer): number | undefined {
  const directives = (headers['cache-control'] ?? '').toLowerCase().split(',')
  const names = directives.map((directive) => directive.trim())
  if (names.includes('no-store') || names.includes('no-cache')) return 0
  const age = names.find((name) => name.startsWith('max-age='))?.slice('max-age='.length)
  if (age !== undefined) return /^"?\d{1,12}"?$/.test(age) ? Number(age.replaceAll('"', '')) : 0
  if (headers.expires === undefined) return undefined
  const expires = Date.parse(headers.expires)
  return Number.isNaN(expires) ? 0 : Math.max(0, Math.round((expires - Date.now()) / 1000))
}

// A name of at least two labels, the last of which is no number, and no special-use name, which each machine resolves for itself.
const HOST_NAME = /^(?:[a-z0-9_](?:[a-z0-9_-]{0,61}[a-z0-9_])?\.)+[a-z](?:[a-z0-9-]{0,61}[a-z0-9])?$/
const LOCAL_NAME = /\.(?:localhost|local|internal|intranet|lan|home|corp|arpa|onion)$/

function outsideUrl(address: string, ownHosts: string[]): URL {
  const url = URL.parse(address)
  if (url?.protocol !== 'https:') throw new OutsideRefused('is not an https address')
  if (url.username || url.password) throw new OutsideRefused('holds user information')
  if (url.port !== '') throw new OutsideRefused('has a port of its own')
  const { hostname } = url
  const isName = !isIP(hostname.replace(/^\[|\]$/g, '')) && HOST_NAME.test(hostname) && hostname.length < 254
  if (!isName || LOCAL_NAME.test(hostname)) throw new OutsideRefused('has a host that is no public name')
  if (ownHosts.includes(hostname)) throw new OutsideRefused('is an address of this server')
  return url
}

// Not getaddrinfo, which reads the hosts file of this machine, and blocks one of the few threads for as long as a name server takes.
function resolverBy(nameServers: string[] | undefined) {
  return async (hostname: string, signal: AbortSignal): Promise<string[]> => {
    const resolver = new Resolver({ timeout: 1_500, tries: 2 })
    if (nameServers) resolver.setServers(nameServers)
    signal.addEventListener('abort', () => resolver.cancel(), { once: true })
    const answers = await Promise.allSettled([resolver.resolve4(hostname), resolver.resolve6(hostname)])
    return answers.flatMap((answer) => (answer.status === 'fulfilled' ? answer.value : []))
  }
}

function isElsewhere(address: string): boolean {
  if (!isPublicAddress(address)) return false
  // This machine may have public addresses itself.
  return !Object.values(networkInterfaces()).some((entries) =>
    entries?.some((entry) => entry.address === address),
  )
}

function whenAborted(signal: AbortSignal): Promise<never> {
  return new Promise((_, reject) => {
    signal.addEventListener('abort', () => reject(signal.reason), { once: true })
  })
}

interface Connecting {
  addresses: string[]
  port: number
  ca: string | undefined
  signal: AbortSignal
}

function get(url: URL, { addresses, port, ca, signal }: Connecting): Promise<OutsideAnswer> {
  return new Promise((done, fail) => {
    const call = request(
      {
        host: url.hostname,
        servername: url.hostname,
        port,
        path: url.pathname + url.search,
        // Do not keep or share connections.
        agent: false,
        lookup: knownAddresses(addresses),
        ca,
        signal,
        headers: {
          Host: url.hostname,
          Accept: 'application/json',
          // No compression, so that a small answer cannot become a large one.
          'Accept-Encoding': 'identity',
          'User-Agent': 'Valetkey',
        },
      },
      (answer) => {
        read(answer)
          .then(done, fail)
          .finally(() => call.destroy())
      },
    )
    call.on('error', fail)
    call.end()
  })
}

// Connect to the addresses that were checked: resolving the name again could give others.
function knownAddresses(addresses: string[]): LookupFunction {
  const entries = addresses.map((address) => ({ address, family: isIP(address) }))
  return (_hostname, options, callback) => {
    if (options.all) return callback(null, entries)
    callback(null, entries[0]!.address, entries[0]!.family)
  }
}

async function read(answer: IncomingMessage): Promise<OutsideAnswer> {
  const { statusCode: status = 0, headers } = answer
  if (status >= 300 && status < 400) throw new OutsideRefused('leads on to another address')
  if (headers['content-encoding'] && headers['content-encoding'] !== 'identity') {
    throw new OutsideRefused('is compressed')
  }
  if (status === 200 && !isJson(headers['content-type'])) throw new OutsideRefused('is not JSON by its type')
  if (Number(headers['content-length'] ?? 0) > MOST_BYTES) throw new OutsideRefused('is larger than 64 KB')
  const chunks: Buffer[] = []
  let bytes = 0
  for await (const chunk of answer as AsyncIterable<Buffer>) {
    bytes += chunk.length
    if (bytes > MOST_BYTES) throw new OutsideRefused('is larger than 64 KB')
    chunks.push(chunk)
  }
  return { status, headers, body: Buffer.concat(chunks) }
}

function isJson(type: string | undefined): boolean {
  return /^application\/(?:[a-z0-9.!#$&^_-]+\+)?json\s*(?:;|$)/i.test(type ?? '')
}
