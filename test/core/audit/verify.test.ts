// Verifying: whatever somebody who owns the database does to what is sealed, it is found, and the first of it is named.
import { randomBytes } from 'node:crypto'
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from '@jest/globals'
import { secretsFrom } from '../../../src/base/secrets.ts'
import { hashOf, positionOf, rowsIn, type Seal, sealsAfter } from '../../../src/core/audit/chain.ts'
import { sealAudit } from '../../../src/core/audit/seal.ts'
import { verifyAudit } from '../../../src/core/audit/verify.ts'
import { openPool, type Pool, type Query, sql } from '../../../src/db/pool.ts'
import { KEYS, recordSome, sealAll, secrets, tamper } from '../../support/audit.ts'
import { createTestDatabase, serverOfItsOwn, type TestDatabase } from '../../support/database.ts'

let server: Awaited<ReturnType<typeof serverOfItsOwn>>
let database: TestDatabase
let db: Pool
beforeAll(async () => {
  server = await serverOfItsOwn()
})
afterAll(() => server?.stop())
beforeEach(async () => {
  // Rows 1–4, 5–8 and 9–12 in three seals; 13 and 14 are not sealed.
  database = await createTestDatabase()
  db = database.db
  for (let i = 0; i < 3; i++) {
    await recordSome(db, 4)
    await sealAll(db)
  }
  await recordSome(db, 2)
})
afterEach(() => database.drop())

test('an honest record is whole', async () => {
  expect(await verifyAudit(db, secrets)).toEqual({
    ok: true,
    finding: null,
    sealed: 12,
    unsealed: 2,
    unsealed_since: expect.any(Date),
    seals: 3,
    head: expect.stringMatching(/^[0-9a-f]{64}$/),
  })
})

describe('a row that is changed in', () => {
  test.each<[string, Query]>([
    ['at', sql`update audit_events set at = at + interval '1 microsecond' where id = 6`],
    ['at, to no time at all', sql`update audit_events set at = 'infinity' where id = 6`],
    ['at, to before Christ', sql`update audit_events set at = at - interval '4000 years' where id = 6`],
    ['type', sql`update audit_events set type = 'sign_in.succeeded' where id = 6`],
    ['actor_type', sql`update audit_events set actor_type = 'system' where id = 6`],
    ['actor_id, from nothing to an empty text', sql`update audit_events set actor_id = '' where id = 6`],
    ['user_id', sql`update audit_events set user_id = gen_random_uuid() where id = 6`],
    ['user_id, to nothing', sql`update audit_events set user_id = null where id = 6`],
    ['client_id', sql`update audit_events set client_id = 'c_x' where id = 6`],
    ['ip', sql`update audit_events set ip = '203.0.113.7' where id = 6`],
    ['user_agent', sql`update audit_events set user_agent = user_agent || ' ' where id = 6`],
    ['request_id', sql`update audit_events set request_id = 'x' where id = 6`],
    ['data', sql`update audit_events set data = '{"reason":"replay"}' where id = 6`],
    ['data, in its spelling alone', sql`update audit_events set data = '{ }' where id = 6`],
    [
      'two columns that are swapped',
      sql`update audit_events set request_id = user_agent, user_agent = null where id = 6`,
    ],
    ['tx, back', sql`update audit_events set tx = '1' where id = 6`],
    ['tx, to the end', sql`update audit_events set tx = pg_current_xact_id() where id = 6`],
    ['tx, to the future', sql`update audit_events set tx = '9000000000000' where id = 6`],
  ])('%s is named', async (_, change) => {
    await tamper(db, change)

    expect(await verifyAudit(db, secrets)).toMatchObject({
      ok: false,
      finding: { problem: 'row_changed', id: '6' },
    })
  })

  test('many places: the first is named', async () => {
    await tamper(db, sql`update audit_events set type = 'x' where id in (3, 7, 11)`)

    expect(await verifyAudit(db, secrets)).toMatchObject({ finding: { problem: 'row_changed', id: '3' } })
  })
})

describe('a row that is removed', () => {
  test.each(['1', '4', '6', '12'])('is named: %s', async (id) => {
    await tamper(db, sql`delete from audit_events where id = ${id}`)

    expect(await verifyAudit(db, secrets)).toMatchObject({
      ok: false,
      finding: { problem: 'row_removed', id },
    })
  })

  test('with its whole seal, and all rows of it: the seal is named', async () => {
    await tamper(
      db,
      sql`delete from audit_events where id between 5 and 8`,
      sql`delete from audit_seals where id = 2`,
    )

    expect(await verifyAudit(db, secrets)).toMatchObject({ finding: { problem: 'seal_removed', id: '2' } })
  })

  test('and put back under another id: that one is named', async () => {
    await tamper(
      db,
      sql`insert into audit_events (id, at, type, actor_type, user_id, user_agent, data, tx) overriding system value
          select 600, at, type, actor_type, user_id, user_agent, data, tx from audit_events where id = 6`,
      sql`delete from audit_events where id = 6`,
    )

    expect(await verifyAudit(db, secrets)).toMatchObject({ finding: { problem: 'row_inserted', id: '600' } })
  })
})

