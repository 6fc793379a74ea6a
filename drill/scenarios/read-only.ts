// The server takes no writes: a standby after a switch-over that went to the wrong place, or an operator's precaution.
import { setTimeout as sleep } from 'node:timers/promises'
import pg from 'pg'
import { type Scenario, untilWritable } from '../drill.ts'

export const readOnly: Scenario = {
  name: 'read-only',
  about: 'default_transaction_read_only = on for 8 s',
  async run({ cluster, quick, fault }) {
    const client = new pg.Client(cluster.databaseUrl)
    await client.connect()
    await client.query('set default_transaction_read_only = off')
    try {
      for (let i = 0; i < (quick ? 1 : 3); i++) {
        await fault(async () => {
          await client.query('alter system set default_transaction_read_only = on')
          await client.query('select pg_reload_conf()')
          await sleep(quick ? 4_000 : 8_000)
          await client.query('alter system reset default_transaction_read_only')
          await client.query('select pg_reload_conf()')
          await untilWritable(cluster)
        })
      }
    } finally {
      await client.end()
    }
  },
}
