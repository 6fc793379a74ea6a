// Removing an app that has very many tokens, next to one that has a single one.
import { percentile } from './load.ts'
import { expectDead, prepareRemoval, type Site } from './rows.ts'
import { addApps, settle } from './seed.ts'

/** Milliseconds of each removal, from the click on the last button to the answer. */
export interface Sizes {
  many: number
  manyMs: number[]
  oneMs: number[]
}

const REPEATS = 5

/** Removes apps with one token and with `many` in turns, and sees that the tokens are dead. */
export async function removalsBySize(site: Site, many: number): Promise<Sizes> {
  console.log(`Adding ${REPEATS} apps with ${many.toLocaleString('en')} tokens each …`)
  const [visitor] = site.visitors
  const ids = await addApps(site.db!, site.target.clients, REPEATS * 2)
  const removals = []
  for (const [i, id] of ids.entries()) {
    removals.push(await prepareRemoval(site, visitor!, id, i % 2 === 0 ? 1 : many))
  }
  await settle(site.db!)
  const times: number[][] = [[], []]
  for (const [i, { token, confirm }] of removals.entries()) {
    const start = performance.now()
    await confirm(visitor!.connection)
    times[i % 2]!.push(performance.now() - start)
    await expectDead(site, token)
  }
  return { many, oneMs: times[0]!, manyMs: times[1]! }
}

/** The middle one of some times. */
export function median(latencies: number[]): number {
  return percentile({ count: latencies.length, seconds: 0, latencies }, 0.5)
}
