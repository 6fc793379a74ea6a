// The statements that this process sends to PostgreSQL: tests count round trips and check plans with them.
import pg from 'pg'

/** A statement with its values. */
export interface Sent {
  text: string
  values: unknown[]
}

/** Records every statement that any connection of this process sends while `work` runs, also those of transactions. */
export async function statementsOf(work: (sofar: readonly Sent[]) => Promise<unknown>): Promise<Sent[]> {
  const sent: Sent[] = []
  const prototype = pg.Client.prototype as { query: (...args: unknown[]) => unknown }
  const original = prototype.query
  prototype.query = function (this: unknown, ...args: unknown[]) {
    const [first] = args as [string | { text?: string; values?: unknown[] }]
    if (typeof first === 'string') sent.push({ text: first, values: [] })
    else if (first?.text !== undefined) sent.push({ text: first.text, values: first.values ?? [] })
    return original.apply(this, args)
  }
  try {
    await work(sent)
  } finally {
    prototype.query = original
  }
  return sent
}
