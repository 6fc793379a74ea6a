// Sets up the log: JSON lines on standard output. What is logged is chosen field by field where it is logged; headers,
// forms and queries, which may hold credentials, are never handed over whole.
import { type Logger, pino } from 'pino'
import type { LogLevel } from '../base/config-keys.ts'

export type { Logger }

const FLUSH_MS = 200
const BUFFER_BYTES = 4096

/** A logger that writes from `level` on. Lines are gathered for a moment: a write each would cost more than the rest. */
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
    // Nobody reads the log any more (a closed pipe); the process ends anyway.
  }
}
