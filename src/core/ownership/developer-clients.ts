// Apps that developers register and change: which fields they may set, and which changes wait for an administrator.
import type { ActingUser, Change } from '../../base/audit-events.ts'
import { type Db, many, run, sql, tx } from '../../db/pool.ts'
import { record } from '../audit/store.ts'
import { changedBranding } from '../clients/branding.ts'
import { insertApp } from '../clients/create.ts'
import {
  type ClientInput,
  type ClientMetadata,
  type FieldSetBy,
  fieldsSetBy,
  pickFields,
} from '../clients/fields.ts'
import { newClientId } from '../clients/ids.ts'
import { loosenedBy, validMetadata } from '../clients/metadata.ts'
import { addOwner, findOwnApp, lockOwnApp } from '../clients/owners.ts'
import { findChange, putChange, valuesOf } from '../clients/pending-changes.ts'
import { checkScopes } from '../clients/scopes.ts'
import type { Client } from '../clients/store.ts'
import { type ClientChange, planChange, updateClient, VersionConflict } from '../clients/update.ts'

/** What a developer may change; other input is ignored. */
export type OwnChange = Pick<ClientChange, FieldSetBy<'developer'>>

/** What a developer registers. */
export type OwnInput = Pick<ClientInput, FieldSetBy<'developer'> | 'type'>

/** Whether apps of developers wait for an administrator. */
export interface Reception {
  approval: boolean
}

/** Registers an app for a developer, who owns it from then on. @throws InvalidMetadata, TooManyApps */
export function createOwnApp(
  db: Db,
  input: OwnInput,
  { approval }: Reception,
  by: ActingUser,
): Promise<{ client: Client; secret: string | undefined }> {
  const m = validMetadata({ ...ownFields(input), name: input.name, type: input.type })
  const id = newClientId()
  return tx(db, async (t) => {
    await checkScopes(t, m.scopes, 'developer', m.type)
    // No consent page stands before a service, so an administrator must decide about it.
    const isUnasked = m.type === 'service' && m.scopes.length > 0
    const state = approval || isUnasked ? 'pending' : 'active'
    const made = await insertApp(t, id, m, { registered_by: 'developer', state })
    await addOwner(t, id, by.id)
    await record(
      t,
      { type: 'client.created', client_id: id, client_type: m.type, loosened: loosenedBy(m), state },
      by,
    )
    return made
  })
}

/**
 * Changes an app for one of its owners. Changes of the branding of an approved app, and of what it may do without asking people, wait for
 * an administrator; other changes take effect at once. Fields that waited already and are not named go on waiting.
 * @param version what the owner has seen. @returns undefined when the app is not theirs. @throws InvalidMetadata, VersionConflict
 */
export function changeOwnApp(
  db: Db,
  id: string,
  change: OwnChange,
  version: number,
  reception: Reception,
  by: ActingUser,
): Promise<{ client: Client; held: Change[] } | undefined> {
  return tx(db, async (t) => {
    const client = await lockOwnApp(t, id, by.id)
    if (!client) return undefined
    if (version !== client.version) throw new VersionConflict(client)
    const earlier = await findChange(t, id)
    const waiting = earlier && !earlier.rejected_at ? valuesOf(earlier.changes) : {}
    const wanted: ClientChange = { ...waiting, ...ownFields(change) }
    const { metadata: m, changes: asked } = planChange(client, wanted)
    if (asked.some(({ field }) => field === 'scopes')) await checkScopes(t, m.scopes, 'developer', m.type)
    const heldFields = new Set<string>(await fieldsToDecide(t, client, m, reception))
    const held = asked.filter(({ field }) => heldFields.has(field))
    const atOnce = asked.filter(({ field }) => !heldFields.has(field))
    await updateClient(t, id, valuesOf(atOnce), by)
    await putChange(t, client, held, by)
    return { client: (await findOwnApp(t, id, by.id))!, held }
  })
}

/** As {@link changeOwnApp}, for the logo alone, of any version, because its form shows nothing else. */
export function changeOwnLogo(db: Db, id: string, logo_uri: string, reception: Reception, by: ActingUser) {
  return tx(db, async (t) => {
    const client = await lockOwnApp(t, id, by.id)
    return client && changeOwnApp(t, id, { logo_uri }, client.version, reception, by)
  })
}

/** Asks for another decision about a rejected app. @returns whether it was rejected, and theirs. */
export function askAgain(db: Db, id: string, by: ActingUser): Promise<boolean> {
  return tx(db, async (t) => {
    if (!(await lockOwnApp(t, id, by.id))) return false
    // The reason stays, so that the administrator who decides again can read it.
    const asked = await run(
      t,
      sql`update clients set state = 'pending', version = version + 1 where id = ${id} and state = 'rejected'`,
    )
    if (!asked) return false
    await record(t, { type: 'client.asked_again', client_id: id }, by)
    return true
  })
}

function ownFields<Values extends OwnChange>(values: Values) {
  return pickFields(values, fieldsSetBy('developer'))
}

// The fields of an approved, verified or first-party app that a change must not alter without a decision.
async function fieldsToDecide(
  t: Db,
  client: Client,
  m: ClientMetadata,
  { approval }: Reception,
): Promise<(keyof ClientMetadata)[]> {
  const isVouchedFor = client.verified_at !== null || client.first_party
  if (client.state !== 'active' && !isVouchedFor) return []
  const isDecided = approval || isVouchedFor
  const added = m.scopes.filter((scope) => !client.scopes.includes(scope))
  // Where people are not asked, additional scopes need a decision, too.
  const asksNobody = client.first_party || client.type === 'service'
  const decides = added.length > 0 && (asksNobody || (isDecided && (await hasDangerous(t, added))))
  return [...(isDecided ? changedBranding(client, m) : []), ...(decides ? (['scopes'] as const) : [])]
}

async function hasDangerous(t: Db, scopes: string[]): Promise<boolean> {
  const found = await many(
    t,
    sql`select from resource_scopes where name = any(${scopes}) and dangerous and removed_at is null limit 1`,
  )
  return found.length > 0
}
