// Both nodes are stopped and started, one after the other, behind a load balancer that asks /readyz: nobody notices.
import type { Scenario } from '../drill.ts'

export const rollingRestart: Scenario = {
  name: 'rolling-restart',
  about:
    'SIGTERM of one node after the other under load; clients follow `/readyz`; nothing may fail, not even with 503',
  choice: 'ready',
  async run({ cluster, quick, fault }) {
    for (let i = 0; i < (quick ? 2 : 6); i++) {
      const node = cluster.nodes[i % 2]!
      await fault(async () => {
        await node.stop()
        await node.start()
      })
    }
  },
}
