// A program with a primary and workers that take turns. It prints who starts and ends each piece of work. The last worker dies during its
// first one.
import cluster from 'node:cluster'
import { setTimeout as sleep } from 'node:timers/promises'
import { handOutTurns, inTurn } from '../../src/base/turns.ts'

/** How many may work at once. */
export const MOST = 2
/** How many workers there are. */
export const WORKERS = 4
/** How many pieces of work each worker does. */
export const PIECES = 5

if (cluster.isPrimary && import.meta.main) {
  handOutTurns(MOST)
  for (let i = 0; i < WORKERS; i++) cluster.fork({ DIES: i === WORKERS - 1 ? 'yes' : 'no' })
} else if (cluster.isWorker) {
  await Promise.all(Array.from({ length: PIECES }, () => inTurn(piece)))
  process.exit(0)
}

async function piece(): Promise<void> {
  console.log(`begin ${process.pid}`)
  if (process.env.DIES === 'yes') process.kill(process.pid, 'SIGKILL')
  await sleep(30)
  console.log(`end ${process.pid}`)
}
