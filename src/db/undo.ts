// What may have happened although it was answered as failed: it is undone as soon as the database can be reached. It knows no noun
// of ours.
import { setTimeout as sleep } from 'node:timers/promises'

/** Things to be undone, by a name for what they changed. */
export interface UndoList<T> {
  add(key: string, item: T): void
  /** Undoes what is left under this name. To be called before it is looked at again. @throws DatabaseUnavailable */
  settle(key: string): Promise<void>
  /** Undoes what is left, as far as the database can be reached. */
  close(): Promise<void>
}

const AGAIN_MS = 500

/** @param undo undoes one thing; it may be called for what has not happened, and again. */
export function undoList<T>(undo: (item: T) => Promise<unknown>): UndoList<T> {
  // Several under one name: who got no answer may have asked twice.
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
