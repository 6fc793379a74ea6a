// Several processes that serve one port: started together, replaced when they die, stopped together. A message tells them what to
// serve; this file does not know it.
import cluster, { type Worker } from 'node:cluster'
import { once } from 'node:events'
import { setTimeout as sleep } from 'node:timers/promises'
import type { Logger } from 'pino'

/** What the primary process needs to know about its workers. */
export interface WorkersPlan<Task> {
  /** The file that every worker runs; it calls {@link workAs}. */
  script: string
  /** One for each worker, plain data. A replacement gets the task of the worker it replaces. */
  tasks: Task[]
  /** After how long a worker that was told to stop is killed. */
  stopSeconds: number
  log: Logger
}

/** A worker ended before it served anything. */
export class WorkerFailed extends Error {
  override name = 'WorkerFailed'
}

/** What a worker serves, which stops when it is told to. */
interface Server {
  drain(): void
  stop(): Promise<void>
}

/** Starts the workers; resolves when all of them listen. @throws WorkerFailed, and then none is left */
export async function startWorkers<Task>(plan: WorkersPlan<Task>): Promise<Server> {
  const { log } = plan
  const workers = new Set<Worker>()
  let draining = false
  let stopping = false
  // Workers accept connections themselves. If the primary process handed them out (the default), a connection would hang for ever
  // when its worker dies before taking it.
  cluster.schedulingPolicy = cluster.SCHED_NONE
  cluster.setupPrimary({ exec: plan.script, args: [] })

  async function startOne(task: Task): Promise<void> {
    const worker = cluster.fork()
    workers.add(worker)
    // Ignore errors of sending to a dying worker: its exit is handled.
    worker.on('error', (error) => log.debug({ err: error }, 'a message to a worker was lost'))
    const exited = exitOf(worker)
    void exited.then(() => workers.delete(worker))
    worker.send({ task })
    const listening = new Promise<undefined>((resolve) => worker.once('listening', () => resolve(undefined)))
    const reason = await Promise.race([listening, exited])
    if (reason !== undefined) throw new WorkerFailed('A worker ended before it could serve.')
    if (draining) tell(worker, 'drain')
    void exited.then((reason) => replace(task, worker, reason))
  }

  async function replace(task: Task, worker: Worker, reason: string | number): Promise<void> {
    for (let waitSeconds = 0.1; !stopping; waitSeconds = Math.min(waitSeconds * 2, 30)) {
      log.error({ worker: worker.process.pid, reason }, 'a worker died; another takes its place')
      await sleep(waitSeconds * 1000, undefined, { ref: false })
      if (stopping) return
      const started = await startOne(task).then(
        () => true,
        () => false,
      )
      if (started) return
    }
  }

  function drain(): void {
    draining = true
    for (const worker of workers) tell(worker, 'drain')
  }

  async function stop(): Promise<void> {
    stopping = true
    const kill = setTimeout(() => {
      for (const worker of workers) worker.process.kill('SIGKILL')
    }, plan.stopSeconds * 1000)
    await Promise.all(
      [...workers].map(async (worker) => {
        const exited = exitOf(worker)
        tell(worker, 'stop')
        if (!worker.isDead()) await exited
      }),
    )
    clearTimeout(kill)
  }

  try {
    await Promise.all(plan.tasks.map(startOne))
  } catch (error) {
    await stop()
    throw error
  }
  return { drain, stop }
}

function tell(worker: Worker, what: 'drain' | 'stop'): void {
  if (worker.isConnected()) worker.send(what)
}

/** Resolves when a worker has ended, with the reason. Not events.once, which would take an error of the channel for the end. */
function exitOf(worker: Worker): Promise<string | number> {
  return new Promise((resolve) => worker.once('exit', (code, signal) => resolve(signal ?? code)))
}

/** Whether this process is a worker of {@link startWorkers}. */
export const isWorker = cluster.isWorker

/** The side of a worker: takes the task, serves it, and ends when it is told to. */
export async function workAs<Task>(serve: (task: Task) => Promise<Server>): Promise<void> {
  // The terminal and service managers send signals to all processes of the group, but only the primary process decides.
  for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) process.on(signal, () => {})
  const drained = Promise.withResolvers<void>()
  const stopped = Promise.withResolvers<void>()
  process.on('message', (message) => {
    if (message === 'drain') drained.resolve()
    if (message === 'stop') stopped.resolve()
  })
  const [{ task }] = (await once(process, 'message')) as [{ task: Task }]
  const server = await serve(task)
  void drained.promise.then(() => server.drain())
  await stopped.promise
  await server.stop()
  cluster.worker?.disconnect()
  process.exit(0)
}
