// Applies a list of wanted registrations: makes a plan, and carries it out as a whole, by the same rules as everywhere. It knows no file.
import type { Actor, Change } from '../../base/audit-events.ts'
import { type Db, tx } from '../../db/pool.ts'
import { createClients } from './create.ts'
import { type ClientInput, FIELD_NAMES, FIELDS, pickFields, standardOf } from './fields.ts'
import { checkClientId } from './ids.ts'
import { hasRedirects } from './kinds.ts'
import { deleteClients } from './lifecycle.ts'
import { InvalidMetadata, validMetadata } from './metadata.ts'
import { type ApiScopes, apiScopes, mustBeAllowed } from './scopes.ts'
import { type Client, clientNames, findClients, listClients } from './store.ts'
import { planChange, updateClients } from './update.ts'

/** A wanted app. An absent field stays as it is; a new app gets the default. */
export type Wanted = Partial<ClientInput> & { id: string; absent?: boolean }

/** A step of the plan, about one app. */
export type Step =
  | { id: string; action: 'create'; wanted: ClientInput & { id: string }; changes: Change[] }
  | { id: string; action: 'change'; wanted: Wanted; version: number; changes: Change[] }
  | { id: string; action: 'delete'; name: string; changes: [] }

/** A mistake in a wanted app. */
export interface Mistake {
  /** Its place in the list. */
  index: number
  field: string
  problem: string
}

/**
 * Makes the plan, and changes nothing yet. It reads the present apps in batches, so that an app which is already as wanted costs no
 * statement of its own.
 */
export async function planApply(db: Db, wanted: Wanted[]): Promise<{ steps: Step[]; mistakes: Mistake[] }> {
  const steps: Step[] = []
  const mistakes: Mistake[] = []
  const ofApis = await apiScopes(
    db,
    wanted.flatMap(({ scopes }) => scopes ?? []),
  )
  const seen = new Set<string>()
  for (const [start, batch] of batches(wanted)) {
    const ids = batch.map(({ id }) => id)
    const [clients, names] = [await findClients(db, ids), await clientNames(db, ids)]
    for (const [i, one] of batch.entries()) {
      const mistake = (field: string, problem: string) => mistakes.push({ index: start + i, field, problem })
      if (seen.has(one.id)) mistake('id', 'is in the file twice')
      seen.add(one.id)
      const client = clients.get(one.id)
      if (one.absent) {
        if (client?.type === 'resource_server') mistake('id', 'these are the credentials of an API')
        else if (client) steps.push({ id: one.id, action: 'delete', name: client.name, changes: [] })
        continue
      }
      if (!client && names.has(one.id)) {
        mistake('id', 'was deleted, and an id is not given twice; choose another')
        continue
      }
      const step = planOne(ofApis, client, one, mistake)
      if (step && step.changes.length > 0) steps.push(step)
    }
  }
  return { steps, mistakes }
}

/**
 * Carries out a plan in one transaction, a batch of apps a statement.
 * @param keep gets the new secrets before the commit; when it throws, everything is rolled back
 * @throws InvalidMetadata; VersionConflict when somebody else changed an app meanwhile
 */
export function applyPlan(
  db: Db,
  steps: Step[],
  by: Actor,
  keep: (secrets: Map<string, string>) => Promise<void>,
): Promise<Map<string, string>> {
  return tx(db, async (t) => {
    const secrets = new Map<string, string>()
    const created = steps.flatMap((step) => (step.action === 'create' ? [step.wanted] : []))
    for (const [, batch] of batches(created)) {
      for (const { client, secret } of await createClients(t, batch, by)) {
        if (secret !== undefined) secrets.set(client.id, secret)
      }
    }
    const edits = steps.flatMap((step) => {
      if (step.action !== 'change') return []
      const { id, type: _type, absent: _absent, ...change } = step.wanted
      return [{ id, change, version: step.version }]
    })
    for (const [, batch] of batches(edits)) mustHaveAll(batch, await updateClients(t, batch, by))
    const gone = steps.filter(({ action }) => action === 'delete')
    for (const [, batch] of batches(gone)) {
      const ids = batch.map(({ id }) => id)
      mustHaveAll(batch, new Set(await deleteClients(t, ids, by)))
    }
    await keep(secrets)
    return secrets
  })
}

