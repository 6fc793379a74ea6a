// The table of fields, held against every surface and against the database: whoever may set a field can, wherever they register or
// change an app, and nobody else. A new field is tried like the others.
import { afterAll, beforeAll, beforeEach, describe, expect, test } from '@jest/globals'
import {
  FIELD_NAMES,
  FIELDS,
  type Field,
  type FieldName,
  fieldsSetBy,
  standardOf,
} from '../../src/core/clients/fields.ts'
import { many, sql } from '../../src/db/pool.ts'
import { clientRow } from '../pages/admin/admin-fixture.ts'
import { WEB } from '../support/registration.ts'
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

const POSTGRES = {
  text: ['text', 'NO'],
  address: ['text', 'YES'],
  list: ['text[]', 'NO'],
  flag: ['boolean', 'NO'],
  choice: ['text', 'NO'],
}

test('each is a column of its shape', async () => {
  const columns = await many<{ name: string; type: string; is_nullable: string }>(
    fixture.admin.server.db,
    sql`select column_name as name, is_nullable,
               case data_type when 'ARRAY' then 'text[]' else data_type end as type
        from information_schema.columns where table_name = 'clients'`,
  )
  const found = new Map(columns.map(({ name, type, is_nullable }) => [name, [type, is_nullable]]))

  expect(FIELD_NAMES.map((name) => [name, found.get(name)])).toEqual(
    FIELD_NAMES.map((name) => [name, POSTGRES[FIELDS[name].shape]]),
  )
})

test('no two share a label, an option or a member, and what is decided about is on record', () => {
  const fields: Field[] = Object.values(FIELDS)
  for (const each of [
    fields.map(({ label }) => label),
    fields.map(({ option }) => option.flags.split(' ')[0]),
    fields.flatMap(({ rfc7591 }) => rfc7591 ?? []),
  ]) {
    expect(each).toEqual([...new Set(each)])
  }
  expect(fields.filter(({ branding, personal }) => branding && personal)).toEqual([])
})

describe.each(SURFACES)('registering: $name', (surface) => {
  const { ask, as = (asked) => asked } = surface

  for (const [name, value] of setThere(surface)) {
    test(`sets ${name}`, async () => {
      const { client_id, refusal } = await ask(fixture, as({ ...WEB, [name]: value }))

      expect(refusal).toBeUndefined()
      expect(await stored(client_id, name)).toEqual(value)
    })
  }

  // A surface of administrators sets them all.
  for (const [name, value] of notSetThere(surface)) {
    test(`does not set ${name}`, async () => {
      const { client_id } = await ask(fixture, as(WEB), { [memberOf(surface, name)]: value })

      if (client_id !== undefined) expect(await stored(client_id, name)).toEqual(standardOf(name))
    })
  }
})

describe.each(CHANGING_SURFACES)('changing: $name', (surface) => {
  for (const [name, value] of setThere(surface)) {
    test(`sets ${name}`, async () => {
      const id = await surface.make(fixture)

      const { refusal } = await surface.change(fixture, id, { [name]: value })

      expect(refusal).toBeUndefined()
      expect(await stored(id, name)).toEqual(value)
    })
  }

  // A surface of administrators sets them all.
  for (const [name, value] of notSetThere(surface)) {
    test(`does not set ${name}`, async () => {
      const id = await surface.make(fixture)

      await surface.change(fixture, id, {}, { [memberOf(surface, name)]: value })

      expect(await stored(id, name)).toEqual(standardOf(name))
    })
  }
})

function setThere(surface: Surface | ChangingSurface): [FieldName, unknown][] {
  return fieldsSetBy(surface.registers)
    .filter((name) => isAsked(surface, name))
    .map((name) => [name, another(name)])
}

function notSetThere(surface: Surface | ChangingSurface): [FieldName, unknown][] {
  const set = setThere(surface).map(([name]) => name)
  return FIELD_NAMES.filter((name) => !set.includes(name)).map((name) => [name, another(name)])
}

// Where a form does not ask, there is a page of its own.
function isAsked(surface: Surface | ChangingSurface, name: FieldName): boolean {
  const { form }: Field = FIELDS[name]
  return surface.name !== 'developer portal' || form.only === undefined
}

function memberOf(surface: Surface | ChangingSurface, name: FieldName): string {
  return (surface.registers === 'itself' && (FIELDS[name] as Field).rfc7591) || name
}

/** A right value that is not the standard. */
function another(name: FieldName): unknown {
  const { shape, example, choices }: Field = FIELDS[name]
  if (name === 'scopes') return ['openid', 'email']
  if (shape === 'list') return [example]
  if (shape === 'flag') return !standardOf(name)
  return choices ? choices.find((choice) => choice !== standardOf(name)) : example
}

async function stored(id: string | undefined, name: FieldName): Promise<unknown> {
  return (await clientRow(fixture.admin.server, id ?? 'none'))[name]
}
