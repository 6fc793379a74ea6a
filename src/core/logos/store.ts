// Uploaded logos, each stored once under the digest of its content, while an app shows it. It knows no picture format.
import { createHash } from 'node:crypto'
import { type Db, maybe, one, run, sql, tx } from '../../db/pool.ts'
import { SWEEP_BATCH, type Sweep } from '../../db/sweep.ts'

// For a while after a change, pages that were loaded before still load the old logo.
const KEPT_DAYS = 7

/**
 * Stores a picture and makes it the logo of an app, in one transaction. @param png made by {@link logoMaker}. @param issuer the origin
 * of its address. @param change changes the app, by the rules for the one who asks
 */
export function setLogo<T>(
  db: Db,
  { png, issuer }: { png: Buffer; issuer: string },
  change: (t: Db, logo_uri: string) => Promise<T>,
): Promise<T> {
  return tx(db, async (t) => change(t, `${issuer}/logos/${await storeLogo(t, png)}.png`))
}

/** A logo by the digest in its address, in hex. */
export async function findLogo(db: Db, sha256: string): Promise<Buffer | undefined> {
  const row = await maybe<{ png: Buffer }>(
    db,
    sql`select png from logos where sha256 = ${Buffer.from(sha256, 'hex')}`,
  )
  return row?.png
}

/**
 * Checks logos that were not checked for a week, and deletes those that no app shows or waits to show. So each logo is checked once a
 * week, however many there are.
 */
export const sweepLogos: Sweep = async (db) => {
  const { looked_at } = await one<{ looked_at: number }>(
    db,
    sql`with old as materialized (
          select sha256, encode(sha256, 'hex') as hex from logos
          where created_at < now() - make_interval(days => ${KEPT_DAYS})
          order by created_at limit ${SWEEP_BATCH} for update skip locked
        ), shown as materialized (
          select sha256 from old
          where exists (select from clients
                        where logo_uri is not null and substring(logo_uri from '/logos/([0-9a-f]{64})\\.png$') = hex)
          union
          select sha256 from old
          where hex in (select (regexp_matches(changes::text, '/logos/([0-9a-f]{64})\\.png', 'g'))[1] from client_changes
                        -- The expression of the index.
                        where changes::text like '%/logos/%')
        ), renewed as (
          update logos set created_at = now() where sha256 = any(array(select sha256 from shown))
        ), gone as (
          delete from logos where sha256 = any(array(select sha256 from old except select sha256 from shown))
        )
        select count(*)::int as looked_at from old`,
  )
  return looked_at
}

/** Stores a logo, or renews its time, so that the sweeper does not delete a logo that was just uploaded again. */
async function storeLogo(t: Db, png: Buffer): Promise<string> {
  const sha256 = createHash('sha256').update(png).digest()
  await run(
    t,
    sql`insert into logos (sha256, png) values (${sha256}, ${png})
        on conflict (sha256) do update set created_at = now()`,
  )
  return sha256.toString('hex')
}
