// Counting strangers by the block of addresses they come from, and what nodes tell each other of it.
import { afterEach, beforeEach, expect, test } from '@jest/globals'
import {
  type BlockLimit,
  type BlockLimits,
  blockLimits,
  TooManyOfBlock,
} from '../../src/http/block-limits.ts'

const OPTIONS = { name: 'door', perAddress: 20, perBlock: 200, seconds: 60, message: 'Too many.' }
const machineNow = Date.now
let now: number
beforeEach(() => {
  // Ten seconds into a minute.
  now = 1_800_000_010_000
  Date.now = () => now
})
afterEach(() => {
  Date.now = machineNow
})

/** How many of so many attempts, each from the next address, are let through. */
function letThrough(limit: BlockLimit, attempts: number, ip: string | ((i: number) => string)): number {
  let count = 0
  for (let i = 0; i < attempts; i++) {
    if (!refusal(limit, typeof ip === 'string' ? ip : ip(i))) count++
  }
  return count
}

function refusal(limit: BlockLimit, ip: string): TooManyOfBlock | undefined {
  try {
    limit.count(ip)
    return undefined
  } catch (error) {
    if (!(error instanceof TooManyOfBlock)) throw error
    return error
  }
}

/** Nodes that hear each other. */
function twoNodes() {
  const nodes = [blockLimits(), blockLimits()] as const
  const exchange = (): (string | undefined)[] => {
    const told = nodes.map((node) => node.tell())
    // Announcements reach whoever sent them, too.
    for (const node of nodes) for (const each of told) if (each) node.heard(each)
    return told
  }
  const [one, two] = nodes.map((node) => node.limit(OPTIONS)) as [BlockLimit, BlockLimit]
  return { nodes, one, two, exchange }
}

test('an address has so many attempts in a window, and is told how long to wait', () => {
  const limit = blockLimits().limit(OPTIONS)

  expect(letThrough(limit, 50, '192.0.2.1')).toBe(20)
  expect(refusal(limit, '192.0.2.1')).toMatchObject({
    status: 429,
    message: 'Too many. Try again in 50 seconds.',
    headers: { 'Retry-After': '50' },
  })
  now += 50_000
  expect(letThrough(limit, 50, '192.0.2.1')).toBe(20)
})

test.each([
  ['an IPv6 /64', '2001:db8:0:1::1', '2001:db8:0:1:ffff:ffff::9', '2001:db8:0:2::1'],
  ['an IPv4 address', '192.0.2.1', '192.0.2.1', '192.0.2.2'],
])('%s counts together, its neighbours by themselves', (_name, first, same, neighbour) => {
  const limit = blockLimits().limit(OPTIONS)
  letThrough(limit, 20, first)

  expect(refusal(limit, same)).toBeDefined()
  expect(refusal(limit, neighbour)).toBeUndefined()
})

test.each([
  ['an IPv6 /48', (i: number) => `2001:db8:7:${i.toString(16)}::1`, '2001:db8:8::1'],
  ['an IPv4 /24', (i: number) => `192.0.2.${i % 256}`, '192.0.3.1'],
])('whoever walks through %s has ten times as many', (_name, walk, outside) => {
  const limit = blockLimits().limit(OPTIONS)

  expect(letThrough(limit, 250, walk)).toBe(200)
  expect(refusal(limit, walk(255))).toBeDefined()
  expect(refusal(limit, outside)).toBeUndefined()
})

test('a limit may be one of blocks alone', () => {
  const limit = blockLimits().limit({ ...OPTIONS, perAddress: undefined })

  expect(letThrough(limit, 250, '192.0.2.1')).toBe(200)
  expect(refusal(limit, '192.0.2.2')).toBeDefined()
  expect(letThrough(limit, 250, 'unknown')).toBe(200)
})

test('what is taken back does not count, here and at other nodes', () => {
  const { one, two, exchange } = twoNodes()
  for (let i = 0; i < 100; i++) {
    one.count('192.0.2.1')
    one.forgive('192.0.2.1')
  }
  expect(letThrough(one, 15, '192.0.2.1')).toBe(15)
  exchange()
  for (let i = 0; i < 5; i++) one.forgive('192.0.2.1')
  expect(letThrough(one, 5, '192.0.2.1')).toBe(5)
  exchange()

  expect(letThrough(two, 50, '192.0.2.1')).toBe(5)
  expect(letThrough(one, 50, '192.0.2.1')).toBe(5)
  now += 60_000
  one.forgive('192.0.2.1')
  expect(letThrough(one, 50, '192.0.2.1')).toBe(20)
})

