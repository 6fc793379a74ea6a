// The clocks of both nodes are wrong, one five minutes ahead and the other five minutes behind.
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { send } from '../../test/support/attack.ts'
import type { NodeOptions } from '../cluster.ts'
import type { Scenario } from '../drill.ts'

const preload = join(import.meta.dirname, '../../test/support/wrong-clock.ts')
const wrong = (seconds: number): NodeOptions => ({
  env: { NODE_OPTIONS: `--import=${preload}`, CLOCK_OFF_SECONDS: `${seconds}` },
})

export const clock: Scenario = {
  name: 'clock',
  about: 'one node five minutes ahead of PostgreSQL, the other five minutes behind, for 20 s',
  nodes: async () => [wrong(300), wrong(-300)],
  async run({ cluster, quick, fault, note }) {
    await fault(() => sleep(quick ? 5_000 : 20_000))
    for (const node of cluster.nodes) {
      const { text } = await send('GET', node.origin, '/readyz')
      const isLogged = /clock/i.test(node.output())
      note(
        `clock: \`/readyz\` of node ${node.name} says \`${text}\`, its log ${isLogged ? 'says so, too' : 'says nothing'}`,
      )
    }
  },
}
