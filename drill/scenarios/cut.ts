// Connections to PostgreSQL are reset: at one exact message, at any moment, and all of them for a while.
import { setTimeout as sleep } from 'node:timers/promises'
import type { Scenario } from '../drill.ts'

const WHEN = ['asked', 'done', 'told'] as const

export const cut: Scenario = {
  name: 'cut',
  about:
    'connections reset before, after and in the middle of a statement’s answer (10 s, one every 50 ms); all of them reset and refused for 3 s, at one node and at both',
  async run({ cluster, quick, fault }) {
    const proxies = cluster.nodes.map(({ proxy }) => proxy)
    await fault(async () => {
      for (let i = 0; i < (quick ? 60 : 200); i++) {
        const proxy = proxies[i % 2]!
        const armed = proxy.cutAt({ trip: 1 + (i % 5), when: WHEN[i % 3]!, only: true })
        await sleep(50)
        armed.disarm()
      }
    })
    for (const some of [proxies.slice(0, 1), proxies.slice(1), proxies]) {
      await fault(async () => {
        for (const proxy of some) proxy.cut()
        await sleep(3_000)
        for (const proxy of some) proxy.pass()
      })
    }
  },
}
