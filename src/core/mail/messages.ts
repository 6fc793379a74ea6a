// The words of each kind of mail, as text and as HTML. No pictures, and nothing that tells who has read it.
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { compileFile } from 'pug'
import type { Config } from '../../base/config.ts'
import { textOn } from '../../http/accent.ts'
import type { AccountChange, Mail, MailParams, NoticeCause } from './outbox.ts'

/** A complete message without its addresses. */
export interface Message {
  subject: string
  text: string
  html: string
}

/** The content of a message, before it becomes text or HTML. */
interface Words {
  subject: string
  /** Whom it greets. */
  name?: string
  /** Our own words only, as in the subject, because mail programs show them before the mail is opened. */
  paragraphs: string[]
  /** Words that other people wrote. */
  quotes?: Quote[]
  button?: { label: string; href: string }
  /** Below the button. */
  after?: string[]
}

interface Quote {
  label: string
  text: string
}

const VIEWS = fileURLToPath(new URL('../../../views', import.meta.url))
const LONGEST_NAME = 100

/** Makes the function that writes messages. Its `link` is the complete address of the link of a mail. */
export function messages(brand: Config['brand'], origin: string): (mail: Mail, link?: string) => Message {
  const html = compileFile(join(VIEWS, 'mail/message.pug'), { basedir: VIEWS })
  return (mail, link) => {
    const words = wordsOf(mail, brand.name, link)
    const name = words.name && short(words.name)
    const shown = { ...words, name }
    const on_accent = textOn(brand.accent)
    return {
      subject: words.subject,
      text: textOf(shown, brand, origin),
      html: html({ ...shown, brand, on_accent, origin }),
    }
  }
}

function wordsOf(mail: Mail, brand: string, link: string | undefined): Words {
  if (mail.kind === 'app_approved') return appApproved(mail.params, brand)
  if (mail.kind === 'app_rejected') return appRejected(mail.params, brand)
  if (mail.kind === 'owner_came' || mail.kind === 'owner_gone') return ownersChanged(mail, brand)
  if (mail.kind === 'verification_fell') return verificationFell(mail.params, brand)
  if (mail.kind === 'account_changed') return accountChanged(mail.params, brand)
  if (mail.kind === 'person_changed') return personChanged(mail.params, brand)
  if (mail.kind === 'more_notices') return moreNotices(mail.params, brand)
  // Such a mail is useless without its link.
  if (link === undefined) throw new Error(`a mail of the kind ${mail.kind} needs a link`)
  if (mail.kind === 'owner_invitation') return ownerInvitation(mail.params, brand, link)
  return passwordReset(mail.params, brand, link)
}

function appApproved({ name, client_name }: MailParams['app_approved'], brand: string): Words {
  return {
    subject: `Your app at ${brand} is approved`,
    name,
    paragraphs: [`Your app is approved. From now on everybody with an account at ${brand} can use it.`],
    quotes: [theApp(client_name)],
  }
}

function appRejected({ name, client_name, reason }: MailParams['app_rejected'], brand: string): Words {
  return {
    subject: `Your app at ${brand} is not approved`,
    name,
    paragraphs: [
      `Your app was looked at and is not approved. Nobody can use it with an account at ${brand}.`,
    ],
    quotes: [theApp(client_name), { label: 'The reason:', text: lines(reason) }],
  }
}

function ownerInvitation(
  { client_name, inviter_name, inviter_email }: MailParams['owner_invitation'],
  brand: string,
  href: string,
): Words {
  const address = inviter_email || 'an address that is not confirmed'
  return {
    subject: `You are invited to look after an app at ${brand}`,
    paragraphs: [
      `Somebody with an account at ${brand} invites you to look after an app: to change its registration, its secrets and its other owners.`,
    ],
    quotes: [
      theApp(client_name),
      { label: 'Who invites you:', text: `${short(inviter_name)} (${short(address)})` },
    ],
    button: { label: 'See the invitation', href },
    after: [
      'These names were chosen by those who bear them, and nobody has checked them.',
      'If you do not know what this is about, you need not do anything.',
    ],
  }
}

function passwordReset({ name }: MailParams['password_reset'], brand: string, href: string): Words {
  return {
    subject: `Choose a new password for ${brand}`,
    name,
    paragraphs: [
      `An administrator of ${brand} sends you this link, with which you choose a new password for your account.`,
    ],
    button: { label: 'Choose a new password', href },
    after: [
      'The link works once, for an hour. Whoever has it can sign in as you: do not pass it on.',
      'If you do not need a new password, you need not do anything. Your password stays as it is.',
    ],
  }
}

type Notice = Extract<Mail, { kind: 'owner_came' | 'owner_gone' }>

function ownersChanged({ kind, params }: Notice, brand: string): Words {
  const { name, client_name, person, by } = params
  const who = person ? 'Somebody' : 'You'
  const what =
    kind === 'owner_came'
      ? `${who} now ${person ? 'looks' : 'look'} after an app at ${brand}, and can change its registration, its secrets and its owners.`
      : `${who} no longer ${person ? 'looks' : 'look'} after an app at ${brand}. Its secrets stay as they are.`
  return {
    subject:
      kind === 'owner_came' ? `An app at ${brand} has a new owner` : `An owner of an app at ${brand} is gone`,
    name,
    paragraphs: [what],
    quotes: [theApp(client_name), ...(person ? [{ label: 'Who:', text: short(person) }] : []), ...doneBy(by)],
    after: [...UNKNOWN_TO_YOU, ...last(params)],
  }
}

