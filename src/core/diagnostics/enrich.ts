// What the protocol does not know when it refuses a request: what became of a secret, a code, a token or the app itself. Looked
// up for all notes of a write together.
import { type Db, many, sql } from '../../db/pool.ts'
import { when } from '../../http/time.ts'
import type { RejectionKind } from './messages.ts'
import { redact } from './redact.ts'

/** A refused request, as the protocol saw it. */
export interface RejectedRequest {
  /** Undefined: the client of the token of `token_hash`. */
  client_id: string | undefined
  kind: RejectionKind
  /** `/token` and the like. */
  endpoint: string
  /** The code that was answered. */
  error: string
  /** What was expected: a value of the registration, or our words. */
  expected?: string
  /** What was received; the recorder masks what must not be stored. */
  received?: string
  /** The app has authenticated itself. */
  authenticated: boolean
  /** Where it came from, as limits count it (placeOf). */
  place: string
  /** SHA-256 of a wrong secret, or of an invalid code or token, to look up later what became of it. */
  secret_hash?: Buffer
  token_hash?: Buffer
}

/** A rejected request on its way to the table: redacted. */
export interface Note extends RejectedRequest {
  at: Date
  /** A digest of client and place. */
  source: number
}

/** Completes notes with what became of their secrets, tokens and apps, and leaves out those that belong to no app. */
export async function settle(db: Db, notes: Note[]): Promise<Note[]> {
  const withTokens = notes.filter(({ token_hash }) => token_hash)
  const withSecrets = notes.filter(({ secret_hash }) => secret_hash)
  const notLive = notes.filter(({ kind }) => kind === 'app_suspended')
  if (withTokens.length > 0) await settleTokens(db, withTokens)
  if (withSecrets.length > 0) await settleSecrets(db, withSecrets)
  const gone = notLive.length > 0 ? await settleApps(db, notLive) : new Set<Note>()
  return notes.filter((note) => note.client_id !== undefined && !gone.has(note))
}

const ENDS = {
  authorization_code: {
    other: 'code_other_client',
    used: 'code_used',
    expired: 'code_expired',
    revoked: 'code_revoked',
  },
  refresh_token: {
    other: 'refresh_other_client',
    used: 'refresh_used',
    expired: 'refresh_expired',
    revoked: 'refresh_revoked',
  },
  access_token: {
    other: 'other',
    used: 'access_token_revoked',
    expired: 'access_token_expired',
    revoked: 'access_token_revoked',
  },
} as const satisfies Record<string, Record<string, RejectionKind>>

// The protocol finds only live tokens, so it cannot tell whether one has expired, was used, or ended with its consent.
async function settleTokens(db: Db, notes: Note[]): Promise<void> {
  const rows = await many<{
    hash: Buffer
    kind: string
    client_id: string
    used: boolean
    expired: boolean
    expires_at: Date
  }>(
    db,
    sql`select hash, kind, client_id, consumed_at is not null as used, expires_at <= now() as expired, expires_at
        from tokens where hash = any(${notes.map(({ token_hash }) => token_hash!)})`,
  )
  const found = new Map(rows.map((row) => [row.hash.toString('hex'), row]))
  for (const note of notes) {
    const row = found.get(note.token_hash!.toString('hex'))
    const ends = ENDS[row?.kind as keyof typeof ENDS]
    if (!row || !ends) continue
    if (note.client_id === undefined) {
      // Whoever holds a token is the app or got it from the app.
      note.client_id = row.client_id
      note.authenticated = true
    }
    const end =
      row.client_id !== note.client_id ? 'other' : row.used ? 'used' : row.expired ? 'expired' : 'revoked'
    note.kind = ends[end]
    note.expected = ''
    note.received = end === 'expired' ? `expired ${when(row.expires_at).title}` : ''
  }
}

interface SecretFacts {
  client_id: string
  hash: Buffer
  name: string
  prefix: string
  expires_at: Date | null
  revoked_at: Date | null
}

const MOST_SECRETS = 50

async function settleSecrets(db: Db, notes: Note[]): Promise<void> {
  const ids = [...new Set(notes.map(({ client_id }) => client_id))]
  const rows = await many<SecretFacts>(
    db,
    sql`select s.*
        from unnest(${ids}::text[]) as c (id)
        cross join lateral (
          select client_id, hash, name, prefix, expires_at, revoked_at
          from client_secrets where client_id = c.id order by created_at desc limit ${MOST_SECRETS}
        ) s`,
  )
  for (const note of notes) {
    const ofClient = rows.filter(({ client_id }) => client_id === note.client_id)
    const live = ofClient.filter(
      (secret) => !secret.revoked_at && !(secret.expires_at && +secret.expires_at <= Date.now()),
    )
    note.expected =
      live.length > 0 ? `one of: ${live.map(named).join(', ')}` : 'none: the app has no live secret'
    const same = ofClient.find(({ hash }) => hash.equals(note.secret_hash!))
    if (same?.revoked_at) {
      note.kind = 'secret_revoked'
      note.received = `${named(same)}, revoked ${when(same.revoked_at).title}`
    } else if (same?.expires_at && !live.includes(same)) {
      note.kind = 'secret_expired'
      note.received = `${named(same)}, expired ${when(same.expires_at).title}`
    } else {
      const alike = ofClient.find(({ prefix }) => note.received?.startsWith(prefix))
      if (alike) note.received = `${note.received}; it begins like ${named(alike)}, and the rest differs`
    }
  }
}

/** A secret, as lists name it. */
function named({ prefix, name }: SecretFacts): string {
  return name ? `${prefix}… (${redact(name, { known: name, most: 40 })})` : `${prefix}…`
}

/** @returns the notes whose app does not exist, or works by now */
async function settleApps(db: Db, notes: Note[]): Promise<Set<Note>> {
  const ids = [...new Set(notes.map(({ client_id }) => client_id))]
  const rows = await many<{ id: string; state: string; suspended: boolean }>(
    db,
    sql`select id, state, suspended_at is not null as suspended from clients where id = any(${ids}) and deleted_at is null`,
  )
  const gone = new Set<Note>()
  for (const note of notes) {
    const app = rows.find(({ id }) => id === note.client_id)
    if (app?.state === 'rejected') note.kind = 'app_rejected'
    else if (!app?.suspended) gone.add(note)
  }
  return gone
}
