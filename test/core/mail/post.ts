// A real SMTP server inside of the test: what arrives is parsed as a mail program would.
import { once } from 'node:events'
import { type AddressObject, type ParsedMail, simpleParser } from 'mailparser'
import { SMTPServer, type SMTPServerOptions } from 'smtp-server'
import type { Db } from '../../../src/db/pool.ts'
import { run, sql } from '../../../src/db/pool.ts'
import { until } from '../../support/patience.ts'
import { freePort } from '../../support/server.ts'

/** A mail that arrived. */
export interface Letter extends ParsedMail {
  recipient: string
  html: string
  text: string
}

/** A server that takes mails. */
export interface PostOffice {
  port: number
  /** For SMTP_URL and MAIL_FROM. */
  env: { SMTP_URL: string; MAIL_FROM: string }
  letters: Letter[]
  /** The next letters to an address, or to anybody; waits for as many. */
  letter(to?: string, count?: number): Promise<Letter>
  stop(): Promise<void>
}

/** Opens one. STARTTLS is not offered unless `options` say otherwise. @param port a free one unless told. */
export async function openPost(options: SMTPServerOptions = {}, port?: number): Promise<PostOffice> {
  const at = port ?? (await freePort())
  const letters: Letter[] = []
  let stopped: Promise<void> | undefined
  const server = new SMTPServer({
    authOptional: true,
    disabledCommands: ['STARTTLS'],
    logger: false,
    onData(stream, session, done) {
      simpleParser(stream).then((parsed) => {
        const recipient = session.envelope.rcptTo.map(({ address }) => address).join()
        letters.push({ ...parsed, recipient } as Letter)
        done()
      }, done)
    },
    ...options,
  })
  // A client that lets a connection go is no failure of the server.
  server.on('error', () => {})
  server.listen(at, '127.0.0.1')
  await once(server.server, 'listening')
  return {
    port: at,
    env: { SMTP_URL: `smtp://127.0.0.1:${at}`, MAIL_FROM: 'no-reply@id.example' },
    letters,
    async letter(to, count = 1) {
      const found = () => letters.filter(({ recipient }) => !to || recipient === to)
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

/** The one address that a letter is to. */
export function addressee(letter: Letter): AddressObject['value'] {
  return (letter.to as AddressObject).value
}

/** Makes everything that waits due now, as when its pause has passed, and says so. */
export async function dueNow(db: Db): Promise<void> {
  await run(db, sql`update mails set next_try_at = now() where state = 'waiting'`)
  await run(db, sql`select pg_notify('valetkey', 'mails')`)
}
