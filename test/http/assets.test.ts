// The style sheets and icons: over real HTTP, kept for long, and never anything else.
import type { Server } from 'node:http'
import type { AddressInfo } from 'node:net'
import { afterAll, beforeAll, describe, expect, test } from '@jest/globals'
import Koa from 'koa'
import { assets } from '../../src/http/assets.ts'

const brand = { name: 'Example Cloud', logoUrl: undefined, accent: '#b3246b', supportAddress: undefined }
const { middleware, url } = assets({ brand })
let server: Server
let origin: string

beforeAll(async () => {
  const app = new Koa()
  app.use(middleware)
  app.use((ctx) => {
    ctx.body = `page ${ctx.path}`
  })
  server = app.listen(0, '127.0.0.1')
  await new Promise((done) => server.once('listening', done))
  origin = `http://127.0.0.1:${(server.address() as AddressInfo).port}`
})

afterAll(() => new Promise((done) => server.close(done)))

describe('a file', () => {
  test.each([
    ['pico.css', 'text/css; charset=utf-8', 'Pico CSS'],
    ['valetkey.css', 'text/css; charset=utf-8', '--vk-page'],
    ['brand.css', 'text/css; charset=utf-8', '--vk-accent: #b3246b'],
    ['icon.svg', 'image/svg+xml', 'fill="#b3246b"'],
  ] as const)('%s is served under its address and may be kept for a year', async (name, type, text) => {
    const answer = await fetch(origin + url(name))

    expect(answer.status).toBe(200)
    expect(answer.headers.get('content-type')).toBe(type)
    expect(answer.headers.get('cache-control')).toBe('public, max-age=31536000, immutable')
    expect(answer.headers.get('x-content-type-options')).toBe('nosniff')
    expect(await answer.text()).toContain(text)
  })

  test('asked for again with its tag is not sent again', async () => {
    const first = await fetch(origin + url('valetkey.css'))
    const tag = first.headers.get('etag')!

    // Without a cache-control of its own, fetch adds one that forbids a 304.
    const headers = { 'if-none-match': tag, 'cache-control': 'max-age=0' }
    const again = await fetch(origin + url('valetkey.css'), { headers })

    expect(again.status).toBe(304)
    expect(again.headers.get('cache-control')).toContain('immutable')
    expect(await again.text()).toBe('')
  })

  test.each(['', '?v=of-yesterday'])(
    'with "%s" instead of its hash is the one of today, not kept',
    async (query) => {
      const answer = await fetch(`${origin}/assets/valetkey.css${query}`)

      expect(answer.status).toBe(200)
      expect(answer.headers.get('cache-control')).toBe('public, no-cache')
    },
  )

  test('answers HEAD without a body', async () => {
    const answer = await fetch(origin + url('pico.css'), { method: 'HEAD' })

    expect(answer.status).toBe(200)
    expect(Number(answer.headers.get('content-length'))).toBeGreaterThan(5_000)
    expect(await answer.text()).toBe('')
  })

  test('cannot be written to', async () => {
    const answer = await fetch(origin + url('pico.css'), { method: 'POST', body: 'x' })

    expect(answer.status).toBe(405)
    expect(answer.headers.get('allow')).toBe('GET, HEAD')
  })
})

test('a brand has its own address for what depends on it, and only for that', () => {
  const other = assets({ brand: { ...brand, accent: '#1f5eff' } })

  expect(other.url('brand.css')).not.toBe(url('brand.css'))
  expect(other.url('icon.svg')).not.toBe(url('icon.svg'))
  expect(other.url('valetkey.css')).toBe(url('valetkey.css'))
})

test.each([
  '/assets/',
  '/assets/none.css',
  '/assets/%2e%2e%2fpackage.json',
  '/assets/constructor',
  '/assets/%00',
])('%s is not found, and does not reach the pages', async (path) => {
  const answer = await fetch(origin + path)

  expect(answer.status).toBe(404)
  expect(answer.headers.get('cache-control')).toBe('no-store')
  expect(await answer.text()).toBe('There is no such file.\n')
})

test('every other path is left to the pages', async () => {
  const answer = await fetch(`${origin}/account`)

  expect(await answer.text()).toBe('page /account')
})
