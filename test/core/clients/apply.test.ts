// What a file of many registrations costs: a few statements, however many apps it holds.
import { afterAll, beforeAll, expect, test } from '@jest/globals'
import { SYSTEM } from '../../../src/base/audit-events.ts'
import { applyPlan, planApply, type Wanted } from '../../../src/core/clients/apply.ts'
import { createResource } from '../../../src/core/resources/store.ts'
import { many, one, run, sql } from '../../../src/db/pool.ts'
import { createTestDatabase, type TestDatabase } from '../../support/database.ts'
import { PHOTOS } from '../../support/flow.ts'
import { statementsOf } from '../../support/statements.ts'

const MANY = 2_000

let database: TestDatabase
beforeAll(async () => {
  database = await createTestDatabase()
  await createResource(database.db, PHOTOS, SYSTEM)
})
afterAll(() => database.drop())

const wanted = (change: Partial<Wanted> = {}): Wanted[] =>
  Array.from({ length: MANY }, (_, i) => ({
    id: `app-${i}`,
    name: `App ${i}`,
    type: 'web',
    redirect_uris: [`https://app${i}.example/callback`],
    scopes: ['openid', 'photos.read'],
    ...change,
  }))

const apply = async (apps: Wanted[]) => {
  let count = 0
  let secrets = new Map<string, string>()
  const sent = await statementsOf(async () => {
    const { steps, mistakes } = await planApply(database.db, apps)
    expect(mistakes).toEqual([])
    count = steps.length
    if (count > 0) secrets = await applyPlan(database.db, steps, SYSTEM, async () => {})
  })
  return { steps: count, sent: sent.length, secrets }
}

const recorded = async (type: string) => {
  const { events } = await one<{ events: number }>(
    database.db,
    sql`select count(distinct client_id)::int as events from audit_events where type = ${type}`,
  )
  return events
}

test('2,000 apps are registered, found as they are, changed and deleted by a few statements each, and each is on record', async () => {
  const created = await apply(wanted())
  expect(created).toMatchObject({ steps: MANY, sent: expect.any(Number) })
  expect(created.sent).toBeLessThan(50)
  expect(created.secrets.size).toBe(MANY)
  expect(await recorded('client.created')).toBe(MANY + 1)

  const unchanged = await apply(wanted())
  expect(unchanged.steps).toBe(0)
  expect(unchanged.sent).toBeLessThanOrEqual(20)

  const changed = await apply(wanted({ scopes: ['openid'], first_party: true }))
  expect(changed.steps).toBe(MANY)
  expect(changed.sent).toBeLessThan(50)
  expect(await recorded('client.changed')).toBe(MANY)
  const rows = await many(
    database.db,
    sql`select version, scopes, first_party, redirect_uris from clients where id = 'app-7'`,
  )
  expect(rows).toEqual([
    { version: 2, scopes: ['openid'], first_party: true, redirect_uris: ['https://app7.example/callback'] },
  ])

  const deleted = await apply(wanted({ absent: true }))
  expect(deleted.steps).toBe(MANY)
  expect(deleted.sent).toBeLessThan(50)
  expect(await recorded('client.deleted')).toBe(MANY)
})

test('one that somebody changed since the plan was made stops all of it', async () => {
  const two = wanted()
    .slice(0, 2)
    .map((app) => ({ ...app, id: `again-${app.id}` }))
  await apply(two)
  const plan = await planApply(
    database.db,
    two.map((app) => ({ ...app, name: 'Another' })),
  )
  await run(database.db, sql`update clients set version = version + 1 where id = 'again-app-1'`)

  await expect(applyPlan(database.db, plan.steps, SYSTEM, async () => {})).rejects.toThrow(
    'changed meanwhile',
  )

  const rows = await many(database.db, sql`select name from clients where id = 'again-app-0'`)
  expect(rows).toEqual([{ name: 'App 0' }])
})
