// What was acknowledged, and what became of it: every answer with its time, every token with what it is worth, every promise.
// At the end it is held against what the server says then. It knows no fault.
import { setTimeout as sleep } from 'node:timers/promises'
import { type App, isActive, redeem, refresh } from '../test/support/attack.ts'
import { atATime } from './pace.ts'

/** One answer, or the lack of one. */
export interface Answer {
  who: string
  what: string
  /** Milliseconds of `performance.now()`. */
  began: number
  ended: number
  outcome: 'answered' | 'unavailable' | 'error' | 'broken'
}

/** One sign-in of an app: all tokens that hang on one grant, and end together. */
export interface Connection {
  app: App
  tokens: Set<string>
  ended: boolean
}

/** What may not happen, in words that name each case. */
export interface Breaches {
  /** Acknowledged, and not there. */
  lost: string[]
  /** Good for one use, and used twice. */
  doubled: string[]
  /** Ended, as the server had said, and alive. */
  alive: string[]
  /** Told 503, and the same request again was refused. */
  changed: string[]
  /** Refused or failed, and no fault had touched the request. */
  wrong: string[]
}

/** The book of one scenario. */
export class Ledger {
  readonly answers: Answer[] = []
  readonly breaches: Breaches = { lost: [], doubled: [], alive: [], changed: [], wrong: [] }
  readonly #connections: Connection[] = []
  readonly #spent = new Map<string, { app: App; times: number }>()
  readonly #clients = new Map<string, 'active' | 'suspended'>()

  /** A sign-in of an app begins. */
  connection(app: App): Connection {
    const connection = { app, tokens: new Set<string>(), ended: false }
    this.#connections.push(connection)
    return connection
  }

  /** An answer brought tokens. */
  issued(connection: Connection, body: Record<string, unknown>): void {
    for (const name of ['access_token', 'refresh_token']) {
      if (typeof body[name] === 'string') connection.tokens.add(body[name])
    }
  }

  /** A code or refresh token brought tokens, and is good for nothing any more. */
  spent(app: App, value: string, connection: Connection): void {
    connection.tokens.delete(value)
    const times = (this.#spent.get(value)?.times ?? 0) + 1
    this.#spent.set(value, { app, times })
    if (times > 1) this.breaches.doubled.push(`${value.slice(0, 6)}… brought tokens ${times} times`)
  }

  /** The server said that all of this is over. */
  over(connection: Connection): void {
    connection.ended = true
  }

  /** The server said that this client is there, or that it is suspended. */
  client(id: string, state: 'active' | 'suspended'): void {
    this.#clients.set(id, state)
  }

  /** How many things the server has acknowledged. */
  acknowledged(): number {
    const tokens = this.#connections.reduce((sum, { tokens }) => sum + tokens.size, 0)
    return tokens + this.#spent.size + this.#clients.size
  }

  /** Asks for everything that was acknowledged, when nothing is broken any more. */
  async check(nodes: string[], findClient: (node: string, id: string) => Promise<string>): Promise<void> {
    const { lost, doubled, alive } = this.breaches
    const tokens = this.#connections.flatMap(({ app, tokens, ended }) =>
      [...tokens].map((token) => ({ app, token, ended })),
    )
    await atATime(8, tokens, async ({ app, token, ended }, i) => {
      // What is dead must be dead everywhere.
      for (const node of ended ? nodes : [nodes[i % nodes.length]!]) {
        const active = await patiently(() => isActive(node, app, token))
        if (active && ended) alive.push(`${token.slice(0, 6)}… at ${node}`)
        if (!active && !ended) lost.push(`${token.slice(0, 6)}… at ${node}`)
      }
    })
    await atATime(8, [...this.#clients], async ([id, state]) => {
      for (const node of nodes) {
        const found = await patiently(() => findClient(node, id))
        if (found === 'none') lost.push(`client ${id}`)
        else if (found !== state) (state === 'suspended' ? alive : lost).push(`client ${id} is ${found}`)
      }
    })
    // The last, as it ends what it tries.
    const spent = [...this.#spent].slice(-REPLAYS)
    await atATime(8, spent, async ([value, { app }], i) => {
      const node = nodes[i % nodes.length]!
      const again = value.startsWith('vk_rt_')
        ? await refresh(node, app, value)
        : await redeem(node, app, value)
      if (again.status === 200) doubled.push(`${value.slice(0, 6)}… brought tokens again`)
    })
  }
}

const REPLAYS = 200

/** Nothing is broken any more, but a node may still be on its way. */
async function patiently<T>(ask: () => Promise<T>): Promise<T> {
  for (let tries = 1; ; tries++) {
    try {
      return await ask()
    } catch (error) {
      if (tries === 100) throw error
      await sleep(200)
    }
  }
}
