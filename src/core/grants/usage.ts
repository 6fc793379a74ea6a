// When grants were last used, for the list of apps: collected in memory and written every few seconds, so that reading a token never
// waits for a write.
import type { Db } from '../../db/pool.ts'
import { writeBehind } from '../../jobs/write-behind.ts'
import { noteUse } from './store.ts'

/** Collects which grants are used. */
export interface UseRecorder {
  note(grant_id: string): void
  /** Writes what is still to be written, and stops. */
  close(): Promise<void>
}

const FLUSH_MS = 5_000
const AT_ONCE = 1_000

/** Starts collecting. @param onError called when a write failed; only what it should have written is lost */
export function useRecorder(db: Db, onError: (error: unknown) => void): UseRecorder {
  let used = new Set<string>()
  const flush = async (): Promise<void> => {
    const ids = [...used]
    used = new Set()
    for (let i = 0; i < ids.length; i += AT_ONCE) await noteUse(db, ids.slice(i, i + AT_ONCE)).catch(onError)
  }
  const { close } = writeBehind(flush, FLUSH_MS, onError)
  return {
    note: (grant_id) => {
      used.add(grant_id)
    },
    close,
  }
}
