// The power of a node goes, again and again: SIGKILL under load, and it is started once more.
import { setTimeout as sleep } from 'node:timers/promises'
import type { Scenario } from '../drill.ts'

export const killNode: Scenario = {
  name: 'kill-node',
  about: 'SIGKILL of a node under load, of the two in turns, started again after a second',
  async run({ cluster, quick, fault }) {
    for (let i = 0; i < (quick ? 2 : 10); i++) {
      const node = cluster.nodes[i % 2]!
      let starting: Promise<void> | undefined
      await fault(async () => {
        await node.kill()
        await sleep(1_000)
        starting = node.start()
      })
      await starting
    }
  },
}
