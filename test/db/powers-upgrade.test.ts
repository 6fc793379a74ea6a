// What an upgrade makes of what stood before: who was an administrator within the last day, and about whom an app was verified.
import { cp, mkdtemp, readdir, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, expect, test } from '@jest/globals'
import { migrate } from '../../src/db/migrate.ts'
import { many, sql } from '../../src/db/pool.ts'
import { createTestDatabase, type TestDatabase } from '../support/database.ts'

const DIRECTORY = join(import.meta.dirname, '../../migrations')
const OURS = '0031_powers.sql'

let database: TestDatabase
let before: string
beforeAll(async () => {
  database = await createTestDatabase({ empty: true })
  before = await mkdtemp(join(tmpdir(), 'migrations-'))
  const files = (await readdir(DIRECTORY)).filter((file) => file < OURS)
  await Promise.all(files.map((file) => cp(join(DIRECTORY, file), join(before, file))))
  await migrate(database.db, { directory: before })
  await database.db.pg.query(BEFORE)
  await migrate(database.db)
})
afterAll(async () => {
  await database.drop()
  await rm(before, { recursive: true })
})

const BEFORE = `
  insert into users (email, name, role, created_at) values
    ('today@example.com', 'today', 'user', '2020-01-01'), ('long@example.com', 'long ago', 'user', '2020-01-01'),
    ('again@example.com', 'again', 'admin', '2020-01-01'), ('plain@example.com', 'plain', 'user', '2020-01-01');
  insert into audit_events (type, actor_type, user_id, data, at)
    select 'user.role_changed', 'cli', u.id, '{"from": "admin", "to": "user"}',
           now() - case u.name when 'long ago' then interval '3 days' else interval '1 hour' end
    from users u where u.name <> 'plain';
  insert into clients (id, name, type, verified_at, first_party) values
    ('verified', 'Verified', 'service', now() - interval '1 day', false), ('ours', 'Ours', 'service', null, true),
    ('plain', 'Plain', 'service', null, false);
  insert into client_owners (client_id, user_id, created_at)
    select c.id, u.id, now() - case u.name when 'today' then interval '0' else interval '2 days' end
    from clients c, users u where u.name in ('today', 'plain');`

test('whoever was an administrator within the last day still counts as one', async () => {
  const rows = await many(
    database.db,
    sql`select name, administered_until > now() - interval '1 day' as lately from users order by name`,
  )

  expect(rows).toEqual([
    { name: 'again', lately: null },
    { name: 'long ago', lately: null },
    { name: 'plain', lately: null },
    { name: 'today', lately: true },
  ])
})

test('verification is about those who were there, and first-party about those who are', async () => {
  const rows = await many<{ vouched: string }>(
    database.db,
    sql`select o.client_id || ' ' || u.name as vouched from client_owners o join users u on u.id = o.user_id
        where o.vouched order by 1`,
  )

  expect(rows.map(({ vouched }) => vouched)).toEqual(['ours plain', 'ours today', 'verified plain'])
})
