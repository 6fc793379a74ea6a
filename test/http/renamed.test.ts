// Addresses of an earlier version: what stood there is found, by whoever asks, with the same method.
import { afterAll, beforeAll, expect, test } from '@jest/globals'
import { createTestDatabase, type TestDatabase } from '../support/database.ts'
import { startApp, type TestApp } from '../support/server.ts'

const ID = '0b6cbb9e-9b1c-4a55-8a6d-5a3d5f7c2f10'

let database: TestDatabase
let app: TestApp
beforeAll(async () => {
  database = await createTestDatabase()
  app = await startApp({ db: database.db })
})
afterAll(async () => {
  await app?.stop()
  await database?.drop()
})

test.each([
  ['GET', '/admin/apps', '/admin/clients'],
  ['GET', '/admin/apps?search=printer', '/admin/clients?search=printer'],
  ['POST', '/admin/apps/c_1/suspend', '/admin/clients/c_1/suspend'],
  ['GET', '/admin/apps/away', '/admin/clients/blocked'],
  [
    'POST',
    '/admin/apps/https%3A%2F%2Fa.example%2Fid/readmit',
    '/admin/clients/https%3A%2F%2Fa.example%2Fid/unblock',
  ],
  ['POST', `/admin/access/${ID}/end`, `/admin/consents/${ID}/end`],
  ['DELETE', '/api/v1/grants?client_id=c_1', '/api/v1/consents?client_id=c_1'],
  ['GET', `/api/v1/grants/${ID}`, `/api/v1/consents/${ID}`],
  ['DELETE', '/api/v1/clients/c_1/access', '/api/v1/clients/c_1/consents'],
  ['DELETE', `/api/v1/users/${ID}/access`, `/api/v1/users/${ID}/consents`],
  ['GET', '/api/v1/barred-clients', '/api/v1/blocked-clients'],
  ['DELETE', '/api/v1/barred-clients/c_1', '/api/v1/blocked-clients/c_1'],
])('%s %s is sent on to %s', async (method, from, to) => {
  const answer = await fetch(app.origin + from, { method, redirect: 'manual' })

  expect([answer.status, answer.headers.get('location')]).toEqual([308, to])
  expect(answer.headers.get('deprecation')).toMatch(/^@\d+$/)
  expect(answer.headers.get('link')).toBe(`<${to.split('?')[0]}>; rel="successor-version"`)
})

test('a method that the address never took is refused', async () => {
  const { status } = await fetch(`${app.origin}/api/v1/grants`, { method: 'DELETE', redirect: 'manual' })

  expect(status).toBe(405)
})

test.each(['/admin/appstore', '/api/v1/grants', '/api/v1/grants/x7Kp', '/admin/clients'])(
  '%s is not',
  async (path) => {
    const answer = await fetch(app.origin + path, { redirect: 'manual' })

    expect(answer.headers.get('deprecation')).toBeNull()
  },
)
