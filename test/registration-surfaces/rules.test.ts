// One table of what may be registered, and one of what an app may become, held against every surface through which it can be:
// what one refuses, all refuse, naming the field, what is wrong and a right example, and nothing is stored.
import { afterAll, beforeAll, beforeEach, describe, expect, test } from '@jest/globals'
import { one, run, sql } from '../../src/db/pool.ts'
import { clientRow } from '../pages/admin/admin-fixture.ts'
import {
  type Asked,
  CHANGE_CASES,
  NOBODYS,
  NOT_THEIRS,
  REGISTRATION_CASES,
  WEB,
} from '../support/registration.ts'
import {
  CHANGING_SURFACES,
  type ChangingSurface,
  resetLimits,
  SURFACES,
  type Surface,
  type SurfacesFixture,
  startSurfacesFixture,
} from './surfaces.ts'

let fixture: SurfacesFixture
beforeAll(async () => {
  fixture = await startSurfacesFixture()
})
beforeEach(() => resetLimits(fixture))
afterAll(() => fixture?.stop())

const ADMINISTERS = ['openid', 'clients:read']

describe.each(SURFACES)('registering: $name', (surface) => {
  const { ask, field, takes, as = (asked) => asked, registers } = surface
  const cases = REGISTRATION_CASES.filter(({ asked }) => takes?.(asked) ?? true)

  test.each(cases)('$what', async ({ asked, wrong, problem }) => {
    const before = await count()

    const { client_id, refusal } = await ask(fixture, as(asked))

    if (wrong === 'scopes' && registers === 'itself') {
      // RFC 7591 §2: what it may not have is left out.
      const { scopes } = as(asked)
      expect((await row(client_id)).scopes).toEqual(scopes!.filter((scope) => scope === 'openid'))
      return
    }
    if (wrong === undefined) {
      expect(refusal).toBeUndefined()
      const { name, type, redirect_uris, scopes } = as(asked)
      expect(await row(client_id)).toMatchObject({ name, type, redirect_uris, scopes })
      return
    }
    expect(client_id).toBeUndefined()
    expect(refusal).toContain(field(wrong))
    expect(refusal).toMatch(problem!)
    expect(refusal).toContain('e.g. ')
    expect(await count()).toBe(before)
  })

  test.each(foreignTo(surface))('nobody says %s there', async (name, value) => {
    const before = await count()

    const { client_id, refusal } = await ask(fixture, as(WEB), { [name]: value })

    if (client_id !== undefined) return expect(await row(client_id)).toMatchObject(standard(registers, name))
    expect(refusal).toMatch(new RegExp(name.replaceAll('_', '[_-]')))
    expect(await count()).toBe(before)
  })

  if (registers !== 'admin' && (takes?.({ ...WEB, scopes: ADMINISTERS }) ?? true)) {
    test('a scope that administers this server', async () => {
      const before = await count()

      const { client_id, refusal } = await ask(fixture, { ...WEB, scopes: ADMINISTERS })

      if (registers === 'itself') return expect((await row(client_id)).scopes).toEqual(['openid'])
      expect(client_id).toBeUndefined()
      expect(refusal).toContain(field('scopes'))
      expect(refusal).toMatch(/clients:read.*e\.g\. /s)
      expect(await count()).toBe(before)
    })
  }
})

