// The escalation check: whoever acts on a person needs the power that this person has, or had within the last day; the same holds for apps
// (escalation/clients.ts). The check runs in the transaction of the change, for every surface.
import { API_SCOPES, isApiScope } from '../../base/admin-api-scopes.ts'
import type { Actor } from '../../base/audit-events.ts'
import { type Db, many, maybe, sql } from '../../db/pool.ts'
import { HttpError } from '../../http/errors.ts'

/** The person or app that is acted on can do more than the one who acts. Nothing was changed. */
export class LesserPower extends HttpError {
  /** The scopes that the token lacks. */
  readonly missing: readonly string[]

  constructor(missing: readonly string[], message: string) {
    super(403, 'insufficient_scope', message)
    this.missing = missing
  }
}

/** The one who acts is no administrator, or no longer. Nothing was changed. */
class NotAdministrator extends HttpError {
  constructor() {
    super(403, 'not_administrator', 'Whoever this is done for does not administer this server.')
  }
}

/** An account that is locked until the end of the transaction. */
export interface HeldPerson {
  id: string
  name: string
  email: string
  role: 'user' | 'admin'
  disabled: boolean
  /** It administers, or did within the last day. */
  powerful: boolean
  /** When it ceased to administer last. */
  administered_until: Date | null
}

const LATELY_HOURS = 24

/**
 * Locks an account until the end of the transaction, and checks the one who acts on it. Acting on an administrator, or on somebody who was
 * one within the last day, needs every power; acting on others needs an administrator, or a token with the scope.
 * @param more.own people may do this to their own account, at our own pages
 * @param more.gives it makes the account an administrator
 * @param more.takes it may remove an administrator: locks those who can sign in, too
 * @returns undefined when there is no such account. @throws LesserPower, NotAdministrator
 */
export async function holdPerson(
  t: Db,
  id: string,
  by: Actor,
  { own = false, gives = false, takes = false }: { own?: boolean; gives?: boolean; takes?: boolean } = {},
): Promise<{ person: HeldPerson; administrators: string[] } | undefined> {
  const ids = by.type === 'user' && by.id !== undefined ? [id, by.id] : [id]
  // One statement locks in one order, so that two who act on each other at once cannot deadlock.
  const rows = await many<HeldPerson>(
    t,
    sql`select id, name, email, role, disabled_at is not null as disabled, administered_until,
               role = 'admin' or coalesce(administered_until > now() - make_interval(hours => ${LATELY_HOURS}), false)
                 as powerful
        from users
        where id in (
          select unnest(${ids}::uuid[])
          union
          select id from users where ${takes} and role = 'admin' and disabled_at is null)
        order by id
        for no key update`,
  )
  const person = rows.find((row) => row.id === id)
  if (!person) return undefined
  const actor = rows.find((row) => row.id === by.id)
  if (!(own && isOwn(by, id))) {
    mustAdminister(by, actor)
    if (person.powerful || gives) mustHold(by, ALL)
  }
  const administrators = rows.filter((row) => row.role === 'admin' && !row.disabled).map((row) => row.id)
  return { person, administrators }
}

/**
 * Checks the one who acts against scopes that they hand out, or that something they take over has: they need those of the Admin API.
 * @throws LesserPower, NotAdministrator
 */
export async function checkScopeEscalation(t: Db, by: Actor, scopes: readonly string[]): Promise<void> {
  const powers = scopes.filter(isApiScope)
  if (powers.length === 0 || isOperator(by)) return
  if (by.type === 'user') {
    const actor = await maybe<Pick<HeldPerson, 'role' | 'disabled'>>(
      t,
      sql`select role, disabled_at is not null as disabled from users where id = ${by.id ?? null}`,
    )
    mustAdminister(by, actor)
  }
  mustHold(by, powers)
}

/** Whether people act on their own account, at our own pages. A token that acts for them does not count. */
export function isOwn(by: Actor, user_id: string): boolean {
  return by.type === 'user' && by.id === user_id && by.scopes === undefined
}

/** Whether the actor may do everything: somebody at the command line has the database anyway, and the server acts by itself. */
export function isOperator({ type }: Actor): boolean {
  return type === 'cli' || type === 'system'
}

const ALL = API_SCOPES.map(({ name }) => name)

function mustAdminister(by: Actor, actor: Pick<HeldPerson, 'role' | 'disabled'> | undefined): void {
  if (by.type === 'user' && (actor?.role !== 'admin' || actor.disabled)) throw new NotAdministrator()
}

function mustHold(by: Actor, powers: readonly string[]): void {
  if (isOperator(by) || (by.type === 'user' && by.scopes === undefined)) return
  const missing = powers.filter((scope) => !by.scopes?.includes(scope))
  if (missing.length === 0) return
  const message = `A token acts on nobody and nothing that can do more than itself, or could within the last day; this also needs ${missing.join(' and ')}.`
  throw new LesserPower(missing, message)
}
