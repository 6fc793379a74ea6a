// Turns for work that takes a whole core for many milliseconds, so that one core stays free for everything else. The primary process
// hands out the turns to all processes of this server. It knows neither noun nor database.
import cluster, { type Worker } from 'node:cluster'
import { availableParallelism } from 'node:os'

/** Hands a turn back. */
type Give = () => void

/** Gives a limited number of turns at a time, in the order of the requests; requests that go ahead come first. */
export interface Turns {
  take(ahead?: boolean): Promise<Give>
}

// How many turns there are at a time on this machine.
const MOST_TURNS = Math.max(1, availableParallelism() - 1)

// Such work runs in the four threads of libuv. Signing, DNS and reading files need one of these threads, too.
const MOST_THREADS = 3

/** Turns within this process. */
export function localTurns(most: number): Turns {
  const waiting: Give[] = []
  const ahead: Give[] = []
  let free = most
  const give: Give = () => {
    const next = ahead.shift() ?? waiting.shift()
    if (next) next()
    else free += 1
  }
  return {
    async take(goesAhead = false) {
      if (free > 0) free -= 1
      else await new Promise<void>((resolve) => (goesAhead ? ahead : waiting).push(resolve))
      return give
    },
  }
}

/** The side of the primary process: gives turns to the workers that ask for one, and takes back the turns of a worker that died. */
export function handOutTurns(most = MOST_TURNS): void {
  const turns = localTurns(most)
  const held = new Map<Worker, Map<number, Give>>()
  cluster.on('message', async (worker: Worker, message: Partial<ToPrimary>) => {
    if (message.giveTurn !== undefined) {
      held.get(worker)?.get(message.giveTurn)?.()
      held.get(worker)?.delete(message.giveTurn)
    }
    if (message.takeTurn === undefined) return
    const give = await turns.take()
    if (worker.isDead() || !worker.isConnected()) return give()
    const ofWorker = held.get(worker) ?? new Map<number, Give>()
    held.set(worker, ofWorker.set(message.takeTurn, give))
    worker.send({ turn: message.takeTurn })
  })
  cluster.on('exit', (worker) => {
    for (const give of held.get(worker)?.values() ?? []) give()
    held.delete(worker)
  })
}

type ToPrimary = { takeTurn: number; giveTurn: number }

/** The side of a worker: see {@link handOutTurns}. */
function askedTurns(): Turns {
  const asked = new Map<number, () => void>()
  let last = 0
  process.on('message', ({ turn }: { turn?: number }) => {
    if (turn !== undefined) asked.get(turn)?.()
  })
  return {
    async take() {
      const id = ++last
      await new Promise<void>((resolve) => {
        asked.set(id, resolve)
        process.send?.({ takeTurn: id })
      })
      asked.delete(id)
      return () => void process.send?.({ giveTurn: id })
    },
  }
}

const ofMachine = cluster.isWorker ? askedTurns() : localTurns(MOST_TURNS)
const ofProcess = localTurns(MOST_THREADS)

/** Runs work that takes a whole core when its turn comes. @param ahead whether it goes ahead of work that waits in this process */
export async function inTurn<T>(work: () => Promise<T>, ahead = false): Promise<T> {
  // All but three wait here; these have no need to go ahead of each other.
  const giveThread = await ofProcess.take(ahead)
  const giveCore = await ofMachine.take()
  try {
    return await work()
  } finally {
    giveCore()
    giveThread()
  }
}
