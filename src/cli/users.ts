// users: the accounts of people.
import { Argument, type Command } from 'commander'
import { z } from 'zod'
import { isUuid } from '../base/ids.ts'
import { sendReset, withdrawReset } from '../core/users/reset-links.ts'
import { LastAdministrator, ROLES, type Role, setRole } from '../core/users/roles.ts'
import { setPassword } from '../core/users/sign-in.ts'
import {
  createUser,
  disableUser,
  enableUser,
  findUser,
  findUserByEmail,
  listUsers,
  type User,
} from '../core/users/store.ts'
import type { Db } from '../db/pool.ts'
import { newPassword } from './ask.ts'
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
import { fields, printable, table } from './table.ts'

/** Adds the commands of this noun. */
export function addUsers(program: Command): void {
  const users = group(program, 'users', 'the accounts of people')

  leaf(users, 'create', 'make an account; its password is asked for')
    .requiredOption('--email <address>', 'the address to sign in with')
    .requiredOption('--name <name>', 'the name that apps are told')
    .option('--admin', 'may administer this server')
    .option('--email-verified', 'the address is known to be theirs')
    .option('--password-stdin', 'read the password from standard input')
    .action(answering(create))

  paged(
    leaf(users, 'list', 'list accounts, oldest first'),
    'account (id or e-mail address)',
    uuidPlace,
  ).action(answering(list))

  leaf(users, 'disable', 'end every session and token of an account, and let nobody sign in to it')
    .argument('<email-or-id>')
    .action(answering(disable))

  leaf(users, 'enable', 'let a disabled account be signed in to again')
    .argument('<email-or-id>')
    .action(answering(enable))

  leaf(users, 'role', 'make an account an administrator, or an ordinary one again')
    .argument('<email-or-id>')
    .addArgument(new Argument('<role>').choices(ROLES))
    .action(answering(changeRole))

  leaf(users, 'set-password', 'set a password, and end the sessions of the account')
    .argument('<email-or-id>')
    .option('--password-stdin', 'read the password from standard input')
    .action(answering(changePassword))

  leaf(users, 'send-reset', 'mail a link for a new password; prints it, this once, when mail is off')
    .argument('<email-or-id>')
    .action(answering(reset))

  leaf(users, 'withdraw-reset', 'withdraw the link for a new password')
    .argument('<email-or-id>')
    .action(answering(endReset))
}

/** The account that an e-mail address or an id names. @throws Refused when there is none. */
export async function getUser(db: Db, emailOrId: string): Promise<User> {
  const user = emailOrId.includes('@')
    ? await findUserByEmail(db, emailOrId)
    : isUuid(emailOrId) && (await findUser(db, emailOrId))
  if (!user) throw new Refused(`no account has the e-mail address or id ${JSON.stringify(emailOrId)}`)
  return user
}

interface Create {
  email: string
  name: string
  admin?: boolean
  emailVerified?: boolean
  passwordStdin?: boolean
}

async function create(options: Create) {
  const { email, name } = checked(options)
  const password = await newPassword(options)
  return withStores(async ({ db, by }) => {
    const role = options.admin ? 'admin' : 'user'
    const user = await createUser(
      db,
      { email, name, password, role, email_verified: !!options.emailVerified },
      by,
    )
    return { json: user, text: fields(fieldsOf(user)) }
  })
}

function list({ limit, after }: Page) {
  return withStores(async ({ db }) => {
    const place = await placeFrom(after, async (who) => (await getUser(db, who)).id)
    const found = await listUsers(db, { limit: limit + 1, after: place })
    const { rows, note } = pageOfListed(found, limit)
    const text = table(rows, [
      ['ID', (user) => user.id],
      ['E-MAIL', (user) => user.email],
      ['NAME', (user) => user.name],
      ['ROLE', (user) => user.role],
      ['CREATED', (user) => user.created_at],
      ['LAST SIGN-IN', (user) => user.last_sign_in_at],
      ['DISABLED', (user) => user.disabled_at],
    ])
    return { json: rows, text, note }
  })
}

