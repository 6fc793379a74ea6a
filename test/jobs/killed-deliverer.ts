// A node that takes a delivery and is killed by the test that started it. @param argv[2] the address of its database
import { openPool } from '../../src/db/pool.ts'
import { createLogger } from '../../src/http/log.ts'
import { startDeliveries } from '../../src/jobs/deliveries.ts'

startDeliveries(
  { db: openPool(process.argv[2]!), log: createLogger('silent') },
  {
    lane: 'mail',
    kinds: ['greeting'],
    patience: { firstPauseSeconds: 60, longestPauseSeconds: 3_600, triedHours: 24 },
    async attempt() {
      process.send!('taken')
      return new Promise(() => {})
    },
    lost: async () => {},
    gaveUp() {},
  },
)
