// What no example thinks of: requests made at random out of the table's own schemas. Whatever comes, the answer is one that the
// document tells of, is no failure of the server, and a creation that is answered with success holds what was sent.
import { afterAll, beforeAll, expect, test } from '@jest/globals'
import fc from 'fast-check'
import { z } from 'zod'
import type { Operation } from '../../src/api/framework/operation.ts'
import { type ApiFixture, operationsAt, startApiFixture } from './api-fixture.ts'

const operations = operationsAt()

let fixture: ApiFixture
let document: { paths: Record<string, Record<string, { responses: object }>> }
beforeAll(async () => {
  fixture = await startApiFixture({ API_REQUESTS_PER_MINUTE: '1000000', ACCESS_TOKEN_TTL_SECONDS: '3600' })
  document = (await (await fetch(`${fixture.server.origin}/api/v1/openapi.json`)).json()) as typeof document
})
afterAll(() => fixture.stop())

interface JsonSchema {
  type?: string
  enum?: unknown[]
  anyOf?: JsonSchema[]
  items?: JsonSchema
  properties?: Record<string, JsonSchema>
  format?: string
}

const text = fc.oneof(
  fc.string({ unit: 'binary', maxLength: 60 }),
  fc.constantFrom('', ' ', '\0', '%00', "'", '"><script>', '../..', '1e999', '9'.repeat(30), 'null', 'NaN'),
  fc.constantFrom('https://app.example/cb', 'javascript:alert(1)', 'openid', 'photos.read', 'users:write'),
)

/** Values of a schema, more or less. */
function valuesOf(schema: JsonSchema): fc.Arbitrary<unknown> {
  if (schema.enum) return fc.constantFrom(...schema.enum)
  if (schema.anyOf) return fc.oneof(...schema.anyOf.map(valuesOf))
  if (schema.format === 'uuid') return fc.uuid()
  if (schema.format === 'date-time') {
    return fc
      .date({ noInvalidDate: true, min: new Date(0), max: new Date('9999-12-31') })
      .map((at) => at.toISOString())
  }
  switch (schema.type) {
    case 'string':
      return text
    case 'boolean':
      return fc.boolean()
    case 'integer':
    case 'number':
      return fc.oneof(fc.integer({ min: 0, max: 20 }), fc.integer(), fc.double({ noNaN: true }))
    case 'null':
      return fc.constant(null)
    case 'array':
      return fc.array(valuesOf(schema.items ?? {}), { maxLength: 4 })
    case 'object':
      return fc.record(
        Object.fromEntries(
          Object.entries(schema.properties ?? {}).map(([name, each]) => [name, valuesOf(each)]),
        ),
        { requiredKeys: [] },
      )
    default:
      return fc.jsonValue({ maxDepth: 2 })
  }
}

/** As the schema says mostly; sometimes with a member too many, or anything at all. */
function sentTo(schema: z.ZodType | undefined): fc.Arbitrary<unknown> {
  if (!schema) return fc.constant(undefined)
  const right = valuesOf(z.toJSONSchema(schema, { io: 'input', unrepresentable: 'any' }) as JsonSchema)
  return fc.oneof(
    { weight: 6, arbitrary: right },
    {
      weight: 1,
      arbitrary: fc
        .tuple(right, fc.string(), fc.jsonValue())
        .map(([body, name, value]) => ({ ...(body as object), [name]: value })),
    },
    { weight: 1, arbitrary: fc.jsonValue({ maxDepth: 3 }) },
  )
}

const request = ({ params, query, body }: Operation) =>
  fc.record({
    params: fc.record(
      Object.fromEntries(
        Object.keys(params?.shape ?? {}).map((name) => [
          name,
          fc.oneof(
            fc.uuid(),
            fc.constantFrom('x', 'valetkey-account', 'aHR0cHM6Ly9waG90b3MuZXhhbXBsZQ'),
            text,
          ),
        ]),
      ),
    ),
    query: sentTo(query),
    body: sentTo(body),
    ifMatch: fc.constantFrom(undefined, '*', '"1"', 'x'),
    key: fc.constantFrom(undefined, 'a', 'b', ' ', 'ü'),
  })

test.each(operations.map((operation) => [`${operation.method} ${operation.path}`, operation] as const))(
  '%s',
  async (_, operation) => {
    const told = Object.keys(document.paths[operation.path]![operation.method.toLowerCase()]!.responses)
    await fc.assert(
      fc.asyncProperty(request(operation), async ({ params, query, body, ifMatch, key }) => {
        const path = operation.path.replace(/\{(\w+)\}/g, (_, name: string) =>
          encodeURIComponent(String(params[name]).toWellFormed()),
        )
        // An empty name, or one of dots, is another address.
        fc.pre(Object.values(params).every((value) => !['', '.', '..'].includes(String(value))))
        const asked = Object.entries((query as object) ?? {}).map(
          ([name, value]) => [name, String(value)] as [string, string],
        )
        const address = asked.length > 0 ? `${path}?${new URLSearchParams(asked)}` : path
        const headers = {
          ...(ifMatch && { 'If-Match': ifMatch }),
          ...(key && { 'Idempotency-Key': key }),
        }
        const answer = await fixture.call(operation.method, address, { body, headers })

        expect(told).toContain(String(answer.status))
        if (answer.status === 201 && typeof (body as { description?: unknown })?.description === 'string') {
          expect(answer.body.description).toBe((body as { description: string }).description.trim())
        }
      }),
      { numRuns: operation.id === 'rotateKeys' ? 3 : 25, seed: 20_261_122 },
    )
  },
)
