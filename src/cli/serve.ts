// serve: the server itself, the same as npm start.
import type { Command } from 'commander'
import { loadConfig } from '../config.ts'
import { EXIT, leaf } from './command.ts'

/** Adds the command. */
export function addServe(program: Command): void {
  leaf(
    program,
    'serve',
    'run the server until SIGTERM or Ctrl-C; --json changes nothing: its log is JSON',
  ).action(serve)
}

async function serve(): Promise<void> {
  // Not at the top: the server is most of the code, and no other command should wait for it to load.
  const { explain, serveUntilSignal } = await import('../main.ts')
  try {
    await serveUntilSignal(loadConfig())
    process.exit(EXIT.ok)
  } catch (error) {
    // All configuration mistakes at once, as npm start shows them.
    process.exit(explain(error))
  }
}
