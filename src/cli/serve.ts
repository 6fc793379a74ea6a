// serve: the server itself, the same as npm start.
import type { Command } from 'commander'
import { leaf } from './command.ts'

/** Runs the server to its end. @returns the exit code */
export type Serve = () => Promise<number>

/** Adds the command. */
export function addServe(program: Command, serve: Serve): void {
  leaf(
    program,
    'serve',
    'run the server until SIGTERM or Ctrl-C; --json changes nothing: its log is JSON',
  ).action(async () => process.exit(await serve()))
}
