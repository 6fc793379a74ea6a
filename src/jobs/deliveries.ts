// Makes the deliveries of one lane, one after the other. It knows no noun: the caller hands in how one is made, and what to do when
// one is lost.
import { setTimeout as sleep } from 'node:timers/promises'
import {
  type Delivery,
  type DeliveryEnd,
  type DeliveryLane,
  endDelivery,
  giveUpDeliveries,
  type Patience,
  takeDelivery,
} from '../db/deliveries.ts'
import { DatabaseUnavailable } from '../db/errors.ts'
import { type Db, type Pool, tx } from '../db/pool.ts'
import type { Logger } from '../http/log.ts'
import { type Lane, startLane } from './lane.ts'

/** How an attempt came out. */
export type Outcome =
  /** `later`: try it again. `unreachable`: try it again, and stop for now, because the other deliveries would fail, too. */
  | { is: 'sent' | 'withdrawn' | 'later' | 'unreachable' }
  /** It was refused for good. `why` is for the log. */
  | { is: 'given_up'; why: object }

/** What a lane needs from those who know what is delivered. */
export interface Deliverer {
  lane: DeliveryLane
  /** The kinds that this version can deliver; other kinds are left to nodes that know them. */
  kinds: string[]
  patience: Patience
  /**
   * Makes one attempt and logs its outcome, unless it is given up.
   * @param signal ends the attempt before the next one may begin
   */
  attempt(delivery: Delivery, signal: AbortSignal): Promise<Outcome>
  /** Records in the transaction that gives a delivery up that nobody will get it. */
  lost(t: Db, delivery: Delivery): Promise<void>
  /** Logs that a delivery was given up. @param why absent: it is too old */
  gaveUp(delivery: Delivery, why?: object): void
}

// The share of the first pause that an attempt may take. The rest is for noting its outcome before another node takes it.
const SHARE_OF_PAUSE = 0.75
const CLOSE_MS = 3_000
const NOTE_TRIES = 5

/** Makes deliveries until it is closed. A delivery under way then has 3 seconds; what is not delivered is left to another node. */
export function startDeliveries({ db, log }: { db: Pool; log: Logger }, deliverer: Deliverer): Lane {
  const { lane, kinds, patience } = deliverer
  const attemptMs = patience.firstPauseSeconds * 1000 * SHARE_OF_PAUSE
  const stopped = new AbortController()
  let closed = false

  const giveUp = async (): Promise<void> => {
    const gone = await tx(db, async (t) => {
      const given = await giveUpDeliveries(t, lane, patience)
      for (const delivery of given) await deliverer.lost(t, delivery)
      return given
    })
    for (const delivery of gone) deliverer.gaveUp(delivery)
  }
  const next = async (): Promise<number | undefined> => {
    const delivery = kinds.length > 0 ? await takeDelivery(db, lane, kinds, patience) : undefined
    if (!delivery) return undefined
    const signal = AbortSignal.any([stopped.signal, AbortSignal.timeout(attemptMs)])
    const outcome = await deliverer
      .attempt(delivery, signal)
      .catch((error: unknown) => failed(delivery, error))
    if (outcome.is === 'unreachable') return undefined
    if (outcome.is === 'later') return 0
    await noted(delivery, outcome.is)
    if (outcome.is === 'given_up') deliverer.gaveUp(delivery, outcome.why)
    return 0
  }
  // A delivery that fails does not stop the others.
  const failed = ({ id, kind, attempts }: Delivery, error: unknown): Outcome => {
    if (error instanceof DatabaseUnavailable) throw error
    log.error({ err: error, delivery: id, kind, attempts }, 'a delivery failed, it is tried again')
    return { is: 'later' }
  }
  // The connection to the database may break between delivering and noting. A delivery that is not noted is made a second time.
  const noted = async (delivery: Delivery, end: DeliveryEnd): Promise<void> => {
    for (let tries = 1; ; tries++) {
      try {
        return await note(db, deliverer, delivery, end)
      } catch (error) {
        if (!(error instanceof DatabaseUnavailable) || tries === NOTE_TRIES || closed) throw error
        await sleep(1_000)
      }
    }
  }
  const worked = startLane({
    begin: giveUp,
    next,
    brokenOff: (error) => log.warn({ err: error, lane }, 'delivering was broken off, it is taken up again'),
  })
  return {
    wake: worked.wake,
    async close() {
      closed = true
      const impatient = setTimeout(() => stopped.abort(), CLOSE_MS)
      await worked.close()
      clearTimeout(impatient)
    },
  }
}

function note(db: Pool, { lost }: Deliverer, delivery: Delivery, end: DeliveryEnd): Promise<void> {
  if (end !== 'given_up') return endDelivery(db, delivery.id, end)
  return tx(db, async (t) => {
    await endDelivery(t, delivery.id, end)
    await lost(t, delivery)
  })
}
