// A real SMTP server inside the test process. It parses each mail that it receives.
import { once } from 'node:events'
import { type AddressObject, type ParsedMail, simpleParser } from 'mailparser'
import { SMTPServer, type SMTPServerOptions } from 'smtp-server'
import type { Db } from '../../../src/db/pool.ts'
import { run, sql } from '../../../src/db/pool.ts'
import { until } from '../../support/patience.ts'
import { freePort } from '../../support/server.ts'

/** A received mail. */
export interface ReceivedMail extends ParsedMail {
  recipient: string
  html: string
  text: string
}

/** An SMTP server that keeps the mails it receives. */
export interface SmtpFixture {
  port: number
  /** For SMTP_URL and MAIL_FROM. */
  env: { SMTP_URL: string; MAIL_FROM: string }
  mails: ReceivedMail[]
  /** Waits for `count` mails to an address, or to anybody. @returns the last of them */
  mail(to?: string, count?: number): Promise<ReceivedMail>
  stop(): Promise<void>
}

/** Starts one. It offers STARTTLS only where `options` say so. @param port a free one by default */
export async function startSmtpFixture(options: SMTPServerOptions = {}, port?: number): Promise<SmtpFixture> {
  const at = port ?? (await freePort())
  const mails: ReceivedMail[] = []
  let stopped: Promise<void> | undefined
  const server = new SMTPServer({
    authOptional: true,
    disabledCommands: ['STARTTLS'],
    logger: false,
    onData(stream, session, done) {
      simpleParser(stream).then((parsed) => {
        const recipient = session.envelope.rcptTo.map(({ address }) => address).join()
        mails.push({ ...parsed, recipient } as ReceivedMail)
        done()
      }, done)
    },
    ...options,
  })
  // A client that drops its connection is not an error of the server.
  server.on('error', () => {})
  server.listen(at, '127.0.0.1')
  await once(server.server, 'listening')
  return {
    port: at,
    env: { SMTP_URL: `smtp://127.0.0.1:${at}`, MAIL_FROM: 'no-reply@id.example' },
    mails,
    async mail(to, count = 1) {
      const found = () => mails.filter(({ recipient }) => !to || recipient === to)
      await until(() => found().length >= count)
      return found()[count - 1]!
    },
    stop: () =>
      (stopped ??= new Promise((resolve) => {
        server.close(() => resolve())
        for (const connection of server.connections) connection.close()
      })),
  }
}

/** The address that a mail is sent to. */
export function addressee(mail: ReceivedMail): AddressObject['value'] {
  return (mail.to as AddressObject).value
}

/** Makes all waiting mails due now, as if their pause had passed, and announces it. */
export async function dueNow(db: Db): Promise<void> {
  await run(db, sql`update mails set next_try_at = now() where state = 'waiting'`)
  await run(db, sql`select pg_notify('valetkey', 'mails')`)
}
