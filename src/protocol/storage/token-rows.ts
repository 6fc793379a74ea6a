// What the statements over the table of tokens share: a token to be stored, and how digests and new rows travel to Postgres.
import { fragment } from '../../db/pool.ts'

/** What a row of tokens is. */
export type TokenKind =
  | 'authorization_code'
  | 'device_code'
  | 'access_token'
  | 'refresh_token'
  | 'client_credentials'

/** A token to be stored. */
export interface NewToken {
  hash: Buffer
  kind: TokenKind
  client_id: string
  grant_id: string | null
  /** JSON of what the provider keeps with it, without what stands in columns. */
  payload: string
  /** Seconds since the epoch. */
  exp: number
}

export { CLIENT_LIVES } from '../../core/clients/columns.ts'

/** The text form of an array of digests, written at once. */
export function byteaArray(values: Buffer[]): string {
  return `{${values.map((value) => `"\\\\x${value.toString('hex')}"`).join(',')}}`
}

/** The columns of {@link tokensAsJson} as Postgres reads them. */
export const NEW_TOKEN = fragment`hash text, kind text, client_id text, payload json, exp float8`

/** One JSON text a statement: arrays of Postgres cost this process several times as much to write. */
export function tokensAsJson(tokens: NewToken[]): string {
  const rows = tokens.map(
    ({ hash, kind, client_id, payload, exp }) =>
      `{"hash":"${hash.toString('hex')}","kind":"${kind}","client_id":${JSON.stringify(client_id)},"payload":${payload},"exp":${exp}}`,
  )
  return `[${rows.join(',')}]`
}