function verificationFell(params: MailParams['verification_fell'], brand: string): Words {
  return {
    subject: `An app at ${brand} is no longer verified`,
    name: params.name,
    paragraphs: [
      `An app was verified at ${brand}, or one of its own: somebody knew who was behind it. The last of those people no longer looks after it, so that the mark is gone.`,
      'It goes on as it is. People are asked before it gets anything, and read that it is not verified, until an administrator has looked at it again.',
    ],
    quotes: [theApp(params.client_name)],
    after: last(params),
  }
}

const CHANGES: Record<AccountChange | 'own_password', [what: string, of: string]> = {
  made_admin: ['is an administrator now', 'The role of an account'],
  made_user: ['is no administrator any more', 'The role of an account'],
  disabled: ['is disabled: nobody can sign in to it', 'An account'],
  enabled: ['is enabled again', 'An account'],
  password: ['has another password', 'The password of an account'],
  signed_out: ['was signed out everywhere', 'The sign-ins of an account'],
  own_password: ['has another password', ''],
}

function accountChanged(params: MailParams['account_changed'], brand: string): Words {
  const { name, what, by } = params
  const [words] = CHANGES[what]
  return {
    subject: `Your account at ${brand} ${words.split(':')[0]}`,
    name,
    paragraphs: [`Your account at ${brand} ${words}.`],
    quotes: doneBy(by),
    after: [
      by
        ? `If you did not expect this, ask whoever runs ${brand}.`
        : `If it was not you who chose it, tell whoever runs ${brand} at once.`,
      ...last(params),
    ],
  }
}

function personChanged(params: MailParams['person_changed'], brand: string): Words {
  const { name, person, what, by } = params
  const [words, subject] = CHANGES[what]
  return {
    subject: `${subject} at ${brand} was changed`,
    name,
    paragraphs: [`An account at ${brand} ${words}.`],
    quotes: [{ label: 'Whose:', text: short(person) }, ...doneBy(by)],
    after: ['You get this because you administer the server. The audit log says more.', ...last(params)],
  }
}

function moreNotices({ name, counts }: MailParams['more_notices'], brand: string): Words {
  const said = Object.entries(counts) as [NoticeCause, number][]
  return {
    subject: `More has happened at ${brand}`,
    name,
    paragraphs: [
      `So much has happened at ${brand} within an hour that you do not get a mail for each of it. Besides what you were told:`,
      ...said
        .sort(([a], [b]) => a.localeCompare(b))
        .map(([cause, count]) => `${causeOf(cause, brand)}: ${count === 1 ? 'once' : `${count} times`}.`),
    ],
    after: [
      `Somebody may make much noise to hide one thing in it. Look at your account and at the owners of your apps; if you know nothing of this, tell whoever runs ${brand}.`,
    ],
  }
}

function causeOf(cause: NoticeCause, brand: string): string {
  const [kind, what] = cause.split(':') as [NoticeCause, keyof typeof CHANGES | undefined]
  if (kind === 'owner_came') return 'An app has a new owner'
  if (kind === 'owner_gone') return 'An owner of an app is gone'
  if (kind === 'verification_fell') return 'An app is no longer verified'
  const whose = cause.startsWith('account_changed:') ? `Your account at ${brand}` : 'An account'
  return `${whose} ${CHANGES[what!][0].split(':')[0]}`
}

function theApp(name: string): Quote {
  return { label: 'The app:', text: `“${short(name)}”` }
}

function doneBy(who: string): Quote[] {
  return who ? [{ label: 'Done by:', text: short(who) }] : []
}

const UNKNOWN_TO_YOU = ['If you know nothing of this, look at the owners of the app.']

function last(params: { is_last?: boolean }): string[] {
  return params.is_last
    ? ['Much of this kind has happened within the hour. What else does is summed up in one further mail.']
    : []
}

function textOf(words: Words, brand: Config['brand'], origin: string): string {
  const { name, paragraphs, quotes = [], button, after = [] } = words
  const parts = [
    ...(name ? [`Hello ${name},`] : []),
    ...paragraphs,
    ...quotes.map(({ label, text }) => `${label}\n${text.replace(/^/gm, '    ')}`),
    ...(button ? [`${button.label}:\n${button.href}`] : []),
    ...after,
    `-- \n${brand.name}\n${origin}${brand.supportAddress ? `\nNeed help? ${brand.supportAddress}` : ''}`,
  ]
  return `${parts.map((part) => (part.startsWith('-- ') ? part : part.trimEnd())).join('\n\n')}\n`
}

// Anybody can choose a name: make it one line, short enough to leave our own words readable, without characters that reverse text and
// without anything that a mail program makes a link of.
function short(text: string): string {
  const line = unlinked(oneLine(text))
  return [...line].length > LONGEST_NAME ? `${[...line].slice(0, LONGEST_NAME).join('')}…` : line
}

// Text that ends like a host name, in whatever letters and with whatever characters for its dots, and text that begins with a scheme.
function unlinked(line: string): string {
  return line
    .replace(/(?<=[^\s.])[.\u2024\u3002\ufe52\uff0e\uff61](?=[^\s.])/gu, '[.]')
    .replace(/(?<=\p{L}):(?=\S)/gu, '[:]')
}

function oneLine(text: string): string {
  return text.replace(UNSEEN, ' ').replace(/\s+/g, ' ').trim()
}

function lines(text: string): string {
  return text
    .split(/\r\n|[\r\n\u2028\u2029]/)
    .map((line) => line.replace(UNSEEN, ' ').trimEnd())
    .join('\n')
}

// Control characters and invisible characters, including those that reverse the direction of text. One of them joins the parts of an
// emoji.
const UNSEEN = /[\p{Cc}\p{Cs}\p{Zl}\p{Zp}]|(?!\u200d)\p{Cf}/gu
