// What this node does with announcements of the others, and what it announces of its own.
import type { Background } from './background.ts'
import type { Clock } from './db/clock.ts'
import { type Listener, listen } from './db/listen.ts'
import type { Parts } from './parts.ts'
import type { CurrentProvider } from './protocol/current-provider.ts'

// What nodes tell each other of busy address blocks.
const LIMITS = 'limits:'
const CLIENTS = 'clients:'

/** What follows announcements. */
export interface Followers
  extends Pick<Parts, 'db' | 'log' | 'answers' | 'limits' | 'clients' | 'resources'> {
  clock: Clock
  current: CurrentProvider
  /** Looks for work in a lane of the queue; without a lane in all of them. */
  wake: Background['wake']
}

/** Follows the announcements of all nodes until it is closed. @throws DatabaseUnavailable */
export function followAnnouncements(followers: Followers): Promise<Listener> {
  const { db, log, answers, limits, clients, resources, clock, current, wake } = followers
  const heard = (payload: string): void => {
    answers.heard(payload)
    if (payload.startsWith(CLIENTS)) clients.forget(payload.slice(CLIENTS.length))
    if (payload.startsWith(LIMITS)) limits.heard(payload.slice(LIMITS.length))
    if (payload === 'resources') resources.forget()
    if (payload === 'jobs' || payload === 'mails') wake(payload)
    if (payload === 'resources' || payload === 'keys') current.renew()
  }
  const missedSome = (): void => {
    clients.forget()
    resources.forget()
    wake()
    current.renew()
  }
  const tells = (): string | undefined => {
    const told = limits.tell()
    return told === undefined ? undefined : LIMITS + told
  }
  // While no announcements arrive, clients and APIs are read anew each time; the provider keeps what it was built from until
  // it is built anew.
  const handlers = { heard, missedSome, deaf: current.renewUnlessUnderWay, tells }
  return listen({ pool: db, clock, log, node: answers.node }, handlers)
}