function mustHaveAll(batch: { id: string }[], found: { has(id: string): boolean }): void {
  const missing = batch.find(({ id }) => !found.has(id))
  if (missing) throw new InvalidMetadata(missing.id, 'was deleted meanwhile')
}

function* batches<T>(all: T[]): Generator<[start: number, batch: T[]]> {
  for (let start = 0; start < all.length; start += PAGE) yield [start, all.slice(start, start + PAGE)]
}

/** Every app in the form of a wanted app, without the credentials of APIs. */
export async function* standingApps(db: Db): AsyncGenerator<Wanted> {
  for (let after: string | undefined; ; ) {
    const page = await listClients(db, { after, limit: PAGE })
    for (const client of page) if (client.type !== 'resource_server') yield asWanted(client)
    if (page.length < PAGE) return
    after = page.at(-1)!.cursor
  }
}

const PAGE = 500

function planOne(
  ofApis: ApiScopes,
  client: Client | undefined,
  wanted: Wanted,
  mistake: (field: string, problem: string) => void,
): Step | undefined {
  const { id, absent: _, ...input } = wanted
  if (client && input.type !== undefined && input.type !== client.type) {
    mistake('type', `cannot become ${input.type}: it is ${client.type}; register another app`)
    return undefined
  }
  const type = client?.type ?? input.type
  if (!type) {
    mistake('type', 'is missing, e.g. web')
    return undefined
  }
  const typed = { ...input, type } as ClientInput
  const found = allMistakes(typed, (each) => {
    if (client) return planChange(client, each)
    checkClientId(id)
    const metadata = validMetadata(each)
    const changes = FIELD_NAMES.filter((field) => each[field] !== undefined || isSaid(metadata[field])).map(
      (field) => ({ field, from: undefined, to: metadata[field] }),
    )
    return { metadata, changes }
  })
  for (const { field, problem } of found.mistakes) mistake(field, problem)
  if (!found.result) return undefined
  const { metadata, changes } = found.result
  if (!client || changes.some(({ field }) => field === 'scopes')) {
    try {
      mustBeAllowed(ofApis, metadata.scopes, client?.registered_by ?? 'admin', type)
    } catch (error) {
      if (!(error instanceof InvalidMetadata)) throw error
      mistake(error.field, error.problem)
      return undefined
    }
  }
  if (found.mistakes.length > 0) return undefined
  if (client) return { id, action: 'change', wanted, version: client.version, changes }
  return { id, action: 'create', wanted: { ...typed, id }, changes }
}

// The check stops at the first mistake. Replace that field by a harmless value to find the next mistake.
function allMistakes<T>(
  input: ClientInput,
  check: (input: ClientInput) => T,
): { result: T | undefined; mistakes: InvalidMetadata[] } {
  const mistakes: InvalidMetadata[] = []
  const tried = { ...input }
  for (;;) {
    try {
      return { result: check(tried), mistakes }
    } catch (error) {
      if (!(error instanceof InvalidMetadata)) throw error
      const field = error.field.split('.')[0] as keyof ClientInput
      const isAgain = mistakes.some((known) => known.field === error.field)
      if (!isAgain) mistakes.push(error)
      if (isAgain || !(field in FIELDS)) return { result: undefined, mistakes }
      Object.assign(tried, { [field]: harmless(field, input.type) })
    }
  }
}

// The harmless value for a field with a mistake; an optional field is left out.
function harmless(field: string, type: ClientInput['type']): unknown {
  if (field === 'name') return FIELDS.name.example
  return field === 'redirect_uris' && hasRedirects(type) ? [FIELDS.redirect_uris.example] : undefined
}

function isSaid(value: unknown): boolean {
  return Array.isArray(value) ? value.length > 0 : value !== null && value !== '' && value !== false
}

function asWanted(client: Client): Wanted {
  const { id, name, type } = client
  const said = FIELD_NAMES.filter(
    (field) => JSON.stringify(client[field]) !== JSON.stringify(standardOf(field)),
  )
  const fields: Partial<ClientInput> = pickFields(client, said)
  return { id, name, type, ...fields } as Wanted
}
