// Fetching what others name: which addresses are never connected to, and what of an answer is never looked at.
import { createSocket } from 'node:dgram'
import { once } from 'node:events'
import { createServer, type Server } from 'node:http'
import { gzipSync } from 'node:zlib'
import { afterAll, beforeAll, beforeEach, describe, expect, test } from '@jest/globals'
import { asFetch, freshSeconds, type OutsideParts, outsideFetch } from '../../src/http/fetch.ts'
import { isPublicAddress } from '../../src/http/public-address.ts'
import { type Answering, type DocumentHost, HOST, startDocumentHost } from '../support/documents.ts'
import { PATIENCE_MS } from '../support/patience.ts'

let host: DocumentHost
let inside: Server
let insideAsked = 0
beforeAll(async () => {
  host = await startDocumentHost()
  inside = createServer((_req, res) => {
    insideAsked++
    res.end('{"secret": true}')
  })
  inside.listen(0, '127.0.0.1')
  await once(inside, 'listening')
})
afterAll(async () => {
  await host?.stop()
  inside?.close()
})
beforeEach(() => {
  insideAsked = 0
})

type Zone = { A?: string[]; AAAA?: string[] } | 'silence'

// A name server that knows one name, over UDP (RFC 1035 §4).
async function startNameServer(zone: Zone) {
  const asked: string[] = []
  const socket = createSocket('udp4')
  socket.on('message', (question, from) => {
    const labels: string[] = []
    let at = 12
    for (; question[at] !== 0; at += question[at]! + 1) {
      labels.push(question.subarray(at + 1, at + 1 + question[at]!).toString())
    }
    asked.push(labels.join('.').toLowerCase())
    if (zone === 'silence') return
    const type = question.readUInt16BE(at + 1)
    const addresses = (type === 1 ? zone.A : zone.AAAA) ?? []
    const isKnown = Object.keys(zone).length > 0
    const head = Buffer.from(question.subarray(0, 12))
    head.writeUInt16BE(isKnown ? 0x8180 : 0x8183, 2)
    head.writeUInt16BE(addresses.length, 6)
    head.writeUInt32BE(0, 8)
    const records = addresses.map((address) => {
      const bytes =
        type === 1 ? Buffer.from(address.split('.').map(Number)) : Buffer.from([...Array(15).fill(0), 1])
      const record = Buffer.alloc(12)
      record.writeUInt16BE(0xc00c, 0)
      record.writeUInt16BE(type, 2)
      record.writeUInt16BE(1, 4)
      record.writeUInt16BE(bytes.length, 10)
      return Buffer.concat([record, bytes])
    })
    socket.send(Buffer.concat([head, question.subarray(12, at + 5), ...records]), from.port, from.address)
  })
  socket.bind(0, '127.0.0.1')
  await once(socket, 'listening')
  return {
    address: `127.0.0.1:${socket.address().port}`,
    asked: () => asked,
    stop: () => new Promise<void>((done) => socket.close(() => done())),
  }
}

const fetchWith = (parts: Partial<OutsideParts> = {}) =>
  outsideFetch({ ...host.network, timeoutMs: PATIENCE_MS, ...parts })
const json = (body: string | Buffer, headers: Record<string, string> = {}): Answering => {
  return (_req, res) => void res.writeHead(200, { 'Content-Type': 'application/json', ...headers }).end(body)
}