describe.each(CHANGING_SURFACES)('changing: $name', (surface) => {
  const { make, change: ask, field, registers } = surface
  const refused = async (id: string, change: Partial<Asked>, problem: RegExp, wrong: keyof Asked) => {
    const before = await standing(id)

    const { client_id, refusal } = await ask(fixture, id, change)

    expect(client_id).toBeUndefined()
    expect(refusal).toContain(field(wrong))
    expect(refusal).toMatch(problem)
    expect(refusal).toContain('e.g. ')
    expect(await standing(id)).toBe(before)
  }

  // RFC 7591 §2: what it may not have is left out.
  const leavesOut = async (id: string, scopes: string[]) => {
    expect((await ask(fixture, id, { scopes })).refusal).toBeUndefined()
    expect((await row(id)).scopes).toEqual(['openid'])
  }

  test.each(CHANGE_CASES)('$what', async ({ change, wrong, problem }) => {
    const id = await make(fixture)
    if (wrong === 'scopes' && registers === 'itself') return leavesOut(id, change.scopes!)
    if (wrong === 'redirect_uris' && registers === 'itself' && change.redirect_uris!.length > 1) {
      expect((await ask(fixture, id, change)).refusal).toBeUndefined()
      expect((await row(id)).redirect_uris).toEqual(change.redirect_uris!.slice(0, 1))
      return
    }
    if (wrong) return refused(id, change, problem!, wrong)

    const { refusal } = await ask(fixture, id, change)

    expect(refusal).toBeUndefined()
    expect(await row(id)).toMatchObject({ ...WEB, ...change, registered_by: registers, state: 'active' })
  })

  test.each(foreignTo(surface))('nobody says %s there', async (name, value) => {
    const id = await make(fixture)
    const before = await row(id)

    const { refusal } = await ask(fixture, id, { name: 'Almanac' }, { [name]: value })

    if (refusal !== undefined) {
      expect(refusal).toMatch(new RegExp(name.replaceAll('_', '[_-]')))
      expect(await row(id)).toEqual(before)
      return
    }
    const { first_party, verified_at, state, registered_by, pkce_required } = before
    const untouched = { first_party, verified_at, state, registered_by, pkce_required }
    expect(await row(id)).toMatchObject({ ...untouched, name: 'Almanac' })
  })

  test('a scope that administers this server, for an app that no administrator has registered', async () => {
    const id = await make(fixture)
    if (registers === 'admin') {
      await run(fixture.admin.server.db, sql`update clients set registered_by = 'developer' where id = ${id}`)
    }

    if (registers === 'itself') return leavesOut(id, ADMINISTERS)
    await refused(id, { scopes: ADMINISTERS }, /clients:read/, 'scopes')
  })

  // In a file, the id is what says which app is meant.
  if (surface.name === 'clients apply') return
  test('the id of another app', async () => {
    const { id: theirs } = await fixture.admin.server.app({ name: 'Theirs' })
    const before = await standing(theirs)
    const id = await make(fixture)

    await ask(fixture, id, { name: 'Almanac' }, { id: theirs })

    expect(await standing(theirs)).toBe(before)
  })
})

/** What no registration at this surface may say of itself, with what is sent. */
function foreignTo({ registers }: Surface | ChangingSurface): [string, unknown][] {
  const told = { ...NOT_THEIRS, registered_by: registers === 'admin' ? 'itself' : 'admin' }
  const theirs = (Object.keys(told) as (keyof typeof told)[]).filter(
    (name) => !(registers === 'developer' && name === 'pkce_required'),
  )
  const names = registers === 'admin' ? NOBODYS : theirs
  return names.map((name) => [name, told[name]])
}

function standard(registered_by: string, name: string): Record<string, unknown> {
  const all = { first_party: false, verified_at: null, state: 'active', registered_by, pkce_required: true }
  return { [name]: all[name as keyof typeof all] }
}

function row(id: string | undefined): Promise<Record<string, unknown>> {
  return clientRow(fixture.admin.server, id ?? 'none')
}

async function count(): Promise<number> {
  const { n } = await one<{ n: number }>(
    fixture.admin.server.db,
    sql`select count(*)::int + (select count(*)::int from client_secrets) as n from clients`,
  )
  return n
}

/** All that is kept of an app, and how often anything was recorded of it. */
async function standing(id: string): Promise<string> {
  const all = await one(
    fixture.admin.server.db,
    sql`select (select to_jsonb(c) from clients c where id = ${id}) as client,
               (select to_jsonb(r) from client_registrations r where client_id = ${id}) as registration,
               (select json_agg(s order by id) from client_secrets s where client_id = ${id}) as secrets,
               (select json_agg(ch order by id) from client_changes ch where client_id = ${id}) as changes,
               (select count(*) from audit_events where client_id = ${id}) as events`,
  )
  return JSON.stringify(all)
}
