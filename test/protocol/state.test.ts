// A request that was given up uses nothing up when its statement arrives late; also where another one was given up after it.
import { randomUUID } from 'node:crypto'
import { afterAll, beforeAll, expect, test } from '@jest/globals'
import {
  type GiveBacks,
  giveBacks,
  saveNewState,
  savePushedRequest,
  type Use,
  useDecision,
  usePushedRequest,
} from '../../src/protocol/storage/state.ts'
import { createTestDatabase, type TestDatabase } from '../support/database.ts'

let database: TestDatabase
let nodes: GiveBacks[]
beforeAll(async () => {
  database = await createTestDatabase()
  nodes = [giveBacks(database.db), giveBacks(database.db)]
})
afterAll(async () => {
  for (const node of nodes ?? []) await node.close()
  await database?.drop()
})

const KINDS = [
  {
    kind: 'decision' as const,
    save: (id: string) => saveNewState(database.db, 'decision', id, '{}', 600),
    use: (use: Use) => useDecision(database.db, use),
  },
  {
    kind: 'pushed_authorization_request' as const,
    save: (id: string) => savePushedRequest(database.db, id, '{}', { expiresIn: 600, client_id: undefined }),
    use: (use: Use) => usePushedRequest(database.db, use, true),
  },
]

test.each(KINDS)('$kind: given up at two nodes, and both arrive late', async ({ kind, save, use }) => {
  const id = randomUUID()
  await save(id)
  const uses = nodes.map(() => ({ kind, id, by: randomUUID() }))
  for (const [i, node] of nodes.entries()) await node.giveBack(uses[i]!)

  const arrived = [await use(uses[0]!), await use(uses[1]!)]

  expect(arrived).toEqual([false, false])
  expect(await use({ kind, id, by: randomUUID() })).toBe(true)
})

test.each(KINDS)('$kind: only the request that used it gives it back', async ({ kind, save, use }) => {
  const id = randomUUID()
  await save(id)
  const [used, other] = [randomUUID(), randomUUID()].map((by) => ({ kind, id, by }))
  expect(await use(used!)).toBe(true)

  await nodes[1]!.giveBack(other!)
  expect(await use({ kind, id, by: randomUUID() })).toBe(false)
  await nodes[0]!.giveBack(used!)

  expect(await use(used!)).toBe(false)
  expect(await use({ kind, id, by: randomUUID() })).toBe(true)
})
