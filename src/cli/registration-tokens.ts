// registration-tokens: the initial access tokens with which apps register themselves.
import { type Command, InvalidArgumentError } from 'commander'
import { isUuid } from '../base/ids.ts'
import { OPENID_SCOPES } from '../base/openid-scopes.ts'
import {
  createRegistrationToken,
  findRegistrationToken,
  listRegistrationTokens,
  MOST,
  type RegistrationToken,
  revokeRegistrationToken,
  tokenState,
} from '../core/registration/initial-access-tokens.ts'
import type { Db } from '../db/pool.ts'
import {
  answering,
  group,
  leaf,
  type Page,
  paged,
  pageOfListed,
  placeFrom,
  Refused,
  uuidPlace,
} from './command.ts'
import { withStores } from './session.ts'
import { fields, table } from './table.ts'

/** Adds the commands of this noun. */
export function addRegistrationTokens(program: Command): void {
  const tokens = group(program, 'registration-tokens', 'what lets apps register themselves (RFC 7591)')

  leaf(tokens, 'create', 'make a token; prints it this once')
    .option('--name <name>', 'whom it is for', '')
    .option('--uses <n>', `how many apps it may register, up to ${MOST.uses}`, upTo(MOST.uses), 1)
    .option('--days <n>', `how many days it lives, up to ${MOST.days}`, upTo(MOST.days), 7)
    .option('--scope <scope...>', 'what these apps may ask for (default: the OpenID scopes)')
    .option('--client-credentials', 'they may also act for themselves, without a person')
    .action(answering(create))

  paged(leaf(tokens, 'list', 'list tokens, oldest first; never their values'), 'token', uuidPlace).action(
    answering(list),
  )

  leaf(tokens, 'revoke', 'end a token; apps registered with it stay')
    .argument('<id>')
    .action(answering(revoke))
}

interface Create {
  name: string
  uses: number
  days: number
  scope?: string[]
  clientCredentials?: boolean
}

function create({ name, uses, days, scope, clientCredentials }: Create) {
  return withStores(async ({ config, db, by }) => {
    const scopes = scope?.flatMap((text) => text.split(/\s+/)).filter(Boolean) ?? [...OPENID_SCOPES]
    const wanted = { name, scopes, client_credentials: !!clientCredentials, maxUses: uses, days }
    const { token, value } = await createRegistrationToken(db, wanted, by)
    const isOff = config.dynamicRegistration.mode === 'off'
    return {
      json: { ...token, token: value },
      text: fields([...fieldsOf(token), ['token', value]]),
      note: isOff
        ? 'the token is not shown again; it is good for nothing while DYNAMIC_REGISTRATION is off'
        : 'the token is not shown again',
      ifLost: `end it: valetkey registration-tokens revoke ${token.id}`,
    }
  })
}

function list({ limit, after }: Page) {
  return withStores(async ({ db }) => {
    const place = await placeFrom(after, async (id) => (await getToken(db, id)).id)
    const found = await listRegistrationTokens(db, { limit: limit + 1, after: place })
    const { rows, note } = pageOfListed(found, limit)
    const text = table(rows, [
      ['ID', (token) => token.id],
      ['NAME', (token) => token.name],
      ['TOKEN', (token) => `${token.prefix}…`],
      ['STATE', tokenState],
      ['USED', (token) => `${token.uses} of ${token.max_uses}`],
      ['EXPIRES', (token) => token.expires_at],
      ['SCOPES', (token) => token.scopes],
    ])
    return { json: rows, text, note }
  })
}

function revoke(id: string) {
  return withStores(async ({ db, by }) => {
    await getToken(db, id)
    const changed = await revokeRegistrationToken(db, id, by)
    const done = changed ? 'is revoked; nobody registers with it any more' : 'was revoked already'
    return { json: await getToken(db, id), text: `${id} ${done}\n` }
  })
}

async function getToken(db: Db, id: string): Promise<RegistrationToken> {
  const token = isUuid(id) ? await findRegistrationToken(db, id) : undefined
  if (!token) throw new Refused(`no registration token has the id ${JSON.stringify(id)}`)
  return token
}

function upTo(most: number) {
  return (text: string): number => {
    const n = Number(text)
    if (/^\d+$/.test(text) && n >= 1 && n <= most) return n
    throw new InvalidArgumentError(`It is a number from 1 to ${most}.`)
  }
}

function fieldsOf(token: RegistrationToken): [string, unknown][] {
  return [
    ['id', token.id],
    ['name', token.name],
    ['state', tokenState(token)],
    ['registers', `${token.max_uses} apps`],
    ['expires', token.expires_at],
    ['scopes', token.scopes],
    ['client credentials', token.client_credentials],
  ]
}
