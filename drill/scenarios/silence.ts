// The network swallows: no connection breaks, nothing is answered, and what was sent arrives when nobody expects it any more.
import { setTimeout as sleep } from 'node:timers/promises'
import type { Silence } from '../../test/support/proxy.ts'
import type { Drill, Scenario } from '../drill.ts'

const LISTENING = 'valetkey listen'

export const silence: Scenario = {
  name: 'silence',
  about:
    'nothing arrives for 10 s, and all of it late: one node both ways, both nodes, only answers, only the connections that listen',
  async run({ cluster, quick, fault }) {
    const [one, two] = cluster.nodes.map(({ proxy }) => proxy)
    const ms = quick ? 6_000 : 10_000
    const silent = (proxies: Drill['cluster']['nodes'][number]['proxy'][], what?: Silence) =>
      fault(async () => {
        for (const proxy of proxies) proxy.silence(what)
        await sleep(ms)
        for (const proxy of proxies) proxy.pass()
      })
    await silent([one!])
    await silent([one!, two!])
    await silent([one!], { way: 'down' })
    await silent([one!, two!], { way: 'down' })
    await silent([one!, two!], { name: LISTENING })
  },
}
