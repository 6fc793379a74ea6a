// Rules that all one-time links share.
import { fragment, run, sql } from '../../db/pool.ts'
import { SWEEP_BATCH, type Sweep } from '../../db/sweep.ts'

/** For how long a form that used a link may be sent again because its answer was lost. */
export const SENT_AGAIN = fragment`interval '10 minutes'`

/** Deletes expired one-time links. */
export const sweepLinks: Sweep = (db) =>
  run(
    db,
    sql`delete from user_links where hash = any(array(
          select hash from user_links where expires_at < now() limit ${SWEEP_BATCH} for update skip locked))`,
  )
