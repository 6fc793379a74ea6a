// The command line with the server behind it: what bin/valetkey runs.
import { runCli } from './cli/index.ts'

/** Runs one command. @param args the arguments after `valetkey`. @returns the exit code. */
export function runValetkey(args: string[]): Promise<number> {
  // Load the server only for `serve`: it is most of the code.
  return runCli(args, async () => (await import('./server.ts')).serveToTheEnd())
}
