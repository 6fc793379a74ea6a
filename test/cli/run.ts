// Runs the real bin/valetkey as a child, with no more environment than a test gives it.

import { type ChildProcess, fork, spawn } from 'node:child_process'
import { once } from 'node:events'
import { join } from 'node:path'
import { BARE } from '../support/environment.ts'

/** What a run of the command line left behind. */
export interface Ran {
  code: number | null
  stdout: string
  stderr: string
}

/** How a command is run. */
export interface RunOptions {
  env?: Record<string, string>
  /** What its standard input holds; then it ends. */
  input?: string | Buffer
}

/** The script, for those who start it in their own way. */
export const BIN = join(import.meta.dirname, '..', '..', 'bin', 'valetkey')

/** A key list that is long enough; the same for all commands of a test. */
export const SECRET_KEYS = 'a key of the command line tests and long enough'

/** A runner of commands against one database. @param bin the script; absent: ours */
export function against(databaseUrl: string, bin = BIN) {
  const env = { DATABASE_URL: databaseUrl, SECRET_KEYS }
  return {
    run: (args: string[], options: RunOptions = {}) =>
      valetkey(args, { ...options, env: { ...env, ...options.env } }, bin),
    /** Runs with --json, expects success and one document. */
    async json<T = Record<string, unknown>>(args: string[], options: RunOptions = {}): Promise<T> {
      const ran = await valetkey([...args, '--json'], { ...options, env: { ...env, ...options.env } }, bin)
      if (ran.code !== 0) throw new Error(`valetkey ${args.join(' ')} exited with ${ran.code}: ${ran.stderr}`)
      return JSON.parse(ran.stdout) as T
    },
  }
}

/** Runs one command to its end. */
export function valetkey(args: string[], { env, input = '' }: RunOptions = {}, bin = BIN): Promise<Ran> {
  const child = spawn(process.execPath, [bin, ...args], { env: { ...BARE, ...env } })
  // A command that does not read leaves us a broken pipe.
  child.stdin.on('error', () => {})
  child.stdin.end(input)
  return ended(child)
}

/** Runs commands one after another in one process, where starting one for each of many would take minutes. */
export function inOneProcess(databaseUrl: string) {
  const script = new URL('./resident.ts', import.meta.url)
  const env = { ...BARE, DATABASE_URL: databaseUrl, SECRET_KEYS }
  const child = fork(script, { env, execPath: process.execPath, execArgv: [], silent: true })
  // One listener for all commands.
  const gone = once(child, 'exit').then(([code]) =>
    Promise.reject(new Error(`the process ended with ${code}`)),
  )
  gone.catch(() => {})
  let last: Promise<unknown> = Promise.resolve()
  const next = async (args: string[]): Promise<Ran> => {
    const answered = once(child, 'message')
    child.send(args)
    const [ran] = await Promise.race([answered, gone])
    return ran as Ran
  }
  return {
    child,
    run(args: string[]): Promise<Ran> {
      const ran = last.then(() => next(args))
      last = ran.catch(() => {})
      return ran
    },
    async stop(): Promise<void> {
      child.kill()
      await gone.catch(() => {})
    },
  }
}

/** Waits for a child, gathering what it writes. */
export function ended(child: ChildProcess): Promise<Ran> {
  const written = { stdout: '', stderr: '' }
  child.stdout?.setEncoding('utf8').on('data', (text: string) => (written.stdout += text))
  child.stderr?.setEncoding('utf8').on('data', (text: string) => (written.stderr += text))
  return new Promise((resolve, reject) => {
    child.once('error', reject)
    child.once('close', (code) => resolve({ code, ...written }))
  })
}

/** Matches a failure: nothing on standard output, one line on standard error. */
export function failure(code: number, line: RegExp) {
  return { code, stdout: '', stderr: expectLine(line) }
}

function expectLine(line: RegExp) {
  return {
    asymmetricMatch: (text: string) => /^valetkey: [^\n]+\n$/.test(text) && line.test(text),
    toString: () => `${line}`,
  }
}
