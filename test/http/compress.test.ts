// Texts that never change are sent compressed to whoever takes that, in whichever form it is known.
import { once } from 'node:events'
import { request, type Server } from 'node:http'
import type { AddressInfo } from 'node:net'
import { brotliDecompressSync, gunzipSync } from 'node:zlib'
import { afterAll, beforeAll, expect, test } from '@jest/globals'
import Koa from 'koa'
import { compressed } from '../../src/http/compress.ts'
import { until } from '../support/patience.ts'

const TEXT = Buffer.from('A text that repeats itself. '.repeat(400))
const TINY = Buffer.from('x')
let server: Server
beforeAll(async () => {
  const [long, tiny] = [compressed(TEXT, 'tag'), compressed(TINY, 'tiny')]
  const app = new Koa()
  app.use((ctx) => (ctx.path === '/tiny' ? tiny(ctx) : long(ctx)))
  server = app.listen(0, '127.0.0.1')
  await once(server, 'listening')
  await until(async () => (await get('br')).headers['content-encoding'] === 'br')
  await until(async () => (await get('gzip')).headers['content-encoding'] === 'gzip')
})
afterAll(() => void server.close())

// Not fetch, which unpacks by itself.
async function get(encoding: string | undefined, path = '/', tag?: string) {
  const { port } = server.address() as AddressInfo
  const headers = { ...(encoding && { 'accept-encoding': encoding }), ...(tag && { 'if-none-match': tag }) }
  const sent = request({ port, path, headers, host: '127.0.0.1' }).end()
  const [answer] = await once(sent, 'response')
  const chunks: Buffer[] = []
  for await (const chunk of answer) chunks.push(chunk)
  return { status: answer.statusCode, headers: answer.headers, body: Buffer.concat(chunks) }
}

test.each([
  ['br', 'br', brotliDecompressSync],
  ['gzip', 'gzip', gunzipSync],
  ['gzip, deflate, br', 'br', brotliDecompressSync],
] as const)('to whoever accepts %s as %s', async (accepts, encoding, unpack) => {
  const { headers, body } = await get(accepts)

  expect(headers['content-encoding']).toBe(encoding)
  expect(headers.vary).toBe('Accept-Encoding')
  expect(body.length).toBeLessThan(TEXT.length / 10)
  expect(unpack(body)).toEqual(TEXT)
})

test.each([undefined, 'identity', 'deflate', 'br;q=0'])('as it is to whoever accepts %s', async (accepts) => {
  const { headers, body } = await get(accepts)

  expect(headers['content-encoding']).toBeUndefined()
  expect(body).toEqual(TEXT)
})

test.each(['br', 'gzip', undefined])(
  'what is known is not sent again, in whichever form (%s)',
  async (accepts) => {
    const { headers } = await get('br')

    expect(await get(accepts, '/', headers.etag)).toMatchObject({ status: 304, body: Buffer.alloc(0) })
  },
)

test('what does not get smaller is sent as it is', async () => {
  expect(await get('br', '/tiny')).toMatchObject({ body: TINY })
})
