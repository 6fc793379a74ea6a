// How long what is slow may take: over bare sockets, because no client library is this slow.
import { once } from 'node:events'
import { connect, type Socket } from 'node:net'
import { setTimeout as sleep } from 'node:timers/promises'
import { afterAll, beforeAll, expect, test } from '@jest/globals'
import { type Listening, listenHttp } from '../../src/http/listen.ts'

const HEADERS_SECONDS = 1
const REQUEST_SECONDS = 2
// What Node adds, as it looks twice a second, and what a busy machine adds.
const LATE_SECONDS = 1.5

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

test.each([
  ['nothing at all', '', '', HEADERS_SECONDS],
  ['half of its headers', 'GET / HTTP/1.1\r\nHost: a\r\n', '', HEADERS_SECONDS],
  ['headers without an end', 'GET / HTTP/1.1\r\n', 'X-More: more\r\n', HEADERS_SECONDS],
  ['half of its body', `${HEAD}abc`, '', REQUEST_SECONDS],
  ['a body byte by byte', HEAD, 'a', REQUEST_SECONDS],
])('a connection that brings %s is ended at the limit', async (_what, first, then, limit) => {
  const socket = await open()
  const started = performance.now()

  socket.write(first)
  const more = setInterval(() => then && socket.write(then), 100)
  const answer = await answerOf(socket)
  clearInterval(more)

  const seconds = (performance.now() - started) / 1000
  // Who still writes when the end comes may lose the answer to the reset, as over any socket.
  if (!(then && answer === '')) expect(answer).toMatch(/^HTTP\/1\.1 408 /)
  expect(seconds).toBeGreaterThan(limit - 0.1)
  expect(seconds).toBeLessThan(limit + LATE_SECONDS)
})

test('a request that has arrived may take as long as it takes, and the next one has its own time', async () => {
  const socket = await open()

  socket.write('GET /slow HTTP/1.1\r\nHost: a\r\n\r\n')
  await sleep((REQUEST_SECONDS + 2) * 1000)
  socket.write('GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n')

  expect((await answerOf(socket)).match(/HTTP\/1\.1 200 /g)).toHaveLength(2)
})

async function open(): Promise<Socket> {
  const socket = connect(listening.port, '127.0.0.1')
  await once(socket, 'connect')
  return socket
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
