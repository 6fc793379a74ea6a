// The table of environment keys: what each means, its default, how it is read. A test compares README and .env.example with it.
import { availableParallelism } from 'node:os'
import { z } from 'zod'
import {
  areStrongKeys,
  isAddressOrRange,
  isHostPattern,
  isPostgresUrl,
  isScope,
  issuer,
  list,
  sender,
  smtpServer,
  wholeNumber,
} from './config-values.ts'

/** What pino calls its levels, and silence. */
export type LogLevel = (typeof LOG_LEVELS)[number]

/** How an environment key is documented and read. */
export interface Setting {
  meaning: string
  /** The text that stands for a key that is absent or empty; without it the value is undefined. */
  fallback?: string
  /** Shown for {@link Setting.fallback} where the default is not a fixed text. */
  fallbackNote?: string
  example: string
  parse: z.ZodType<unknown, string>
}

const LOG_LEVELS = ['fatal', 'error', 'warn', 'info', 'debug', 'silent'] as const
/** Who may register clients dynamically. */
export const REGISTRATION_MODES = ['off', 'token', 'open'] as const
/** Who may register apps in the developers' portal. */
export const DEVELOPER_MODES = ['off', 'approval', 'open'] as const
const TEN_YEARS = 315_360_000

/** Every key there is, in the order of the documentation. Each is also read from the file that `KEY_FILE` names. */
export const SETTINGS = {
  ISSUER_URL: {
    meaning: 'The origin where people and apps reach this server. Must be https, except on this machine.',
    fallback: 'http://localhost:3000',
    example: 'https://id.example.com',
    parse: z.string().transform(issuer),
  },
  HOST: {
    meaning: 'The address to listen on.',
    fallback: '127.0.0.1',
    example: '0.0.0.0',
    parse: z.string().regex(/^[\w.:-]+$/, 'must be a host name or an IP address'),
  },
  PORT: {
    meaning: 'The port to listen on.',
    fallbackNote: 'the port of ISSUER_URL on this machine, else 3000',
    example: '3000',
    parse: wholeNumber(1, 65_535),
  },
  DATABASE_URL: {
    meaning: 'A PostgreSQL server, version 14 or later. Without it an embedded one runs in DATA_DIR.',
    example: 'postgres://valetkey:password@db.example.com:5432/valetkey',
    parse: z.string().refine(isPostgresUrl, 'must be a postgres:// address'),
  },
  DATABASE_POOL_SIZE: {
    meaning: 'Connections to PostgreSQL, for each worker.',
    fallback: '10',
    example: '20',
    parse: wholeNumber(1, 1000),
  },
  DATA_DIR: {
    meaning: 'Where the embedded PostgreSQL and the secrets made at the first start live.',
    fallback: './data',
    example: '/var/lib/valetkey',
    parse: z.string(),
  },
  SECRET_KEYS: {
    meaning:
      'Keys that sign cookies and encrypt private keys, separated by commas: the first is used, the others still ' +
      'read. Required in production; make one with `openssl rand -base64 48`.',
    fallbackNote: 'one is made in DATA_DIR',
    example: '$(openssl rand -base64 48)',
    parse: list().refine(areStrongKeys, 'must be keys of at least 32 characters each'),
  },
  NODE_ENV: {
    meaning: '`production` refuses to start with secrets made in DATA_DIR.',
    example: 'production',
    parse: z.string(),
  },
  TRUSTED_PROXIES: {
    meaning: 'Addresses or ranges of the proxies whose X-Forwarded-For counts, separated by commas.',
    fallback: '',
    fallbackNote: 'none',
    example: '10.0.0.0/8,192.168.1.5',
    parse: list().refine((entries) => entries.every(isAddressOrRange), 'must be IP addresses or CIDR ranges'),
  },
  WORKERS: {
    meaning: 'How many processes serve; `auto` is one for each core.',
    fallback: '1',
    example: 'auto',
    parse: z
      .string()
      .transform((text) => (text === 'auto' ? `${Math.min(availableParallelism(), 256)}` : text))
      .pipe(wholeNumber(1, 256, 'must be auto or a')),
  },
  LOG_LEVEL: {
    meaning: `${LOG_LEVELS.slice(0, -1).join(', ')} or ${LOG_LEVELS.at(-1)}.`,
    fallback: 'info',
    example: 'warn',
    parse: z.enum(LOG_LEVELS, `must be one of ${LOG_LEVELS.join(', ')}`),
  },
  BRAND_NAME: {
    meaning: 'The name of your service, on every page.',
    fallback: 'Valetkey',
    example: 'Example ID',
    parse: z.string().max(60, 'must have at most 60 characters'),
  },
  BRAND_LOGO_URL: {
    meaning: 'A logo to show instead of ours.',
    example: 'https://example.com/logo.svg',
    parse: z.url({ protocol: /^https$/, error: 'must be an https address' }),
  },
  BRAND_ACCENT: {
    meaning: 'The colour of buttons and links.',
    fallback: '#1f5eff',
    example: '#0a7d5a',
    parse: z.string().regex(/^#[0-9a-f]{6}$/i, 'must be a colour of six hexadecimal digits'),
  },
  SUPPORT_ADDRESS: {
    meaning: 'Where people find help: an e-mail or https address.',
    example: 'help@example.com',
    parse: z.string().regex(/^([^\s@:/]+@[^\s@:/]+|https:\/\/\S+)$/, 'must be an e-mail or https address'),
  },
  AUTHORIZATION_CODE_TTL_SECONDS: {
    meaning: 'How long an authorization code lives.',
    fallback: '60',
    example: '60',
    parse: wholeNumber(5, 600),
  },
  ACCESS_TOKEN_TTL_SECONDS: {
    meaning: 'How long an access token lives.',
    fallback: '600',
    example: '600',
    parse: wholeNumber(10, 86_400),
  },
  REFRESH_TOKEN_TTL_SECONDS: {
    meaning: 'How long a refresh token lives when it is not used.',
    fallback: '2592000',
    example: '2592000',
    parse: wholeNumber(60, TEN_YEARS),
  },
  REFRESH_TOKEN_MAX_TTL_SECONDS: {
    meaning: 'How long an app can go on refreshing before the person must sign in again.',
    fallback: '31536000',
    example: '31536000',
    parse: wholeNumber(60, TEN_YEARS),
  },
  SESSION_TTL_SECONDS: {
    meaning: 'How long a person stays signed in here.',
    fallback: '1209600',
    example: '1209600',
    parse: wholeNumber(60, TEN_YEARS),
  },
  DEVELOPER_REGISTRATION: {
    meaning:
      'Whether people register apps of their own at /developer: off, approval (an administrator decides) or open.',
    fallback: 'approval',
    example: 'open',
    parse: z.enum(DEVELOPER_MODES, `must be one of ${DEVELOPER_MODES.join(', ')}`),
  },
  DYNAMIC_REGISTRATION: {
    meaning: 'Whether apps may register themselves (RFC 7591): off, token (with a token of yours) or open.',
    fallback: 'off',
    example: 'token',
    parse: z.enum(REGISTRATION_MODES, `must be one of ${REGISTRATION_MODES.join(', ')}`),
  },
  DYNAMIC_REGISTRATION_APPROVAL: {
    meaning: 'With `open`: whether an app that registered itself waits until an administrator approves it.',
    fallback: 'false',
    example: 'true',
    parse: z.enum(['true', 'false'], 'must be true or false').transform((text) => text === 'true'),
  },
  DYNAMIC_REGISTRATION_SCOPES: {
    meaning: 'With `open`: what apps that registered themselves may ask for, separated by commas.',
    fallback: 'openid,profile,email,offline_access',
    example: 'openid,profile,photos.read',
    parse: list().refine((scopes) => scopes.length > 0 && scopes.every(isScope), 'must be names of scopes'),
  },
  DYNAMIC_CLIENT_UNUSED_DAYS: {
    meaning: 'After how many days without use an app that registered itself is removed; 0 is never.',
    fallback: '30',
    example: '30',
    parse: wholeNumber(0, 3650),
  },
  SMTP_URL: {
    meaning:
      'The server that takes mails: smtp:// (port 587, with STARTTLS, which is required unless all runs on this ' +
      'machine) or smtps:// (port 465), with user and password. Without it no mail is sent.',
    example: 'smtps://valetkey:password@mail.example.com:465',
    parse: z.string().transform(smtpServer),
  },
  MAIL_FROM: {
    meaning: 'As whom mails are sent. Required with SMTP_URL.',
    example: 'Example ID <no-reply@example.com>',
    parse: z.string().transform(sender),
  },
  CLIENT_ID_METADATA_DOCUMENTS: {
    meaning:
      'Whether a client id may be the https address of a document that describes the app (client ID metadata ' +
      'documents): off or on. What such apps may ask for, and whether they wait, is as for `open` above.',
    fallback: 'off',
    example: 'on',
    parse: z.enum(['off', 'on'], 'must be off or on').transform((text) => text === 'on'),
  },
  CLIENT_ID_METADATA_HOSTS: {
    meaning: 'Hosts whose documents are read, separated by commas; `*.` stands for all below a name.',
    fallback: '',
    fallbackNote: 'any',
    example: 'app.example,*.apps.example.com',
    parse: list().refine((hosts) => hosts.every(isHostPattern), 'must be names of hosts, in lower case'),
  },
  API_REQUESTS_PER_MINUTE: {
    meaning: 'How many requests a minute one client may send to the Admin API.',
    fallback: '600',
    example: '600',
    parse: wholeNumber(1, 1_000_000),
  },
  SWEEP_INTERVAL_SECONDS: {
    meaning:
      'How often dead rows are deleted in the background; 0 switches it off, and sealing the audit log, too.',
    fallback: '60',
    example: '60',
    parse: wholeNumber(0, 86_400),
  },
  SIGNING_KEY_ROTATION_DAYS: {
    meaning: 'After how many days the keys that sign ID tokens are replaced; 0 leaves it to you.',
    fallback: '90',
    example: '30',
    parse: wholeNumber(0, 3650),
  },
  DRAIN_SECONDS: {
    meaning:
      'For how long the server goes on serving after SIGTERM while `/readyz` says 503: longer than your proxy takes to notice.',
    fallbackNote: '`5` in production or with a public ISSUER_URL, else `0`',
    example: '10',
    parse: wholeNumber(0, 600),
  },
  SHUTDOWN_SECONDS: {
    meaning: 'How long requests in flight may take to finish at SIGTERM, once the server has drained.',
    fallback: '20',
    example: '20',
    parse: wholeNumber(0, 600),
  },
} satisfies Record<string, Setting>