describe('addresses', () => {
  test.each([
    '0.0.0.0',
    '0.1.2.3',
    '10.0.0.1',
    '10.255.255.255',
    '100.64.0.1',
    '100.100.100.200',
    '100.127.255.255',
    '127.0.0.1',
    '127.255.255.254',
    '168.63.129.16',
    '169.254.0.1',
    '169.254.169.254',
    '172.16.0.1',
    '172.31.255.255',
    '192.0.0.8',
    '192.0.0.192',
    '192.0.2.1',
    '192.31.196.1',
    '192.52.193.1',
    '192.88.99.1',
    '192.168.1.1',
    '192.175.48.1',
    '198.18.0.1',
    '198.19.255.255',
    '198.51.100.7',
    '203.0.113.9',
    '224.0.0.1',
    '239.255.255.255',
    '240.0.0.1',
    '255.255.255.255',
    '::',
    '::1',
    '::127.0.0.1',
    '::ffff:127.0.0.1',
    '::ffff:7f00:1',
    '::ffff:10.0.0.1',
    '::ffff:a9fe:a9fe',
    '::ffff:0:127.0.0.1',
    '64:ff9b::127.0.0.1',
    '64:ff9b::a00:1',
    '64:ff9b::10.0.0.1',
    '64:ff9b::',
    '64:ff9b:1::1',
    '100::1',
    '2001::1',
    '2001:0:7f00:1::',
    '2001:2::1',
    '2001:10::1',
    '2001:20::1',
    '2001:db8::1',
    '2002:7f00:1::',
    '2002:a00:1::1',
    '2002:808:808::1',
    '2620:4f:8000::1',
    '3fff::1',
    '4000::1',
    '5f00::1',
    'fc00::1',
    'fd12:3456:789a::1',
    'fd00:ec2::254',
    'fe80::1',
    'fe80::1%eth0',
    'febf::1',
    'fec0::1',
    'ff02::1',
    'localhost',
    '127.1',
    '2130706433',
    '0x7f000001',
    '',
  ])('%s is not public', (address) => {
    expect(isPublicAddress(address)).toBe(false)
  })

  test.each([
    '1.1.1.1',
    '8.8.8.8',
    '9.255.255.255',
    '11.0.0.1',
    '100.63.255.255',
    '100.128.0.1',
    '172.15.255.255',
    '172.32.0.1',
    '192.0.1.1',
    '223.255.255.255',
    '2001:4860:4860::8888',
    '2606:4700:4700::1111',
    '2a00:1450:4001:81b::200e',
    '::ffff:8.8.8.8',
    '64:ff9b::8.8.8.8',
  ])('%s is public', (address) => {
    expect(isPublicAddress(address)).toBe(true)
  })
})

describe('what is named', () => {
  test.each([
    ['http://printer.example/', /not an https/],
    ['ftp://printer.example/', /not an https/],
    ['file:///etc/passwd', /not an https/],
    ['data:application/json,{}', /not an https/],
    ['printer.example', /not an https/],
    ['https://me@printer.example/', /user information/],
    ['https://me:pw@printer.example/', /user information/],
    ['https://printer.example:8443/', /port/],
    ['https://printer.example:22/', /port/],
    ['https://127.0.0.1/', /no public name/],
    ['https://127.1/', /no public name/],
    ['https://2130706433/', /no public name/],
    ['https://0x7f.0.0.1/', /no public name/],
    ['https://0177.0.0.1/', /no public name/],
    ['https://8.8.8.8/', /no public name/],
    ['https://[::1]/', /no public name/],
    ['https://[::ffff:127.0.0.1]/', /no public name/],
    ['https://[2606:4700:4700::1111]/', /no public name/],
    ['https://localhost/', /no public name/],
    ['https://db/', /no public name/],
    ['https://api.localhost/', /no public name/],
    ['https://printer.local/', /no public name/],
    ['https://metadata.google.internal/', /no public name/],
    ['https://printer.example./', /no public name/],
    ['https://①②⑦.⓪.⓪.①/', /no public name/],
    ['https://id.example/', /this server/],
  ])('%s is not even looked up', async (address, problem) => {
    let looked = 0
    const resolve = async () => {
      looked++
      return ['127.0.0.1']
    }

    await expect(fetchWith({ resolve, ownHosts: ['id.example'] })(address)).rejects.toThrow(problem)

    expect(looked).toBe(0)
  })
})

