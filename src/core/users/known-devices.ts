// The browsers in which a person has shown who they are. Being one lets nobody in: attempts from there count by themselves, so
// that nothing an attacker does to the account or from the same address holds its owner up.
import { type Db, maybe, run, sql } from '../../db/pool.ts'
import { SWEEP_BATCH, type Sweep } from '../../db/sweep.ts'

const MOST_DEVICES = 20
/** As long as the cookie lives that the device is known by. */
const DAYS_KEPT = 400

/**
 * Remembers, or renews, a device of an account, of which at most 20 are remembered: those that showed the password last. Call it
 * with the account held. Whatever raises the account's `sign_in_epoch` afterwards forgets the device.
 * @param device_id see src/protocol/rules/device.ts
 */
export async function rememberDevice(t: Db, user_id: string, device_id: string): Promise<void> {
  await run(
    t,
    sql`with person as (select id, sign_in_epoch from users where id = ${user_id}),
        forgotten as (
          delete from known_devices k
          using person p
          where k.user_id = p.id and k.device_id <> ${device_id}
            and k.device_id not in (
              select device_id from known_devices
              where user_id = ${user_id} and device_id <> ${device_id} and sign_in_epoch = p.sign_in_epoch
              order by expires_at desc
              limit ${MOST_DEVICES - 1}))
        insert into known_devices (device_id, user_id, sign_in_epoch, expires_at)
        select ${device_id}, id, sign_in_epoch, now() + make_interval(days => ${DAYS_KEPT})
        from person
        on conflict (device_id, user_id) do update
        set sign_in_epoch = excluded.sign_in_epoch, expires_at = excluded.expires_at`,
  )
}

/** The account that a device is known to, the one that showed its password there last when there are several. */
export async function findPersonOfDevice(db: Db, device_id: string): Promise<string | undefined> {
  const found = await maybe<{ user_id: string }>(
    db,
    sql`select k.user_id
        from known_devices k
        join users u on u.id = k.user_id and u.sign_in_epoch = k.sign_in_epoch
        where k.device_id = ${device_id} and k.expires_at > now() and u.disabled_at is null
        order by k.expires_at desc
        limit 1`,
  )
  return found?.user_id
}

/** Devices in which nobody signed in for as long as they are remembered. */
export const sweepKnownDevices: Sweep = (db) =>
  run(
    db,
    sql`delete from known_devices where ctid = any(array(
          select ctid from known_devices where expires_at < now() limit ${SWEEP_BATCH} for update skip locked))`,
  )
