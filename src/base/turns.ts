// Work that takes a whole core for many milliseconds waits for its turn, so that a core is left for everything else: over
// all processes of this server, which the primary process gives their turns. It knows neither noun nor database.
import cluster, { type Worker } from 'node:cluster'
import { availableParallelism } from 'node:os'

/** Hands a turn back. */
type Give = () => void

/** At most so many turns at a time, in the order in which they were asked for; those who go ahead first. */
export interface Turns {
  take(ahead?: boolean): Promise<Give>
}

// How much of such work is done at a time on this machine.
const MOST_TURNS = Math.max(1, availableParallelism() - 1)

// Such work runs in libuv's four threads, as signing, DNS and reading files do; one of them stays theirs.
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

/** The primary's side: gives workers the turns that they ask for, and takes back those of a worker that died. */
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

/** A worker's side of {@link handOutTurns}. */
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

/** Does work that takes a whole core, when it is its turn. @param ahead whether it goes ahead of what waits in this process. */
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
