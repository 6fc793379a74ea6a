// A primary and its workers that take turns, as a program of its own: it prints who begins and ends a piece of work. The
// last worker dies over its first one.
import cluster from 'node:cluster'
import { setTimeout as sleep } from 'node:timers/promises'
import { handOutTurns, inTurn } from '../../src/base/turns.ts'

/** How many turns there are. */
export const MOST = 2
/** How many workers ask for them. */
export const WORKERS = 4
/** How much each of them has to do. */
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
