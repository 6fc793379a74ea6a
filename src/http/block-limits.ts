// Limits on unauthenticated requests, by the block of addresses that they come from. Each node counts in memory, so that a request
// costs no write, and tells the other nodes of busy blocks. It knows neither nouns nor connections.
import { randomBytes } from 'node:crypto'
import { isIPv4, isIPv6 } from 'node:net'
import { TooManyRequests } from './errors.ts'
import { inWords, placeOf } from './throttle.ts'

/** Counts unauthenticated requests. */
export interface BlockLimit {
  /** Counts one request. @throws TooManyOfBlock, and does not count it, when its address or the wider block had too many. */
  count(ip: string): void
  /** Takes back a request that was legitimate, or that something else has refused. */
  forgive(ip: string): void
}

/** A block has used up its limit. `crossed` is true once in each window, at each node. */
export class TooManyOfBlock extends TooManyRequests {
  /** For example `192.0.2.0/24`. */
  readonly block: string

  constructor(block: string, ...rest: ConstructorParameters<typeof TooManyRequests>) {
    super(...rest)
    this.block = block
  }
}

/** What a {@link BlockLimit} allows in a window. */
export interface BlockLimitOptions {
  /** The name of the limit, the same at all nodes. */
  name: string
  /** The limit of an IPv4 address or an IPv6 /64. Undefined: something else limits that. */
  perAddress?: number
  /** The limit of the IPv4 /24 or IPv6 /48 around it, which often belongs to one attacker, or else to thousands of people. */
  perBlock: number
  seconds: number
  /** The message of the refusal; how long to wait is added. */
  message: string
}

/** The limits of this node, and the announcements between nodes about them. */
export interface BlockLimits {
  limit(options: BlockLimitOptions): BlockLimit
  /** The counts of busy blocks since the last call, at most 7 kB; undefined: nothing that other nodes need. */
  tell(): string | undefined
  /** Adds the counts that a node announced. */
  heard(told: string): void
}

/** See {@link BlockLimits}. Windows begin at the same moment at every node, because all use the clock of the database. */
export function blockLimits(): BlockLimits {
  const self = randomBytes(6).toString('base64url')
  const all = new Map<string, Counters>()
  return {
    limit({ message, ...options }) {
      const counters = countersOf(options)
      all.set(options.name, counters)
      return {
        count(ip) {
          const counted = counters.of(ip)
          const full = counted.find(({ count, most }) => count >= most)
          if (full) {
            const crossed = !full.isFull
            full.isFull = true
            const wait = counters.secondsLeft()
            throw new TooManyOfBlock(full.block, `${message} Try again in ${inWords(wait)}.`, wait, crossed)
          }
          for (const counter of counted) counters.add(counter)
        },
        forgive(ip) {
          for (const counter of counters.of(ip)) counters.takeBack(counter)
        },
      }
    },

    tell() {
      const busy = [...all].flatMap(([name, counters]) => counters.busy().map((each) => ({ name, ...each })))
      busy.sort((a, b) => b.counter.untold - a.counter.untold)
      let told = self
      for (const { name, window, counter } of busy) {
        const line = `\n${name} ${window} ${counter.block} ${counter.untold}`
        // The rest waits for the next announcement.
        if (told.length + line.length > MOST_TOLD) break
        told += line
        counter.untold = 0
      }
      return told === self ? undefined : told
    },

    heard(told) {
      const [from, ...lines] = told.split('\n')
      if (from === self) return
      for (const line of lines) {
        const [name = '', window, block = '', count] = line.split(' ')
        all.get(name)?.hear(block, Number(window), Number(count))
      }
    },
  }
}

// A block is announced only above this share of its limit.
const BUSY = 0.1
// The most blocks in memory; those seen least recently are dropped. Limits do not stop an attacker with more blocks anyway.
const MOST_BLOCKS = 20_000
// Postgres limits an announcement to less than 8,000 bytes.
const MOST_TOLD = 7_000

interface Counter {
  block: string
  most: number
  /** Counted here, and at other nodes as far as they have announced it. */
  count: number
  /** Counted here and not announced yet; negative when an announced count was taken back. */
  untold: number
  /** Whether a request was refused here. */
  isFull: boolean
}

interface Counters {
  /** The keys of an address and of the block around it. */
  of(ip: string): Counter[]
  add(counter: Counter): void
  takeBack(counter: Counter): void
  busy(): { window: number; counter: Counter }[]
  hear(block: string, window: number, count: number): void
  /** Until the window ends. */
  secondsLeft(): number
}

function countersOf({
  perAddress,
  perBlock,
  seconds,
}: Omit<BlockLimitOptions, 'name' | 'message'>): Counters {
  let window = 0
  let counters = new Map<string, Counter>()
  let busy = new Set<Counter>()
  const currentWindow = (): number => {
    const current = Math.floor(Date.now() / 1000 / seconds)
    if (current === window) return window
    window = current
    counters = new Map()
    busy = new Set()
    return window
  }
  const counterOf = (block: string): Counter => {
    currentWindow()
    const most = WIDE.test(block) || perAddress === undefined ? perBlock : perAddress
    const counter = counters.get(block) ?? { block, most, count: 0, untold: 0, isFull: false }
    // The map is in the order of last use.
    counters.delete(block)
    if (counters.size === MOST_BLOCKS) counters.delete(counters.keys().next().value!)
    counters.set(block, counter)
    return counter
  }
  return {
    of(ip) {
      const [address, block] = blocksOf(ip)
      return perAddress === undefined ? [counterOf(block)] : [counterOf(address), counterOf(block)]
    },
    add(counter) {
      counter.count++
      counter.untold++
      if (counter.count >= counter.most * BUSY) busy.add(counter)
    },
    takeBack(counter) {
      // It was counted in the window before.
      if (counter.count === 0) return
      counter.count--
      counter.untold--
    },
    busy() {
      currentWindow()
      const untold = [...busy].filter((counter) => counter.untold > 0)
      busy = new Set(untold)
      return untold.map((counter) => ({ window, counter }))
    },
    hear(block, itsWindow, count) {
      if (itsWindow === currentWindow() && Number.isSafeInteger(count)) counterOf(block).count += count
    },
    secondsLeft: () => Math.max(1, Math.ceil((currentWindow() + 1) * seconds - Date.now() / 1000)),
  }
}

const WIDE = /\/(24|48)$/

// A text that is no address counts under one key, because it may be anything of any length; some proxies send "unknown".
function blocksOf(ip: string): [address: string, block: string] {
  const place = placeOf(ip)
  if (isIPv4(place)) return [place, place.replace(/\d+$/, '0/24')]
  return isIPv6(ip) ? [place, place.replace(/:[^:]+::\/64$/, '::/48')] : ['unknown', 'unknown/48']
}
