// Device codes (RFC 8628) until somebody has decided about them: rows of the tokens table, found by the code that a person types,
// too. Using one up is what tokens.ts does with any code.
import { digest } from '../../base/credentials.ts'
import { CLIENT_LIVES } from '../../core/clients/columns.ts'
import { type Db, maybe, one, run, sql } from '../../db/pool.ts'
import type { NewToken } from './token-rows.ts'

/** Stores a device code that nobody has decided about. @returns false when its client no longer lives. */
export async function insertDeviceCode(db: Db, code: NewToken, userCode: string): Promise<boolean> {
  const inserted = await run(
    db,
    sql`insert into tokens (hash, kind, client_id, payload, expires_at, user_code_hash)
        select ${code.hash}::bytea, 'device_code', c.id, ${code.payload}::json, to_timestamp(${code.exp}::float8),
               ${digest(userCode)}::bytea
        from clients c
        where c.id = ${code.client_id} and ${CLIENT_LIVES}`,
  )
  return inserted === 1
}

/** How many device codes of a client are not over; counted up to `most`. */
export async function countDeviceCodes(db: Db, client_id: string, most: number): Promise<number> {
  const { waiting } = await one<{ waiting: number }>(
    db,
    sql`select count(*)::int as waiting from (
          select from tokens where client_id = ${client_id} and kind = 'device_code' and expires_at > now() limit ${most}) w`,
  )
  return waiting
}

/**
 * Notes what a person does about a device code: that somebody is about to decide (`inFlight`, at the device `typedBy`), a grant, or a
 * refusal (`error`). Until there is a decision, whoever was about to decide may begin again.
 * @returns false when somebody else was first, it has expired, or its grant no longer lives.
 */
export async function updateDeviceCode(db: Db, code: NewToken): Promise<boolean> {
  const { error, typedBy } = JSON.parse(code.payload) as { error?: string; typedBy?: string }
  const begins = code.grant_id === null && error === undefined
  const updated = await run(
    db,
    sql`update tokens t set payload = ${code.payload}::json, grant_id = ${code.grant_id}::text
        where t.hash = ${code.hash} and t.kind = 'device_code' and t.consumed_at is null and t.expires_at > now()
          and t.grant_id is null and t.payload->>'error' is null
          and (not ${begins}::boolean or t.payload->>'inFlight' is null or t.payload->>'typedBy' = ${typedBy ?? null}::text)
          and (${code.grant_id}::text is null or exists (
            select from grants g
            where g.id = ${code.grant_id}::text and g.client_id = t.client_id and g.revoked_at is null))`,
  )
  return updated === 1
}

/** What a device code goes by where a person decides about it: its value is the device's alone, and this is none that a device can send. */
export function nameOfCode(hash: Buffer): string {
  return BY_DIGEST + hash.toString('base64url')
}

/** The digest in a {@link nameOfCode}; undefined for anything else. */
export function hashInName(name: string): Buffer | undefined {
  return name.startsWith(BY_DIGEST) ? Buffer.from(name.slice(BY_DIGEST.length), 'base64url') : undefined
}

const BY_DIGEST = 'sha256:'

/** Opens a code anew that somebody was about to decide about, and has not. */
export async function reopenDeviceCode(db: Db, name: string): Promise<void> {
  await run(
    db,
    sql`update tokens set payload = (payload::jsonb - 'inFlight')::json
        where hash = ${hashInName(name) ?? null}::bytea and kind = 'device_code' and grant_id is null and payload->>'error' is null`,
  )
}

/** The digest of the device code that belongs to a code that a person typed. */
export async function findByUserCode(db: Db, userCode: string): Promise<Buffer | undefined> {
  const row = await maybe<{ hash: Buffer }>(
    db,
    sql`select hash from tokens where user_code_hash = ${digest(userCode)} and kind = 'device_code'`,
  )
  return row?.hash
}

/** A request in which a device asks about its code. */
export interface Poll {
  value: string
  /** Names the request. */
  by: string
  /** An earlier one, which does not count because it got no answer. */
  unanswered?: string
}

/** Notes that a device asks about its code. @returns false when it asked less than `seconds` ago. */
export async function notePoll(db: Db, { value, by, unanswered }: Poll, seconds: number): Promise<boolean> {
  const noted = await run(
    db,
    sql`update tokens set polled_at = now(), polled_by = ${by}::uuid
        where hash = ${digest(value)} and kind = 'device_code'
          and (polled_at is null or polled_at <= now() - make_interval(secs => ${seconds})
               or polled_by = ${unanswered ?? null}::uuid)`,
  )
  return noted === 1
}

/** The request in which a device asked last about its code. */
export async function findLastPoll(db: Db, value: string): Promise<string | undefined> {
  const code = await maybe<{ polled_by: string | null }>(
    db,
    sql`select polled_by from tokens where hash = ${digest(value)} and kind = 'device_code'`,
  )
  return code?.polled_by ?? undefined
}