describe('names', () => {
  // As in production, but for the name server.
  const guarded = (answers: string[][]) => {
    let looked = 0
    const resolve = async () => answers[Math.min(looked++, answers.length - 1)]!
    const fetchOutside = fetchWith({
      resolve,
      mayReach: undefined,
      port: (inside.address() as { port: number }).port,
    })
    return { fetchOutside, looked: () => looked }
  }

  test.each([
    [['127.0.0.1']],
    [['169.254.169.254']],
    [['::1']],
    [['::ffff:127.0.0.1']],
    [['fd00::1']],
    [['8.8.8.8', '10.0.0.1']],
    [['2606:4700:4700::1111', '127.0.0.1']],
  ])('that lead to %j are refused', async (addresses) => {
    const { fetchOutside } = guarded([addresses])

    await expect(fetchOutside(`https://${HOST}/`)).rejects.toThrow('not public')

    expect(insideAsked).toBe(0)
  })

  test('that nobody knows are refused', async () => {
    await expect(guarded([[]]).fetchOutside(`https://${HOST}/`)).rejects.toThrow('nobody knows')
  })

  test('are looked up once: a second answer could be another', async () => {
    const looked: string[] = []
    const answers = [['127.0.0.1'], ['127.0.0.2']]
    const resolve = async (name: string) => {
      looked.push(name)
      return answers[looked.length - 1]!
    }
    // What stands for a public address here is 127.0.0.1; the second answer would be refused.
    const mayReach = (address: string) => address === '127.0.0.1'
    host.put('/rebound', json('{}'))

    const answer = await fetchWith({ resolve, mayReach })(`https://${HOST}/rebound`)

    expect(answer.status).toBe(200)
    expect(looked).toEqual([HOST])
    await expect(fetchWith({ resolve, mayReach })(`https://${HOST}/rebound`)).rejects.toThrow('not public')
  })

  test.each<[string, Zone, Partial<OutsideParts>, RegExp | number]>([
    ['one address, and none of IPv6', { A: ['127.0.0.1'] }, {}, 200],
    ['addresses of both kinds', { A: ['127.0.0.1'], AAAA: ['::1'] }, {}, 200],
    ['a private address', { A: ['10.0.0.1'] }, { mayReach: undefined }, /not public/],
    [
      'a private one among public ones',
      { A: ['8.8.8.8', '10.0.0.1'] },
      { mayReach: undefined },
      /not public/,
    ],
    [
      'one of this machine for IPv6',
      { A: ['8.8.8.8'], AAAA: ['::1'] },
      { mayReach: undefined },
      /not public/,
    ],
    ['no such name', {}, {}, /nobody knows/],
    ['nothing at all', 'silence', { timeoutMs: 300 }, /too long/],
  ])('are asked of name servers, which answer with %s', async (_, zone, parts, outcome) => {
    const names = await startNameServer(zone)
    host.put('/', json('{}'))
    try {
      const fetchOutside = fetchWith({ ...parts, resolve: undefined, nameServers: [names.address] })
      const fetched = fetchOutside(`https://${HOST}/`).then(({ status }) => status)

      if (typeof outcome === 'number') expect(await fetched).toBe(outcome)
      else await expect(fetched).rejects.toThrow(outcome)
      expect(new Set(names.asked())).toEqual(new Set([HOST]))
    } finally {
      await names.stop()
    }
  })

  test('are held to the certificate', async () => {
    host.put('/', json('{}'))

    await expect(fetchWith()('https://other.example/')).rejects.toThrow('could not be reached')
    await expect(fetchWith({ ca: undefined })(`https://${HOST}/`)).rejects.toThrow('could not be reached')
  })

  test('whose server never answers take no longer than is allowed', async () => {
    const resolve = () => new Promise<string[]>(() => {})

    await expect(fetchWith({ resolve, timeoutMs: 50 })(`https://${HOST}/`)).rejects.toThrow('too long')
  })
})

