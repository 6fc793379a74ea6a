// Connections to PostgreSQL are reset: at one exact message, at any moment, and all of them for a while.
import { setTimeout as sleep } from 'node:timers/promises'
import type { Scenario } from '../drill.ts'

const WHEN = ['asked', 'done', 'told'] as const

export const cut: Scenario = {
  name: 'cut',
  about:
    'connections reset before, after and in the middle of a statement’s answer (10 s, one every 50 ms); all of them reset and refused for 3 s, at one node and at both',
  async run({ cluster, quick, fault }) {
    const gates = cluster.nodes.map(({ gate }) => gate)
    await fault(async () => {
      for (let i = 0; i < (quick ? 60 : 200); i++) {
        const gate = gates[i % 2]!
        const armed = gate.cutAt({ trip: 1 + (i % 5), when: WHEN[i % 3]!, only: true })
        await sleep(50)
        armed.disarm()
      }
    })
    for (const some of [gates.slice(0, 1), gates.slice(1), gates]) {
      await fault(async () => {
        for (const gate of some) gate.cut()
        await sleep(3_000)
        for (const gate of some) gate.pass()
      })
    }
  },
}