describe('a row that is added', () => {
  const added = (id: string, tx: Query) => ({
    text: `insert into audit_events (id, type, actor_type, tx) overriding system value
           values (${id}, 'x', 'cli', (${tx.text}))`,
    values: [],
  })
  test.each<[string, string, Query]>([
    ['in the middle of a seal', '600', sql`select tx from audit_events where id = 6`],
    ['before everything', '600', sql`select '1'::xid8`],
    ['with an id below all others', '-5', sql`select '0'::xid8`],
    ['behind the last row of a seal', '600', sql`select tx from audit_events where id = 8`],
    ['from a transaction that has not begun', '600', sql`select '9000000000000'::xid8`],
  ])('%s is named', async (_, id, tx) => {
    await tamper(db, added(id, tx))

    expect(await verifyAudit(db, secrets)).toMatchObject({
      ok: false,
      finding: { problem: 'row_inserted', id },
    })
  })

  test('is not sealed afterwards as if it had always been there', async () => {
    await tamper(db, added('600', sql`select '1'::xid8`))

    await recordSome(db, 3)
    await sealAudit(db, secrets)

    expect(await verifyAudit(db, secrets)).toMatchObject({ finding: { problem: 'row_inserted', id: '600' } })
  })
})

describe('a seal that is changed', () => {
  test.each<[string, Query]>([
    ['sealed_at', sql`update audit_seals set sealed_at = sealed_at - interval '1 microsecond' where id = 2`],
    ['system_id', sql`update audit_seals set system_id = 'x' where id = 2`],
    ['floor_id', sql`update audit_seals set floor_id = 1 where id = 2`],
    ['row_ids', sql`update audit_seals set row_ids = array[6, 5, 7, 8] where id = 2`],
    [
      'row_hashes',
      sql`update audit_seals set row_hashes = sha256('1') || substr(row_hashes, 33) where id = 2`,
    ],
    ['last_tx', sql`update audit_seals set last_tx = '1' where id = 2`],
    ['last_id', sql`update audit_seals set last_id = 9 where id = 2`],
    ['max_id', sql`update audit_seals set max_id = 9 where id = 2`],
    ['previous_hash', sql`update audit_seals set previous_hash = sha256('1') where id = 2`],
    ['hash', sql`update audit_seals set hash = sha256('1') where id = 2`],
    ['key_id', sql`update audit_seals set key_id = '\\x0102030405060708' where id = 2`],
    ['mac', sql`update audit_seals set mac = sha256('1') where id = 2`],
  ])('in %s is named', async (_, change) => {
    await tamper(db, change)

    expect(await verifyAudit(db, secrets)).toMatchObject({
      ok: false,
      finding: { problem: 'seal_changed', id: '2' },
    })
  })

  test('at the end: what it says about other clusters is not believed', async () => {
    await tamper(db, sql`update audit_seals set system_id = 'x', max_id = 1, floor_id = 2 where id = 3`)

    expect(await verifyAudit(db, secrets)).toMatchObject({ finding: { problem: 'seal_changed', id: '3' } })
  })

  test.each(['1', '2'])('or removed: %s', async (id) => {
    await tamper(db, sql`delete from audit_seals where id = ${id}`)

    expect(await verifyAudit(db, secrets)).toMatchObject({ finding: { problem: 'seal_removed', id } })
  })

  test('by moving another one into its place', async () => {
    await tamper(
      db,
      sql`delete from audit_seals where id = 2`,
      sql`update audit_seals set id = 2 where id = 3`,
    )

    expect(await verifyAudit(db, secrets)).toMatchObject({ finding: { problem: 'seal_changed', id: '2' } })
  })
})