test('the first refusal of a window is told apart, and names the block', () => {
  const limit = blockLimits().limit(OPTIONS)
  const crossings = () => {
    letThrough(limit, 200, (i) => `192.0.2.${i % 256}`)
    return [1, 2, 3].map(() => refusal(limit, '192.0.2.250')).map((each) => [each?.crossed, each?.block])
  }
  const told = [
    [true, '192.0.2.0/24'],
    [false, '192.0.2.0/24'],
    [false, '192.0.2.0/24'],
  ]

  expect(crossings()).toEqual(told)
  now += 60_000
  expect(crossings()).toEqual(told)
})

test('what is no address counts together', () => {
  const limit = blockLimits().limit(OPTIONS)

  expect(letThrough(limit, 50, (i) => `unknown ${i}\n`)).toBe(20)
  expect(refusal(limit, '192.0.2.1')).toBeUndefined()
})

test('limits do not know of each other', () => {
  const limits = blockLimits()
  const [door, window] = [limits.limit(OPTIONS), limits.limit({ ...OPTIONS, name: 'window' })]
  letThrough(door, 20, '192.0.2.1')

  expect(letThrough(window, 50, '192.0.2.1')).toBe(20)
})

test('nodes share what busy blocks have done', () => {
  const { one, two, exchange } = twoNodes()

  letThrough(one, 12, '192.0.2.1')
  letThrough(two, 3, '192.0.2.1')
  exchange()

  expect(letThrough(two, 20, '192.0.2.1')).toBe(5)
  exchange()
  expect(letThrough(one, 20, '192.0.2.1')).toBe(0)
  expect(letThrough(one, 20, '198.51.100.1')).toBe(20)
})

test('what was told is not told again, and a quiet block not at all', () => {
  const { one, exchange } = twoNodes()
  letThrough(one, 1, '192.0.2.1')
  expect(exchange()).toEqual([undefined, undefined])

  letThrough(one, 1, '192.0.2.1')
  expect(exchange()[0]?.split('\n').slice(1)).toEqual([expect.stringMatching(/^door \d+ 192\.0\.2\.1 2$/)])

  // Refused requests are nothing new.
  letThrough(one, 50, '192.0.2.1')
  exchange()
  letThrough(one, 50, '192.0.2.1')
  expect(exchange()).toEqual([undefined, undefined])
})

test('many busy blocks are told in announcements that PostgreSQL takes, the busiest first', () => {
  const { one, two, exchange } = twoNodes()
  const ips = Array.from({ length: 400 }, (_, i) => `2001:db8:${i.toString(16)}:1::1`)
  for (const ip of ips) letThrough(one, 5, ip)
  letThrough(one, 20, '192.0.2.1')

  const [first] = exchange()
  expect(first!.length).toBeLessThan(7_001)
  expect(refusal(two, '192.0.2.1')).toBeDefined()

  let told = 1
  while (exchange()[0]) told++
  expect(told).toBeGreaterThan(1)
  for (const ip of ips) expect(letThrough(two, 50, ip)).toBe(15)
})

test('what was counted in a window that is over does not count in the next', () => {
  const { nodes, one, two } = twoNodes()
  letThrough(one, 20, '192.0.2.1')
  const told = nodes[0].tell()!
  now += 60_000
  nodes[1].heard(told)

  expect(letThrough(two, 50, '192.0.2.1')).toBe(20)
})

test.each(['', 'x', 'x\ndoor', 'x\ndoor 1 y z', 'x\nattic 30000000 192.0.2.1 500', 'x\n\n\n'])(
  'what another version may tell is passed over: %j',
  (told) => {
    const limits: BlockLimits = blockLimits()
    const limit = limits.limit(OPTIONS)
    limits.heard(told)

    expect(letThrough(limit, 50, '192.0.2.1')).toBe(20)
  },
)

test('no more than so many blocks are remembered, and those that go on are not forgotten for others', () => {
  const limit = blockLimits().limit(OPTIONS)
  letThrough(limit, 20, '192.0.2.1')
  letThrough(limit, 20, '198.51.100.1')
  for (let i = 0; i < 25_000; i++) {
    refusal(limit, `2001:${(i >> 8).toString(16)}:${(i & 255).toString(16)}::1`)
    if (i % 500 === 0) expect(refusal(limit, '192.0.2.1')).toBeDefined()
  }

  expect(refusal(limit, '198.51.100.1')).toBeUndefined()
})