function disable(who: string) {
  return withStores(async ({ db, by }) => {
    const user = await getUser(db, who)
    const changed = await unlessLast(user, disableUser(db, user.id, by))
    const done = changed ? 'is disabled; its sessions and tokens are dead' : 'was disabled already'
    return { json: await getUser(db, user.id), text: `${printable(user.email)} ${done}\n` }
  })
}

function enable(who: string) {
  return withStores(async ({ db, by }) => {
    const user = await getUser(db, who)
    const changed = await enableUser(db, user.id, by)
    const done = changed ? 'is enabled; apps must be allowed anew' : 'was not disabled'
    return { json: await getUser(db, user.id), text: `${printable(user.email)} ${done}\n` }
  })
}

function changeRole(who: string, role: Role) {
  return withStores(async ({ db, by }) => {
    const user = await getUser(db, who)
    const changed = await unlessLast(user, setRole(db, user.id, role, by))
    const now = role === 'admin' ? 'an administrator' : 'an ordinary account'
    const text = `${printable(user.email)} ${changed ? 'is' : 'was'} ${now}${changed ? '' : ' already'}\n`
    return { json: await getUser(db, user.id), text }
  })
}

async function unlessLast<T>(user: User, change: Promise<T>): Promise<T> {
  try {
    return await change
  } catch (cause) {
    if (!(cause instanceof LastAdministrator)) throw cause
    throw new Refused(`${user.email} is the last administrator; make another one first`, { cause })
  }
}

function changePassword(who: string, options: { passwordStdin?: boolean }) {
  return withStores(async ({ db, by }) => {
    const user = await getUser(db, who)
    await setPassword(db, user.id, await newPassword(options), by)
    return { json: user, text: `${printable(user.email)} has a new password; its sessions have ended\n` }
  })
}

function reset(who: string) {
  return withStores(async ({ config, db, by }) => {
    const { id, email } = await getUser(db, who)
    const sent = await sendReset(db, id, config.mail ? 'mail' : 'hand', by)
    if (!sent) throw new Refused(`${email} is disabled; run: valetkey users enable ${email}`)
    if (sent.path === undefined) {
      return { json: { id, email, sent: true }, text: `a mail to ${printable(email)} is on its way\n` }
    }
    const link = config.issuerUrl.origin + sent.path
    return {
      json: { id, email, sent: false, link },
      text: `${link}\n`,
      note: 'mail is off, so nothing was sent; the link is not shown again, works once, and ends in an hour',
      ifLost: `make another: valetkey users send-reset ${email}`,
    }
  })
}

function endReset(who: string) {
  return withStores(async ({ db, by }) => {
    const { id, email } = await getUser(db, who)
    const withdrawn = (await withdrawReset(db, id, by)) ?? false
    const done = withdrawn ? 'works no more' : 'was used, or is over'
    return { json: { id, email, withdrawn }, text: `the link of ${printable(email)} ${done}\n` }
  })
}

const schema = z.object({
  // The pattern of HTML's e-mail field, which also takes a host name without a dot.
  email: z
    .string()
    .trim()
    .max(320, 'has more than 320 characters')
    .regex(z.regexes.html5Email, 'is not an e-mail address, e.g. ada@example.com'),
  name: z
    .string()
    .trim()
    .min(1, 'is missing, e.g. "Ada Lovelace"')
    .max(200, 'has more than 200 characters')
    .refine((name) => printable(name) === name, 'holds control characters'),
})

function checked(options: Create): { email: string; name: string } {
  const parsed = schema.safeParse(options)
  if (parsed.success) return parsed.data
  const [issue] = parsed.error.issues
  throw new Refused(`${issue!.path.join('.')}: ${issue!.message}`)
}

function fieldsOf(user: User): [string, unknown][] {
  return [
    ['id', user.id],
    ['e-mail', user.email],
    ['verified', user.email_verified],
    ['name', user.name],
    ['role', user.role],
    ['created', user.created_at],
  ]
}