describe('answers', () => {
  test('are read as they are, and nothing of ours is told', async () => {
    host.put('/good', json('{"a":1}', { 'Cache-Control': 'max-age=60', 'Set-Cookie': 'a=b' }))

    const answer = await fetchWith()(`https://${HOST}/good?x=1`.replace('?x=1', ''))
    await fetchWith()(`https://${HOST}/good`)

    expect(answer.body.toString()).toBe('{"a":1}')
    expect(freshSeconds(answer)).toBe(60)
    expect(Object.keys(host.lastHeaders()).sort()).toEqual([
      'accept',
      'accept-encoding',
      'connection',
      'host',
      'user-agent',
    ])
  })

  test.each([301, 302, 303, 307, 308])('that lead on with %i are not followed', async (status) => {
    const { port } = inside.address() as { port: number }
    host.put(`/away-${status}`, (_req, res) => {
      res.writeHead(status, { Location: `http://127.0.0.1:${port}/` }).end()
    })

    await expect(fetchWith()(`https://${HOST}/away-${status}`)).rejects.toThrow('another address')

    expect(insideAsked).toBe(0)
  })

  test.each<[string, Answering, RegExp]>([
    ['that say they are large', json('x'.repeat(65_537)), /64 KB/],
    [
      'that are large without saying so',
      (_req, res) => {
        res.writeHead(200, { 'Content-Type': 'application/json' })
        const more = () => res.write('x'.repeat(16_384), () => res.destroyed || setImmediate(more))
        more()
      },
      /64 KB/,
    ],
    [
      'that are compressed',
      json(gzipSync(Buffer.alloc(5_000_000, ' ')), { 'Content-Encoding': 'gzip' }),
      /compressed/,
    ],
    [
      'of another type',
      (_req, res) => void res.writeHead(200, { 'Content-Type': 'text/html' }).end('{}'),
      /not JSON/,
    ],
    ['of no type', (_req, res) => void res.writeHead(200).end('{}'), /not JSON/],
    [
      'with a type that only begins like it',
      (_req, res) => void res.writeHead(200, { 'Content-Type': 'application/jsonp' }).end('{}'),
      /not JSON/,
    ],
    ['that break off', (req) => void req.socket.destroy(), /could not be reached/],
    [
      'with headers without end',
      (req) => void req.socket.write(`HTTP/1.1 200 OK\r\n${'X-A: b\r\n'.repeat(20_000)}`),
      /could not be reached|too long/,
    ],
  ])('%s are refused', async (what, answer, problem) => {
    const path = `/${what.replaceAll(' ', '-')}`
    host.put(path, answer)

    await expect(fetchWith()(`https://${HOST}${path}`)).rejects.toThrow(problem)
  })

  test('that come drop by drop end when the time is over', async () => {
    host.put('/slow', (_req, res) => {
      res.writeHead(200, { 'Content-Type': 'application/json' })
      const timer = setInterval(() => res.write(' '), 20)
      res.on('close', () => clearInterval(timer))
    })
    // They would go on for as long as the test may take.
    await expect(fetchWith({ timeoutMs: 300 })(`https://${HOST}/slow`)).rejects.toThrow('too long')
  })

  test('of types for JSON with a name of their own are taken', async () => {
    host.put('/keys', (_req, res) => {
      res.writeHead(200, { 'Content-Type': 'application/jwk-set+json; charset=utf-8' }).end('{"keys":[]}')
    })

    const answer = await asFetch(fetchWith())(`https://${HOST}/keys`)

    expect(await answer.json()).toEqual({ keys: [] })
  })
})

test('only so much is fetched at once, from one host and from all', async () => {
  const held: (() => void)[] = []
  host.put('/held', (_req, res) => {
    held.push(() => res.writeHead(200, { 'Content-Type': 'application/json' }).end('{}'))
  })
  const fetchOutside = fetchWith()
  const four = Array.from({ length: 4 }, () => fetchOutside(`https://${HOST}/held`))

  await expect(fetchOutside(`https://${HOST}/held`)).rejects.toMatchObject({ busy: true })

  while (held.length < 4) await new Promise((resolve) => setImmediate(resolve))
  for (const release of held) release()
  await Promise.all(four)
  const next = fetchOutside(`https://${HOST}/held`)
  while (held.length < 5) await new Promise((resolve) => setImmediate(resolve))
  held[4]!()
  expect((await next).status).toBe(200)

  const hanging = fetchWith({ resolve: () => new Promise(() => {}), timeoutMs: 300 })
  const twenty = Array.from({ length: 20 }, (_, i) => hanging(`https://h${i}.${HOST}/`).catch(() => {}))
  await expect(hanging(`https://h20.${HOST}/`)).rejects.toMatchObject({ busy: true })
  await Promise.all(twenty)
  await expect(hanging(`https://h20.${HOST}/`)).rejects.toMatchObject({ busy: false })
})

test('as a fetch it only reads', async () => {
  const fetchOutside = asFetch(fetchWith())

  await expect(fetchOutside(`https://${HOST}/`, { method: 'POST', body: 'x' })).rejects.toThrow(
    'only be read',
  )
})
