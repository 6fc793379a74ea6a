// Asks a person for a password, which must not be an argument, because process lists and shell histories show those, and for yes or no.
// Questions go to standard error, so that standard output has the answer only.
import { createInterface } from 'node:readline'
import { passwordProblem } from '../core/users/password.ts'
import { Interrupted, Refused, Usage } from './command.ts'

/**
 * Reads a new, valid password: typed twice without echo on a terminal, otherwise from standard input.
 * @throws Usage when there is neither a terminal nor --password-stdin.
 */
export async function newPassword({ passwordStdin }: { passwordStdin?: boolean }): Promise<string> {
  const password = process.stdin.isTTY ? await askTwice() : await readPassword(passwordStdin)
  const problem = passwordProblem(password)
  if (problem) throw new Refused(`password: ${problem}`)
  return password
}

/** Asks for a yes. @throws Usage without a terminal to ask on. */
export function confirm(question: string): Promise<boolean> {
  if (!process.stdin.isTTY) throw new Usage('there is no terminal to ask on; say --yes to go ahead')
  const prompt = createInterface({ input: process.stdin, output: process.stderr })
  return new Promise((resolve) => {
    prompt.once('close', () => resolve(false))
    prompt.question(`${question} [y/N] `, (answer) => {
      resolve(/^y(es)?$/i.test(answer.trim()))
      prompt.close()
    })
  })
}

// More than any password has, so that piping in a file by mistake fails at once.
const MAX_BYTES = 4096

async function readPassword(passwordStdin: boolean | undefined): Promise<string> {
  if (!passwordStdin) throw new Usage('give the password on standard input with --password-stdin')
  const chunks: Buffer[] = []
  let bytes = 0
  for await (const chunk of process.stdin as AsyncIterable<Buffer>) {
    chunks.push(chunk)
    bytes += chunk.length
    if (bytes > MAX_BYTES) throw new Refused('what came on standard input is too long for a password')
  }
  const password = decode(Buffer.concat(chunks)).replace(/\r?\n$/, '')
  if (password === '') throw new Refused('no password came on standard input')
  if (/[\r\n]/.test(password))
    throw new Refused('more than one line came on standard input; a password is one line')
  return password
}

function decode(bytes: Buffer): string {
  try {
    return new TextDecoder('utf-8', { fatal: true }).decode(bytes)
  } catch (cause) {
    throw new Refused('what came on standard input is not UTF-8 text', { cause })
  }
}

async function askTwice(): Promise<string> {
  const password = await askHidden('Password: ')
  if ((await askHidden('Again: ')) !== password) throw new Refused('the two passwords differ')
  return password
}

function askHidden(question: string): Promise<string> {
  const { stdin, stderr } = process
  // Switch the echo off before the question shows, because scripts and fast people answer at once.
  stdin.setRawMode(true)
  stdin.setEncoding('utf8')
  stderr.write(question)
  return new Promise((resolve, reject) => {
    let typed: string[] = []

    function end(): void {
      stdin.off('data', onData)
      stdin.pause()
      stdin.setRawMode(false)
      stderr.write('\n')
    }

    function onData(text: string) {
      // An arrow key or another control sequence, which is no part of a password.
      if (text.startsWith(ESCAPE)) return
      const keys = [...text]
      for (const [i, key] of keys.entries()) {
        if (key === '\r' || key === '\n') {
          end()
          // Keep what was typed ahead for the next question.
          const rest = keys.slice(i + 1).join('')
          if (rest) stdin.unshift(rest, 'utf8')
          return resolve(typed.join(''))
        }
        if (key === CTRL_C || key === CTRL_D) {
          end()
          return reject(new Interrupted(130))
        }
        if (key === BACKSPACE || key === DELETE) typed.pop()
        else if (key === CTRL_U) typed = []
        else typed.push(key)
      }
    }

    stdin.on('data', onData)
    stdin.resume()
  })
}

const ESCAPE = '\x1b'
const CTRL_C = '\x03'
const CTRL_D = '\x04'
const CTRL_U = '\x15'
const BACKSPACE = '\b'
const DELETE = '\x7f'
