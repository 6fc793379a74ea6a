// The command line with the server behind it: what bin/valetkey runs.
import { runCli } from './cli/index.ts'

/** Runs one command. @param args what stands behind `valetkey`. @returns the exit code. */
export function runValetkey(args: string[]): Promise<number> {
  // The server is most of the code, and no other command should wait for it to load.
  return runCli(args, async () => (await import('./main.ts')).serveToTheEnd())
}
