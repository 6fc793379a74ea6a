// Stops and removes what global-setup.ts started.
import { rm } from 'node:fs/promises'
import type { Embedded } from '../../src/db/embedded.ts'

/** What global-setup.ts leaves behind for the teardown. */
export interface Running {
  /** Undefined: the server is somebody else's. */
  embedded: Embedded | undefined
  dataDir: string
}

export default async function globalTeardown(): Promise<void> {
  const { running } = globalThis as { running?: Running }
  await running?.embedded?.stop()
  if (running) await rm(running.dataDir, { recursive: true, force: true })
}
