// A Python with the packages of test/requirements.txt, for tests that need programs of others.
import { execFile } from 'node:child_process'
import { createHash } from 'node:crypto'
import { existsSync } from 'node:fs'
import { mkdtemp, readFile, rename, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { promisify } from 'node:util'

const run = promisify(execFile)
const REQUIREMENTS = fileURLToPath(new URL('../requirements.txt', import.meta.url))

/**
 * The folder with the programs of a virtual environment: python, and those of its packages. It is created at the first use and kept
 * among the temporary files, a folder for each state of the requirements.
 * @throws where there is no Python 3 with venv, or no package index
 */
export async function pythonPrograms(): Promise<string> {
  const wanted = createHash('sha256')
    .update(await readFile(REQUIREMENTS))
    .digest('hex')
    .slice(0, 16)
  const kept = join(tmpdir(), `valetkey-python-${wanted}`)
  if (!existsSync(kept)) await make(kept)
  return join(kept, 'bin')
}

// Create it under another name and move it when it is complete, so that two test files may do so at once. The scripts of a moved
// virtual environment still name its first folder, so call them with `python -m`.
async function make(kept: string): Promise<void> {
  const fresh = await mkdtemp(join(tmpdir(), 'valetkey-python-'))
  try {
    await run('python3', ['-m', 'venv', fresh])
    const python = join(fresh, 'bin', 'python')
    await run(python, ['-m', 'pip', 'install', '--quiet', '--disable-pip-version-check', '-r', REQUIREMENTS])
    await rename(fresh, kept)
  } catch (error) {
    await rm(fresh, { recursive: true, force: true })
    if (!existsSync(kept)) throw error
  }
}
