// Runs demo/main.ts as a person would, on ports nobody else has.
import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { fileURLToPath } from 'node:url'
import { freePort } from '../../demo/listen.ts'

const MAIN = fileURLToPath(new URL('../../demo/main.ts', import.meta.url))

/** A demo that was started. */
export interface DemoProcess {
  process: ChildProcess
  valetkey: string
  app: string
  api: string
  /** Everything printed so far, on either stream. */
  output(): string
  /** Waits until what was printed matches. @throws Error when the demo ends before. */
  printed(pattern: RegExp): Promise<RegExpMatchArray>
  /** Waits for the end; the exit code. */
  ended(): Promise<number | null>
}

/** Starts the demo with `args`, more environment `env`, and ports of its own. */
export async function startDemoProcess(
  args: string[] = [],
  env: Record<string, string> = {},
): Promise<DemoProcess> {
  const [valetkey, app, api] = [await freePort(), await freePort(), await freePort()]
  const ports = [`--port=${valetkey}`, `--app-port=${app}`, `--api-port=${api}`]
  const child = spawn(process.execPath, [MAIN, ...ports, ...args], {
    stdio: ['ignore', 'pipe', 'pipe'],
    env: { ...process.env, ...env },
  })
  let output = ''
  for (const stream of [child.stdout, child.stderr]) {
    stream.setEncoding('utf8').on('data', (text: string) => {
      output += text
    })
  }
  const closed = once(child, 'close')
  return {
    process: child,
    valetkey: `http://localhost:${valetkey}`,
    app: `http://localhost:${app}`,
    api: `http://localhost:${api}`,
    output: () => output,
    ended: async () => {
      await closed
      return child.exitCode
    },
    printed: async (pattern) => {
      while (!pattern.test(output)) {
        if (child.exitCode !== null) throw new Error(`the demo ended with ${child.exitCode}:\n${output}`)
        await Promise.race([once(child.stdout, 'data'), once(child.stderr, 'data'), closed])
      }
      return pattern.exec(output)!
    },
  }
}
