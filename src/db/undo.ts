// Undoes what may have happened although the request was answered as failed, as soon as the database can be reached. It knows no noun of
// ours.
import { setTimeout as sleep } from 'node:timers/promises'

/** Changes to undo, by the name of what they changed. */
export interface UndoList<T> {
  add(key: string, item: T): void
  /** Undoes what is left under this name. Call it before this is read again. @throws DatabaseUnavailable */
  settle(key: string): Promise<void>
  /** Undoes the rest, if the database can be reached, and stops. */
  close(): Promise<void>
}

const AGAIN_MS = 500

/** Keeps changes until they are undone. @param undo undoes one change; it may be called twice, and for a change that never happened */
export function undoList<T>(undo: (item: T) => Promise<unknown>): UndoList<T> {
  // Several for each name: a client that got no answer may have sent its request twice.
  const left = new Map<string, Set<T>>()
  let isWorking = false
  let closed = false

  async function undoOf(key: string): Promise<void> {
    const items = left.get(key) ?? new Set()
    for (const item of items) {
      await undo(item)
      items.delete(item)
    }
    if (items.size === 0 && left.get(key) === items) left.delete(key)
  }

  async function undoAll(): Promise<void> {
    if (isWorking) return
    isWorking = true
    while (left.size > 0 && !closed) {
      await sleep(AGAIN_MS, undefined, { ref: false })
      await Promise.allSettled([...left.keys()].map(undoOf))
    }
    isWorking = false
  }

  return {
    add(key, item) {
      left.set(key, (left.get(key) ?? new Set()).add(item))
      void undoAll()
    },
    async settle(key) {
      if (left.has(key)) await undoOf(key)
    },
    async close() {
      closed = true
      await Promise.allSettled([...left.keys()].map(undoOf))
    },
  }
}
