// The document of the Admin API: right by a linter's rules, complete, and readable as a page.
import { afterAll, beforeAll, expect, test } from '@jest/globals'
import { BaseResolver, createConfig, lintDocument, makeDocumentFromString } from '@redocly/openapi-core'
import { send } from '../support/attack.ts'
import { type ApiFixture, startApiFixture } from './api-fixture.ts'

let fixture: ApiFixture
let text: string
beforeAll(async () => {
  fixture = await startApiFixture({ BRAND_NAME: 'Example <b>ID</b>' })
  text = await (await fetch(`${fixture.server.origin}/api/v1/openapi.json`)).text()
})
afterAll(() => fixture.stop())

test('it passes the recommended rules of a linter', async () => {
  const config = await createConfig({ extends: ['recommended'] })
  const problems = await lintDocument({
    document: makeDocumentFromString(text, 'openapi.json'),
    externalRefResolver: new BaseResolver(),
    config,
  })

  const told = problems.map(({ ruleId, severity, message, location }) => ({
    ruleId,
    severity,
    message,
    at: location[0]?.pointer,
  }))
  // The server under test is at localhost, as its issuer says.
  expect(told.filter(({ ruleId }) => ruleId !== 'no-server-example.com')).toEqual([])
})

test('it names every operation with its scope, and is served to everybody, to be kept for a while', async () => {
  const answer = await fetch(`${fixture.server.origin}/api/v1/openapi.json`)
  const document = JSON.parse(text)

  expect(document.openapi).toMatch(/^3\.1\./)
  expect(answer.headers.get('cache-control')).toBe('public, max-age=300')
  // Not with fetch, which asks for a fresh answer whenever it is told to compare.
  const again = await send('GET', fixture.server.origin, '/api/v1/openapi.json', {
    headers: { 'if-none-match': answer.headers.get('etag')! },
  })
  expect(again.status).toBe(304)
  for (const { method, path, id, scope } of fixture.operations) {
    const operation = document.paths[path][method.toLowerCase()]
    expect(operation).toMatchObject({ operationId: id, security: [{ oauth: [scope] }] })
  }
  expect(Object.values(document.paths).flatMap((path) => Object.keys(path as object))).toHaveLength(
    fixture.operations.length,
  )
})

test('it says what the server does: defaults, limits and members come from the schemas that check requests', () => {
  const { schemas } = JSON.parse(text).components

  expect(schemas.NewClient.required).toEqual(['name', 'type'])
  expect(schemas.NewClient.properties.redirect_uris).toMatchObject({ type: 'array', maxItems: 20 })
  expect(schemas.NewClient.additionalProperties).toBe(false)
  expect(schemas.ClientChange.required).toBeUndefined()
  expect(schemas.ClientChange.properties.pkce_required).not.toHaveProperty('default')
  expect(schemas.ClientChange.properties).not.toHaveProperty('type')
})

test('the page shows all of it, without a script, under the policy of every page', async () => {
  const answer = await fetch(`${fixture.server.origin}/api/docs`, { headers: { Accept: 'text/html' } })
  const html = await answer.text()

  expect(answer.status).toBe(200)
  expect(answer.headers.get('content-security-policy')).toContain("default-src 'none'")
  expect(html).not.toContain('<script')
  expect(html).not.toContain('<b>ID</b>')
  for (const { id, summary } of fixture.operations) {
    expect(html).toContain(`id="${id}"`)
    expect(html).toContain(summary.replaceAll("'", '&#39;'))
  }
})