describe('history that is made anew without the key', () => {
  test('is found: with another key, under the id of ours', async () => {
    await tamper(db, sql`update audit_events set type = 'x' where id = 6`)

    await sealAnew(KEYS.stranger, secrets.keyId)

    expect(await verifyAudit(db, secrets)).toMatchObject({ finding: { problem: 'seal_changed', id: '1' } })
    await expect(sealAudit(db, secrets)).rejects.toThrow('was not made with our key')
  })

  test('is found: with another key, under its own id', async () => {
    await tamper(db, sql`update audit_events set type = 'x' where id = 6`)

    await sealAnew(KEYS.stranger)

    expect(await verifyAudit(db, secrets)).toMatchObject({ finding: { problem: 'key_unknown', id: '1' } })
    await expect(sealAudit(db, secrets)).rejects.toThrow('not in SECRET_KEYS')
  })

  test('is found: up to a seal of ours that stays', async () => {
    await tamper(db, sql`update audit_events set type = 'x' where id = 6`)

    await sealAnew(KEYS.stranger, undefined, 2)

    // Of the two that nobody can check, the one that the third does not carry on.
    expect(await verifyAudit(db, secrets)).toMatchObject({ finding: { problem: 'seal_changed', id: '2' } })
  })
})

describe('the end that is cut off', () => {
  test('shows when a head of earlier is known', async () => {
    const { head } = await verifyAudit(db, secrets)
    await tamper(
      db,
      sql`delete from audit_seals where id = 3`,
      sql`update audit_events set type = 'x' where id = 10`,
    )

    // Without it, the rows of that seal look as if they waited for their seal.
    expect(await verifyAudit(db, secrets)).toMatchObject({ ok: true, sealed: 8, unsealed: 6 })
    expect(await verifyAudit(db, secrets, { head: head! })).toMatchObject({
      ok: false,
      finding: { problem: 'head_missing', id: head },
    })

    // Sealed anew by a server that knows no better, it still shows.
    await sealAll(db)
    expect(await verifyAudit(db, secrets, { head: head! })).toMatchObject({
      finding: { problem: 'head_missing' },
    })
  })

  test('a head of earlier stays in a chain that grows', async () => {
    const { head } = await verifyAudit(db, secrets)

    await recordSome(db, 2)
    await sealAll(db)

    expect(await verifyAudit(db, secrets, { head: head! })).toMatchObject({ ok: true, sealed: 16 })
  })
})

test('verifying changes nothing, and sees one moment while others write and seal', async () => {
  let writing = true
  const writer = (async () => {
    while (writing) {
      await recordSome(db, 5)
      await sealAudit(db, secrets)
    }
  })()

  for (let i = 0; i < 15; i++) expect(await verifyAudit(db, secrets)).toMatchObject({ ok: true })

  writing = false
  await writer
})

test('a role that may not know the cluster seals and verifies all the same', async () => {
  const role = `blind_${randomBytes(4).toString('hex')}`
  const url = new URL(database.url)
  url.username = role
  url.password = 'nothing'
  await db.pg.query(`create role ${role} login password 'nothing'`)
  await db.pg.query(`grant select, insert on audit_seals, audit_events to ${role}`)
  await db.pg.query('revoke execute on function pg_control_system() from public')
  const blind = openPool(url.href, 2)
  try {
    await recordSome(blind, 1)
    await sealAll(blind)

    expect(await verifyAudit(blind, secrets)).toMatchObject({ ok: true, sealed: 15, unsealed: 0 })
    expect(await verifyAudit(db, secrets)).toMatchObject({ ok: true, sealed: 15, unsealed: 0 })
  } finally {
    await blind.close()
    await db.pg.query(`drop owned by ${role}`)
    await db.pg.query(`drop role ${role}`)
  }
})

/** Makes the first seals anew over the rows as they are now, as well as it can be done with `key`. */
async function sealAnew(key: string, key_id?: Buffer, count = 3): Promise<void> {
  const forger = secretsFrom([key])
  const changes = [sql`delete from audit_seals where id <= ${count}`]
  let last: Seal | undefined
  for (const honest of await sealsAfter(db, '0', count)) {
    const rows = await rowsIn(db, { after: last && positionOf(last), upTo: positionOf(honest) }, 100)
    const row_hashes = Buffer.concat(rows.map(({ hash }) => hash))
    const previous_hash = last?.hash ?? honest.previous_hash
    const forged = { ...honest, row_hashes, previous_hash, key_id: key_id ?? forger.keyId }
    const hash = hashOf(forged)
    last = { ...forged, hash, mac: forger.attest(hash) }
    changes.push(
      sql`insert into audit_seals (id, sealed_at, system_id, row_ids, row_hashes, last_tx, last_id, max_id,
                                   previous_hash, hash, key_id, mac)
          values (${last.id}, timestamptz 'epoch' + ${last.sealed_us}::bigint * interval '1 microsecond',
                  ${last.system_id}, ${last.row_ids}, ${row_hashes}, ${last.last_tx}, ${last.last_id},
                  ${last.max_id}, ${previous_hash}, ${hash}, ${last.key_id}, ${last.mac})`,
    )
  }
  await tamper(db, ...changes)
}
