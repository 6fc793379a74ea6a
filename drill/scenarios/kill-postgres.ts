// PostgreSQL dies: its first process, or one of its backends, which makes it throw out everybody and recover.
import { many, sql } from '../../src/db/pool.ts'
import { type Drill, type Scenario, untilWritable } from '../drill.ts'

export const killPostgres: Scenario = {
  name: 'kill-postgres',
  about: 'SIGKILL of PostgreSQL under load, of its first process and of a backend in turns',
  async run({ cluster, quick, fault }) {
    for (let i = 0; i < (quick ? 4 : 20); i++) {
      const pid = i % 2 === 0 ? await cluster.postmaster() : await someBackend(cluster)
      await fault(async () => {
        process.kill(pid, 'SIGKILL')
        // Until it has noticed, it still takes connections.
        await gone(pid)
        await untilWritable(cluster)
      })
    }
  },
}

async function someBackend({ db }: Drill['cluster']): Promise<number> {
  const backends = await many<{ pid: number }>(
    db,
    sql`select pid from pg_stat_activity where application_name = 'valetkey' and pid <> pg_backend_pid()
        order by state = 'idle', random()`,
  )
  return backends[0]!.pid
}

async function gone(pid: number): Promise<void> {
  for (;;) {
    try {
      process.kill(pid, 0)
    } catch {
      return
    }
    await new Promise((resolve) => setTimeout(resolve, 5))
  }
}
