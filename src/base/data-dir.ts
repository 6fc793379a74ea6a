// DATA_DIR: what the server keeps beside a database of its own, or made up because nobody configured it.
import { randomBytes } from 'node:crypto'
import { link, mkdir, readFile, rm, writeFile } from 'node:fs/promises'
import { dirname, join, resolve } from 'node:path'
import type { Config } from './config.ts'

/** The directory cannot be used; the message is for a person. */
export class DataDirUnusable extends Error {
  override name = 'DataDirUnusable'
}

/** Makes the data directory, for its owner only, and the directories above it. @throws DataDirUnusable when it cannot be made. */
export async function makeDataDir(path: string): Promise<void> {
  try {
    await makeOne(resolve(path))
  } catch (error) {
    throw new DataDirUnusable(`DATA_DIR ${path} cannot be made: ${(error as Error).message}`)
  }
}

// One level at a time: the recursion of mkdir never ends where a directory cannot be made below an existing one.
async function makeOne(path: string): Promise<void> {
  const made = await mkdir(path, { mode: 0o700 }).then(
    () => undefined,
    (error: NodeJS.ErrnoException) => error,
  )
  if (made?.code === 'EEXIST') return
  if (made?.code !== 'ENOENT' || dirname(path) === path) {
    if (made) throw made
    return
  }
  await makeOne(dirname(path))
  await mkdir(path, { mode: 0o700 })
}

/** The configured keys, or those of the data directory, which are made at the first start. */
export async function secretKeysOf(config: Config): Promise<string[]> {
  if (config.secretKeys) return config.secretKeys
  const file = join(config.dataDir, 'secrets')
  const draft = `${file}.${randomBytes(4).toString('hex')}`
  await makeDataDir(config.dataDir)
  await writeFile(draft, `${randomBytes(48).toString('base64url')}\n`, { mode: 0o600 })
  try {
    // Written completely or not at all, and never over existing keys, under which data may be encrypted already.
    await link(draft, file)
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'EEXIST') throw error
  } finally {
    await rm(draft)
  }
  return (await readFile(file, 'utf8')).split(/[\s,]+/).filter(Boolean)
}
