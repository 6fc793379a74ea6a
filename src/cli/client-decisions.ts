// clients approve, reject and verify: decisions about an app, of the version that the administrator has seen.
import { type Command, InvalidArgumentError } from 'commander'
import type { Change } from '../base/audit-events.ts'
import { VERSION } from '../base/ids.ts'
import { approveChange, ChangeOutdated, findChange, rejectChange } from '../core/clients/pending-changes.ts'
import { approveClient, rejectClient, unverifyClient, verifyClient } from '../core/clients/review.ts'
import { type Client, lockClient } from '../core/clients/store.ts'
import { VersionConflict } from '../core/clients/update.ts'
import { type Db, tx } from '../db/pool.ts'
import { confirm } from './ask.ts'
import { called, fieldsOf, getClient } from './client-output.ts'
import { answering, leaf, Refused, Usage } from './command.ts'
import { withStores } from './session.ts'
import { fields, printable } from './table.ts'

/** Adds the commands with which administrators decide about clients. */
export function addDecisions(clients: Command): void {
  leaf(
    clients,
    'approve',
    'let everybody use an app that waits for a decision, or make its waiting change hold',
  )
    .argument('<id>')
    .option('--if-version <n>', 'the version you have looked at; without it you are shown and asked', version)
    .action(answering(approve))

  leaf(clients, 'reject', 'refuse an app that waits for a decision, or its waiting change')
    .argument('<id>')
    .requiredOption('--reason <text>', 'why, in words for its owners')
    .action(answering(reject))

  leaf(clients, 'verify', 'say on the consent page that you know who is behind an app')
    .argument('<id>')
    .option('--undo', 'say it no longer')
    .option('--if-version <n>', 'the version you have looked at; without it you are shown and asked', version)
    .action(answering(verify))
}

/** The option --if-version. */
export interface VersionOption {
  ifVersion?: number
}

function approve(id: string, options: VersionOption) {
  return withStores(async ({ db, by }) => {
    const client = await getClient(db, id)
    const waiting = await waitingChange(db, client)
    if (!waiting && client.state === 'active') {
      return { json: client, text: `${called(client)} was approved already\n` }
    }
    const seen = await seenVersion(client, 'Approve', options, waiting?.changes)
    if (!waiting) {
      await approveClient(db, id, by, seen).catch(notMovedOn)
      return { json: await getClient(db, id), text: `${called(client)} is approved; everybody can use it\n` }
    }
    const changed = await tx(db, async (t) => {
      const now = await lockClient(t, id)
      if (now && now.version !== seen) throw new VersionConflict(now)
      return approveChange(t, id, (await findChange(t, id))?.id, by)
    })
      .catch(notMovedOn)
      .catch(notOutdated)
    if (!changed) throw new Refused('its owners have just changed or withdrawn what they ask for')
    return { json: changed, text: `the change of ${called(changed)} holds now\n` }
  })
}

/** The version of an app that somebody has seen: given by --if-version, or shown here. */
async function seenVersion(
  client: Client,
  what: string,
  { ifVersion }: VersionOption,
  changes: readonly Change[] = [],
): Promise<number> {
  if (ifVersion !== undefined) return ifVersion
  if (!process.stdin.isTTY) {
    throw new Usage(
      `there is no terminal to show it on; look at it with: valetkey clients show ${printable(client.id)}, and say --if-version <n>`,
    )
  }
  process.stderr.write(fields(fieldsOf(client)))
  for (const { field, from, to } of changes) {
    process.stderr.write(printable(`${field}: ${JSON.stringify(from)} becomes ${JSON.stringify(to)}`))
    process.stderr.write('\n')
  }
  if (!(await confirm(`${what} this?`))) throw new Refused('nothing was decided')
  return client.version
}

function reject(id: string, { reason }: { reason: string }) {
  return withStores(async ({ db, by }) => {
    const client = await getClient(db, id)
    const change = await waitingChange(db, client)
    if (change) {
      if (!(await rejectChange(db, id, change.id, reason, by))) {
        throw new Refused('its owners have just changed or withdrawn what they ask for')
      }
      return {
        json: await getClient(db, id),
        text: `the change of ${called(client)} is rejected; it goes on as it is\n`,
      }
    }
    if (!(await rejectClient(db, id, reason, by))) {
      throw new Refused(`${called(client)} waits for no decision; suspend it instead`)
    }
    return { json: await getClient(db, id), text: `${called(client)} is rejected; nobody can use it\n` }
  })
}

async function waitingChange(db: Db, client: Client) {
  const change = client.state === 'active' ? await findChange(db, client.id) : undefined
  return change?.rejected_at ? undefined : change
}

/** Turns a version conflict into a failure of the command. @throws Refused */
export function notMovedOn(error: unknown): never {
  if (error instanceof VersionConflict) throw new Refused(error.message, { cause: error })
  throw error
}

function notOutdated(error: unknown): never {
  if (error instanceof ChangeOutdated) {
    throw new Refused(`${error.message}; reject it with a reason, so that its owners ask for it anew`, {
      cause: error,
    })
  }
  throw error
}

function verify(id: string, { undo, ...options }: { undo?: boolean } & VersionOption) {
  return withStores(async ({ db, by }) => {
    const client = await getClient(db, id)
    const state = undo ? 'not verified' : 'verified'
    if (!undo === (client.verified_at !== null)) {
      return { json: client, text: `${called(client)} was ${state} already\n` }
    }
    if (undo) await unverifyClient(db, id, by)
    else await verifyClient(db, id, by, await seenVersion(client, 'Verify', options)).catch(notMovedOn)
    return { json: await getClient(db, id), text: `${called(client)} is ${state}\n` }
  })
}

/** Reads a version of a client. @throws InvalidArgumentError */
export function version(text: string): number {
  if (VERSION.test(text)) return Number(text)
  throw new InvalidArgumentError('It is the version that clients show prints.')
}
