// Sets up the log: JSON lines on standard output. Callers choose the fields to log one by one, and never log whole headers, forms or
// queries, which may hold credentials.
import { type Logger, pino } from 'pino'
import type { LogLevel } from '../base/config-keys.ts'

export type { Logger }

const FLUSH_MS = 200
const BUFFER_BYTES = 4096

/** A logger that writes from `level` on. It collects lines for a moment, because a write for each line would be too expensive. */
export function createLogger(level: LogLevel): Logger {
  if (level === 'silent') return pino({ level })
  const out = pino.destination({ dest: 1, sync: false, minLength: BUFFER_BYTES })
  setInterval(() => out.flush(), FLUSH_MS).unref()
  process.on('exit', () => flushNow(out))
  return pino({ level, base: { pid: process.pid }, timestamp: pino.stdTimeFunctions.isoTime }, out)
}

function flushNow(out: ReturnType<typeof pino.destination>): void {
  try {
    out.flushSync()
  } catch {
    // The pipe is closed, so nobody reads the log any more; the process ends anyway.
  }
}
