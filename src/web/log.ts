// Sets up the log: JSON lines on standard output, secrets cut out wherever they might slip in.
import { type Logger, pino } from 'pino'
import type { LogLevel } from '../config.ts'

export type { Logger }

/** A logger that writes from `level` on. */
export function createLogger(level: LogLevel): Logger {
  return pino({
    level,
    base: { pid: process.pid },
    timestamp: pino.stdTimeFunctions.isoTime,
    redact: SECRETS,
  })
}

/** Names under which a header or a form field may carry a credential. Nobody logs them on purpose. */
const SECRETS = [
  ...['authorization', 'cookie', 'set-cookie', 'dpop'].flatMap((name) => [
    `headers["${name}"]`,
    `*.headers["${name}"]`,
  ]),
  ...[
    'password',
    'client_secret',
    'client_assertion',
    'code_verifier',
    'token',
    'refresh_token',
    'access_token',
  ].flatMap((name) => [name, `*.${name}`]),
]
