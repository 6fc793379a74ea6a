// grants: each is one sign-in of an app on one device.
import type { Command } from 'commander'
import { type GrantRow, listGrants, revokeGrant, scopesOf } from '../core/grants/store.ts'
import { answering, group, leaf, type Page, paged, pageOfListed, placeFrom, Refused } from './command.ts'
import { withStores } from './session.ts'
import { printable, table } from './table.ts'
import { getUser } from './users.ts'

/** Adds the commands of this noun. */
export function addGrants(program: Command): void {
  const grants = group(program, 'grants', 'what people have allowed, one a device')

  paged(leaf(grants, 'list', 'list grants, oldest first'), 'grant')
    .option('--user <email-or-id>', 'only of this account')
    .option('--client <id>', 'only of this client')
    .action(answering(list))

  leaf(grants, 'revoke', 'end a grant and every token on it')
    .argument('<id>')
    // The id of a grant may begin with a dash and must not be taken for an option.
    .helpOption('--help')
    .allowUnknownOption()
    .action(answering(revoke))
}

function list({ limit, after, user, client }: Page & { user?: string; client?: string }) {
  return withStores(async ({ db }) => {
    const user_id = user === undefined ? undefined : (await getUser(db, user)).id
    const place = await placeFrom(after, async (id) => {
      const [grant] = await listGrants(db, { id, limit: 1 })
      if (!grant) throw new Refused(`no grant has the id ${JSON.stringify(id)}`)
      return id
    })
    const found = await listGrants(db, { limit: limit + 1, after: place, user_id, client_id: client })
    const { rows, note } = pageOfListed(found, limit)
    const text = table(rows, [
      ['ID', (grant) => grant.id],
      ['USER', (grant) => grant.email],
      ['CLIENT', (grant) => grant.client_id],
      ['APP', (grant) => grant.client_name],
      ['SCOPES', (grant) => scopesOf(grant.scopes).join(' ')],
      ['DEVICE', (grant) => grant.device],
      ['STATE', stateOf],
      ['CREATED', (grant) => grant.created_at],
      ['LAST USED', (grant) => grant.last_used_at],
    ])
    return { json: rows, text, note }
  })
}

function revoke(id: string) {
  return withStores(async ({ db, by }) => {
    const revoked = await revokeGrant(db, id, 'revoked_by_admin', by)
    if (!revoked) throw new Refused(`no grant that lives has the id ${JSON.stringify(id)}`)
    return { json: { id, revoked: true }, text: `${printable(id)} is revoked; its tokens are dead\n` }
  })
}

function stateOf({ revoked_at, ends_at }: GrantRow): string {
  if (revoked_at) return 'revoked'
  return ends_at && ends_at.getTime() <= Date.now() ? 'ended' : 'live'
}
