// Somebody holds the lock of one row: whoever needs the row is told so soon, nobody else waits, and nothing is done later.
import { setTimeout as sleep } from 'node:timers/promises'
import pg from 'pg'
import { digest } from '../../src/base/credentials.ts'
import type { Drill, Scenario } from '../drill.ts'

/** Who needs the row that is held, from a moment on. */
const needed: { from: number; who: RegExp }[] = []

export const lock: Scenario = {
  name: 'lock',
  about: 'the row of a grant, a consent and a client held for 15 s each',
  mayWait: ({ who, ended }) => needed.findLast(({ from }) => from <= ended)?.who.test(who) ?? false,
  async run(drill) {
    const { cluster, cast, quick } = drill
    const ms = quick ? 6_000 : 15_000
    const token = () => digest(refreshTokenOf(drill))
    const ofGrant = 'select from grants where id = (select grant_id from tokens where hash = $1) for update'
    const ofConsent = `select from consents
      where id = (select g.consent_id from grants g join tokens t on t.grant_id = g.id where t.hash = $1) for update`
    const ofClient = 'select from clients where id = $1 for update'
    await hold(/^refresher 1$/, ofGrant, () => [token()])
    await hold(/^refresher 1$/, ofConsent, () => [token()])
    await hold(/^refresher/, ofClient, () => [cast.apps.refreshers.id])

    async function hold(who: RegExp, statement: string, values: () => unknown[]): Promise<void> {
      const client = new pg.Client(cluster.databaseUrl)
      await client.connect()
      try {
        await client.query('begin')
        const { rowCount } = await client.query(statement, values())
        if (rowCount !== 1) throw new Error(`nothing to lock: ${statement}`)
        needed.push({ from: performance.now(), who })
        await drill.fault(async () => {
          await sleep(ms)
          await client.query('rollback')
        })
      } finally {
        await client.end()
      }
    }
  },
}

function refreshTokenOf({ load }: Drill): string {
  const tokens = [...(load.connectionOf('refresher 1')?.tokens ?? [])]
  const found = tokens.reverse().find((token) => token.startsWith('vk_rt_'))
  if (!found) throw new Error('nobody refreshes')
  return found
}
