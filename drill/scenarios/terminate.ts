// Every connection of the nodes is ended by the server, in the middle of whatever they do, as at a switch-over.
import { setTimeout as sleep } from 'node:timers/promises'
import { run, sql } from '../../src/db/pool.ts'
import type { Scenario } from '../drill.ts'

export const terminate: Scenario = {
  name: 'terminate',
  about: 'pg_terminate_backend of all connections of both nodes, every 200 ms for 5 s',
  async run({ cluster, quick, fault }) {
    for (let round = 0; round < (quick ? 1 : 4); round++) {
      await fault(async () => {
        for (let i = 0; i < 25; i++) {
          await run(
            cluster.db,
            sql`select pg_terminate_backend(pid) from pg_stat_activity
                where application_name in ('valetkey', 'valetkey listen') and pid <> pg_backend_pid()`,
          )
          await sleep(200)
        }
      })
    }
  },
}
