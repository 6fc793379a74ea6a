// keys: what ID tokens are signed with.
import type { Command } from 'commander'
import type { Config } from '../base/config.ts'
import { secretKeysOf } from '../base/data-dir.ts'
import { type Secrets, secretsFrom } from '../base/secrets.ts'
import { justRotated, listKeys, loadKeySet, rotateKeys, type SigningKey } from '../core/keys/store.ts'
import type { Db } from '../db/pool.ts'
import { confirm } from './ask.ts'
import { answering, group, leaf, type Page, paged, pageOf, Refused } from './command.ts'
import { withStores } from './session.ts'
import { table } from './table.ts'

/** Adds the commands of this noun. */
export function addKeys(program: Command): void {
  const keys = group(program, 'keys', 'the keys that sign ID tokens')

  paged(leaf(keys, 'list', 'list signing keys, newest first'), 'key').action(answering(list))

  leaf(keys, 'rotate', 'sign with the next keys from now on; the old ones stay published for a week')
    .option('--yes', 'do not ask, even if they were rotated within the last minute')
    .action(answering(rotate))
}

function list({ limit, after }: Page) {
  return withStores(async ({ db }) => {
    const all = await listKeys(db)
    const start = after === undefined ? 0 : all.findIndex(({ kid }) => kid === after) + 1
    if (after !== undefined && start === 0) throw new Refused(`no key has the id ${JSON.stringify(after)}`)
    const { rows, note } = pageOf(all.slice(start), limit, ({ kid }) => kid)
    return { json: rows, text: keysText(rows), note }
  })
}

function rotate({ yes }: { yes?: boolean }) {
  return withStores(async ({ config, db, by }) => {
    const secrets = await serverSecrets(config, db)
    const last = yes ? undefined : await justRotated(db)
    if (last) {
      const when = `they were rotated at ${last.toISOString()} already; some verifiers may not know the next ones yet`
      if (!process.stdin.isTTY) throw new Refused(`${when}. Wait a minute, or say --yes`)
      if (!(await confirm(`Rotate again? ${when}.`))) throw new Refused('nothing was rotated')
    }
    const keys = await rotateKeys(db, secrets, by)
    return { json: keys, text: keysText(keys) }
  })
}

/**
 * The secrets of the server, which encrypt private keys and authenticate the audit log.
 * @throws Refused when they are not those of the server, which could not decrypt what we encrypt, and would not start
 */
export async function serverSecrets(config: Config, db: Db): Promise<Secrets> {
  const secrets = secretsFrom(await secretKeysOf(config))
  try {
    await loadKeySet(db, secrets)
  } catch (cause) {
    const where = config.secretKeys ? 'SECRET_KEYS' : `SECRET_KEYS is not set, and those in ${config.dataDir}`
    throw new Refused(`${where} cannot decrypt the keys of this database; use the ones its server has`, {
      cause,
    })
  }
  return secrets
}

function keysText(keys: SigningKey[]): string {
  return table(keys, [
    ['ID', (key) => key.kid],
    ['ALGORITHM', (key) => key.alg],
    ['STATE', (key) => key.state],
    ['CREATED', (key) => key.created_at],
    ['ACTIVATED', (key) => key.activated_at],
    ['RETIRED', (key) => key.retired_at],
  ])
}
