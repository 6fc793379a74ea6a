// Registering with an initial access token when the answer of the database is lost: it has happened, or it is undone. Otherwise the same
// request again would find the token used up by a registration whose credentials nobody has seen.
import { type Actor, SYSTEM } from '../../base/audit-events.ts'
import { digest } from '../../base/credentials.ts'
import { type Answers, LATELY } from '../../db/answers.ts'
import { DatabaseUnavailable } from '../../db/errors.ts'
import { type Db, maybe, run, sql, tx } from '../../db/pool.ts'
import { undoList } from '../../db/undo.ts'
import { newClientId } from '../clients/ids.ts'
import { deleteClient } from '../clients/lifecycle.ts'
import { isRegistrationToken } from './initial-access-tokens.ts'
import { type OpenRegistration, type Registered, registerDynamicClient } from './store.ts'

/** Registrations at one node. */
export interface Registrations {
  /** See {@link registerDynamicClient}. @throws DatabaseUnavailable and then the client does not exist, or will not for long */
  register(
    body: unknown,
    open: OpenRegistration,
    initial: string | undefined,
    by: Actor,
  ): Promise<Registered | undefined>
  /**
   * Whether an initial access token lets somebody register now.
   * @throws DatabaseUnavailable when a registration used it up that was not answered, and may be undone yet
   */
  isLive(initial: string): Promise<boolean>
  /** Undoes what is left to undo, if the database can be reached. */
  close(): Promise<void>
}

/** @param answers learns which registrations were answered */
export function registrations(db: Db, answers: Answers): Registrations {
  const unsettled = undoList((lost: Lost) => undoRegistration(db, lost))

  async function isLive(initial: string): Promise<boolean> {
    await unsettled.settle(keyOf(initial))
    if (await isRegistrationToken(db, initial)) return true
    await answers.expect(await lastUse(db, initial))
    return false
  }

  return {
    isLive,
    async register(body, open, initial, by) {
      const use = { client_id: newClientId(), name: answers.newId() }
      try {
        const registered = await registerDynamicClient(db, body, open, initial, by, use)
        if (registered) answers.note(use.name)
        // Somebody else has used the token up meanwhile.
        else await isLive(initial!)
        return registered
      } catch (error) {
        const isLost = error instanceof DatabaseUnavailable && error.isOutcomeUnknown
        if (isLost && initial !== undefined)
          unsettled.add(keyOf(initial), { ...use, initial, from: performance.now() + SETTLED_MS })
        throw error
      }
    },
    close: unsettled.close,
  }
}

// PostgreSQL ends a transaction that waits longer than this for its commit: until then it may still arrive.
const SETTLED_MS = 3_000

interface Lost {
  client_id: string
  name: string
  initial: string
  /** When nothing of it can arrive any more. */
  from: number
}

async function undoRegistration(db: Db, { client_id, name, initial, from }: Lost): Promise<void> {
  if (performance.now() < from)
    throw new DatabaseUnavailable('what became of a registration is not known yet')
  await tx(db, async (t) => {
    if (!(await deleteClient(t, client_id, SYSTEM))) return
    await run(
      t,
      sql`update registration_tokens set uses = uses - 1, used_by = nullif(used_by, ${name}::uuid)
          where hash = ${digest(initial)}`,
    )
  })
}

async function lastUse(db: Db, initial: string): Promise<string | null> {
  const token = await maybe<{ used_by: string | null }>(
    db,
    sql`select case when last_used_at > now() - ${LATELY} then used_by end as used_by
        from registration_tokens where hash = ${digest(initial)}`,
  )
  return token?.used_by ?? null
}

function keyOf(initial: string): string {
  return digest(initial).toString('latin1')
}
