// Sends queued mails in the background. No request waits for it. It knows no noun: the caller hands in how links are made and how a
// lost mail is recorded.
import nodemailer from 'nodemailer'
import type { Config, MailConfig } from '../../base/config.ts'
import { type Db, type Pool, tx } from '../../db/pool.ts'
import type { Logger } from '../../http/log.ts'
import { type Outcome, startDeliveries } from '../../jobs/deliveries.ts'
import type { Lane } from '../../jobs/lane.ts'
import { type Message, messages } from './messages.ts'
import {
  type LostMail,
  lostMail,
  MAIL_PATIENCE,
  type MailKind,
  type MailParams,
  type WaitingMail,
  waitingMail,
} from './outbox.ts'

/** The kinds of mail without a link. */
const TELLING = [
  'app_approved',
  'app_rejected',
  'owner_came',
  'owner_gone',
  'verification_fell',
  'account_changed',
  'person_changed',
  'more_notices',
] as const satisfies MailKind[]

/** The kinds of mail with a link. */
export type LinkedKind = 'owner_invitation' | 'password_reset'

/**
 * Makes the link of a mail when it is sent, so that no credential is stored. Each attempt makes a new one.
 * @param mail its id in the queue, and when it was queued. @returns the path; undefined: the mail is not needed any more
 */
export type LinkMaker<K extends LinkedKind> = (
  t: Db,
  params: MailParams[K],
  mail: Pick<WaitingMail, 'id' | 'created_at'>,
) => Promise<string | undefined>

/** What the mailer needs. */
export interface MailerParts {
  db: Pool
  log: Logger
  config: Pick<Config, 'mail' | 'brand' | 'issuerUrl'>
  /** How to make the link of each kind. Mails of other kinds are left to nodes that know them. */
  links: { [K in LinkedKind]?: LinkMaker<K> }
  /** Records that nobody will get a mail. */
  lost(t: Db, mail: LostMail): Promise<void>
}

/** Starts sending. Without a mail server it only gives up mails that have waited for too long. */
export function startMailer({ db, log, config, links, lost }: MailerParts): Lane {
  const { mail: server, brand, issuerUrl } = config
  const write = messages(brand, issuerUrl.origin)
  const transport = server && nodemailer.createTransport(transportOf(server, issuerUrl.hostname))
  const kinds: MailKind[] = [...TELLING, ...(Object.keys(links) as LinkedKind[])]

  const attempt = async (mail: WaitingMail, signal: AbortSignal): Promise<Outcome> => {
    const fields = { mail: mail.id, kind: mail.kind, attempts: mail.attempts }
    const message = await composed(mail)
    if (!message) {
      log.info(fields, 'a mail was not sent: it means nothing any more')
      return { is: 'withdrawn' }
    }
    try {
      await send(mail, message, signal)
    } catch (error) {
      const { isRefused, isServer, ...why } = reasonOf(error)
      if (isRefused) return { is: 'given_up', why }
      log.warn({ ...fields, ...why }, 'a mail could not be sent, it is tried again')
      return { is: isServer ? 'unreachable' : 'later' }
    }
    log.info(fields, 'a mail was sent')
    return { is: 'sent' }
  }

  const composed = async (mail: WaitingMail): Promise<(Message & { isLinked: boolean }) | undefined> => {
    const make = links[mail.kind as LinkedKind] as LinkMaker<LinkedKind> | undefined
    if (!make) return { ...write(mail), isLinked: false }
    const path = await tx(db, (t) => make(t, mail.params as MailParams[LinkedKind], mail))
    return path === undefined ? undefined : { ...write(mail, issuerUrl.origin + path), isLinked: true }
  }

  const send = async (
    mail: WaitingMail,
    { isLinked, ...message }: Message & { isLinked: boolean },
    signal: AbortSignal,
  ) => {
    const { from } = server!
    // A mailbox shows one of two mails with the same id, and a second link ends the first one.
    const id = isLinked ? `${mail.id}.${mail.attempts}` : mail.id
    await transport!.sendMail({
      ...message,
      from: { name: from.name || brand.name, address: from.address },
      // An object, so that a text is never parsed as several addresses.
      to: { name: '', address: mail.to },
      messageId: `<${id}@${from.address.split('@')[1]}>`,
      // RFC 3834: keeps auto-responders from answering.
      headers: { 'Auto-Submitted': 'auto-generated' },
      disableFileAccess: true,
      disableUrlAccess: true,
      signal,
    })
  }

  return startDeliveries(
    { db, log },
    {
      lane: 'mail',
      kinds: server ? kinds : [],
      patience: MAIL_PATIENCE,
      attempt: (delivery, signal) => attempt(waitingMail(delivery), signal),
      lost: (t, delivery) => lost(t, lostMail(delivery)),
      gaveUp({ id, kind, attempts }, why) {
        // Without a mail server nothing failed: pages say that no mail is sent.
        if (server) log.error({ mail: id, kind, attempts, ...why }, GIVEN_UP)
        else log.warn({ mail: id, kind }, `${GIVEN_UP}: mail is off`)
      },
    },
  )
}

const GIVEN_UP = 'a mail was given up'

function transportOf({ host, port, secure, requireTls, isLoopback, auth }: MailConfig, name: string) {
  return {
    // The name in EHLO. The name of this machine stays private.
    name,
    host,
    port,
    secure,
    requireTLS: requireTls,
    auth,
    // A mail server on this machine has a self-signed certificate, and nobody is in between.
    tls: { rejectUnauthorized: !isLoopback },
    dnsTimeout: 10_000,
    connectionTimeout: 10_000,
    greetingTimeout: 10_000,
    socketTimeout: 20_000,
    // Close the connection at once when an attempt is aborted.
    socketCloseTimeout: 0,
  }
}

/** Why it was not sent, without the text of the server, which may contain the address. */
function reasonOf(error: unknown) {
  const { code, command, response, responseCode, message } = error as {
    code?: string
    command?: string
    response?: string
    responseCode?: number
    message: string
  }
  const isAboutMail = responseCode !== undefined && /^(RCPT TO|DATA)$/.test(command ?? '')
  return {
    code,
    command,
    response: responseCode,
    // An error of the connection on this machine.
    reason:
      response === undefined && /^E(CONNECTION|SOCKET|DNS|TLS|TIMEDOUT)$/.test(code ?? '')
        ? message
        : undefined,
    // A permanent failure (RFC 5321 §4.2.1) of this mail, not of us; 501, API: the address is invalid.
    isRefused: command === 'API' || (isAboutMail && (responseCode === 501 || responseCode >= 550)),
    isServer: command !== 'API' && !isAboutMail,
  }
}
