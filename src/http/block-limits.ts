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
  /** Takes one back that was rightful, or that something else has refused. */
  forgive(ip: string): void
}

/** A block has used up its limit. Its `crossed` is true once a window, at each node. */
export class TooManyOfBlock extends TooManyRequests {
  /** As `192.0.2.0/24`. */
  readonly block: string

  constructor(block: string, ...rest: ConstructorParameters<typeof TooManyRequests>) {
    super(...rest)
    this.block = block
  }
}

/** What a {@link BlockLimit} allows in a window. */
export interface BlockLimitOptions {
  /** Tells the limits apart, at all nodes; a word. */
  name: string
  /** Of an IPv4 address or an IPv6 /64. Undefined: something else limits that. */
  perAddress?: number
  /** Of the IPv4 /24 or IPv6 /48 that the address is in: who has one address often has them all, or stands for thousands of people. */
  perBlock: number
  seconds: number
  /** For whoever is refused, who is told how long to wait. */
  message: string
}

/** The limits of this node, and what nodes tell each other about them. */
export interface BlockLimits {
  limit(options: BlockLimitOptions): BlockLimit
  /** What busy blocks have done here since the last call, at most 7 kB; undefined: nothing that others have to know. */
  tell(): string | undefined
  /** Takes in what a node told. */
  heard(told: string): void
}

/** See {@link BlockLimits}. Windows begin at the same moment at every node, since the clock is the database's. */
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
        // The others wait for the next time.
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

// Below this share of its limit, a block is no other node's business.
const BUSY = 0.1
// Those that were seen least recently go: counting does not stop whoever has so many blocks, and must not fill the memory.
const MOST_BLOCKS = 20_000
// An announcement has less than 8,000 bytes.
const MOST_TOLD = 7_000

interface Counter {
  block: string
  most: number
  /** Here, and at other nodes as far as they have told. */
  count: number
  /** What was counted here and not told; below zero: what was told was taken back. */
  untold: number
  /** Somebody was refused here. */
  isFull: boolean
}

interface Counters {
  /** Of an address, and of the block around it. */
  of(ip: string): Counter[]
  add(counter: Counter): void
  takeBack(counter: Counter): void
  busy(): { window: number; counter: Counter }[]
  hear(block: string, window: number, count: number): void
  /** Until the window is over. */
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
    // The map is in the order of use.
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
      // It was counted in the window before this one.
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

// What is no address may be anything, however long, and counts together: a proxy that cannot tell says "unknown".
function blocksOf(ip: string): [address: string, block: string] {
  const place = placeOf(ip)
  if (isIPv4(place)) return [place, place.replace(/\d+$/, '0/24')]
  return isIPv6(ip) ? [place, place.replace(/:[^:]+::\/64$/, '::/48')] : ['unknown', 'unknown/48']
}
