// What each kind of mail says, as text and as HTML out of the same words. No pictures, nothing that tells who has read it.
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { compileFile } from 'pug'
import type { Config } from '../config.ts'
import { textOn } from '../web/accent.ts'
import type { Mail, MailParams } from './outbox.ts'

/** A message, ready but for its addresses. */
export interface Message {
  subject: string
  text: string
  html: string
}

/** What a message says, before it is text or HTML. */
interface Words {
  subject: string
  /** Whom it greets. */
  name?: string
  paragraphs: string[]
  quote?: { label: string; text: string }
  button?: { label: string; href: string }
  /** Below the button. */
  after?: string[]
}

const VIEWS = fileURLToPath(new URL('../../views', import.meta.url))
const LONGEST_NAME = 100

/** Makes the function that writes messages. @returns its `link` is the whole address that a mail of that kind leads to. */
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
  // Without its link such a mail would say nothing.
  if (link === undefined) throw new Error(`a mail of the kind ${mail.kind} needs a link`)
  if (mail.kind === 'owner_invitation') return ownerInvitation(mail.params, brand, link)
  return passwordReset(mail.params, brand, link)
}

function appApproved({ name, client_name }: MailParams['app_approved'], brand: string): Words {
  const app = quoted(client_name)
  return {
    subject: `${app} is approved`,
    name,
    paragraphs: [
      `Your app ${app} is approved. From now on everybody with an account at ${brand} can use it.`,
    ],
  }
}

function appRejected({ name, client_name, reason }: MailParams['app_rejected'], brand: string): Words {
  const app = quoted(client_name)
  return {
    subject: `${app} is not approved`,
    name,
    paragraphs: [
      `Your app ${app} was looked at and is not approved. Nobody can use it with an account at ${brand}.`,
    ],
    quote: { label: 'The reason:', text: lines(reason) },
  }
}

function ownerInvitation(
  { client_name, inviter_name }: MailParams['owner_invitation'],
  brand: string,
  href: string,
): Words {
  const [app, inviter] = [quoted(client_name), short(inviter_name)]
  return {
    subject: `You are invited to look after ${app}`,
    paragraphs: [
      `${inviter} invites you to look after the app ${app} at ${brand}: to change its registration, its secrets and its other owners.`,
    ],
    button: { label: 'See the invitation', href },
    after: ['If you do not know what this is about, you need not do anything.'],
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

function textOf(words: Words, brand: Config['brand'], origin: string): string {
  const { name, paragraphs, quote, button, after = [] } = words
  const parts = [
    ...(name ? [`Hello ${name},`] : []),
    ...paragraphs,
    ...(quote ? [quote.label, quote.text.replace(/^/gm, '    ')] : []),
    ...(button ? [`${button.label}:\n${button.href}`] : []),
    ...after,
    `-- \n${brand.name}\n${origin}${brand.supportAddress ? `\nNeed help? ${brand.supportAddress}` : ''}`,
  ]
  return `${parts.map((part) => (part.startsWith('-- ') ? part : part.trimEnd())).join('\n\n')}\n`
}

// Names are chosen by strangers: one line, of a length that leaves our own words readable, and nothing that turns them round.
function short(text: string): string {
  const line = oneLine(text)
  return [...line].length > LONGEST_NAME ? `${[...line].slice(0, LONGEST_NAME).join('')}…` : line
}

function quoted(name: string): string {
  return `“${short(name)}”`
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

// Control characters, and those that reverse the direction of reading.
const UNSEEN = /[\p{Cc}\u2028\u2029\u200e\u200f\u202a-\u202e\u2066-\u2069]/gu
