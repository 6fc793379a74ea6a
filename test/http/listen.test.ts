// How long what is slow may take: over bare sockets, because no client library is this slow.
import { connect, type Socket } from 'node:net'
import { setTimeout as sleep } from 'node:timers/promises'
import { afterAll, beforeAll, expect, test } from '@jest/globals'
import { type Listening, listenHttp } from '../../src/http/listen.ts'
import { inOneOfFive } from '../support/patience.ts'

const HEADERS_SECONDS = 1
const REQUEST_SECONDS = 2
// Node by itself looks every 30 seconds, and lets a request take 300: what is ended before is ended by our limits. The connections are
// opened together soon after the server, so that the first look of a Node that is left alone would come as late as that.
const NOT_BY_ITSELF_SECONDS = 25

let listening: Listening
beforeAll(async () => {
  listening = await listenHttp(
    (request, response) => {
      request.resume().on('end', async () => {
        if (request.url === '/slow') await sleep((REQUEST_SECONDS + 1) * 1000)
        response.end('whole')
      })
    },
    {
      host: '127.0.0.1',
      port: 0,
      shutdownSeconds: 1,
      headersSeconds: HEADERS_SECONDS,
      requestSeconds: REQUEST_SECONDS,
    },
  )
})
afterAll(() => listening.stop())

const HEAD = 'POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 9999\r\n\r\n'

const SLOW = [
  { brings: 'nothing at all', first: '', next: '', limit: HEADERS_SECONDS },
  {
    brings: 'half of its headers',
    first: 'GET / HTTP/1.1\r\nHost: a\r\n',
    next: '',
    limit: HEADERS_SECONDS,
  },
  {
    brings: 'headers without an end',
    first: 'GET / HTTP/1.1\r\n',
    next: 'X-More: more\r\n',
    limit: HEADERS_SECONDS,
  },
  { brings: 'half of its body', first: `${HEAD}abc`, next: '', limit: REQUEST_SECONDS },
  { brings: 'a body byte by byte', first: HEAD, next: 'a', limit: REQUEST_SECONDS },
]

/** How a connection that brings so little comes to its end. A machine that stands still makes it late, and never early. */
async function endOf({ first, next }: (typeof SLOW)[number]): Promise<{ answer: string; seconds: number }> {
  const started = performance.now()
  const socket = open()
  socket.write(first)
  const more = setInterval(() => next && socket.write(next), 100)
  const answer = await answerOf(socket)
  clearInterval(more)
  return { answer, seconds: (performance.now() - started) / 1000 }
}

test('a connection that brings too little is ended at its limit', async () => {
  await inOneOfFive(async () => {
    const ends = await Promise.all(SLOW.map(endOf))

    for (const [i, { answer, seconds }] of ends.entries()) {
      const { brings, next, limit } = SLOW[i]!
      // Who still writes when the end comes may lose the answer to the reset, as over any socket.
      if (!(next && answer === '')) expect([brings, answer]).toEqual([brings, expect.stringMatching(ENDED)])
      expect(seconds).toBeGreaterThan(limit - 0.1)
      expect(seconds).toBeLessThan(NOT_BY_ITSELF_SECONDS)
    }
  })
})

const ENDED = /^HTTP\/1\.1 408 /

test('a request that has arrived may take as long as it takes, and the next one has its own time', async () => {
  const socket = open()

  socket.write('GET /slow HTTP/1.1\r\nHost: a\r\n\r\n')
  await sleep((REQUEST_SECONDS + 2) * 1000)
  socket.write('GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n')

  expect((await answerOf(socket)).match(/HTTP\/1\.1 200 /g)).toHaveLength(2)
})

// What is written goes out as soon as it is connected: no time passes between the two.
function open(): Socket {
  return connect(listening.port, '127.0.0.1')
}

async function answerOf(socket: Socket): Promise<string> {
  let text = ''
  socket.setEncoding('utf8')
  // Whoever is cut off while it writes hears of it as a reset.
  socket.on('error', () => {})
  socket.on('data', (chunk: string) => {
    text += chunk
  })
  // Not once(), which would be that reset.
  await new Promise((resolve) => socket.on('close', resolve))
  return text
}
