// Every environment key: what it means, how it is read, its default. All mistakes are reported at once.
// The only file that looks at the environment.
import { readFileSync } from 'node:fs'
import { isIP } from 'node:net'
import { availableParallelism } from 'node:os'
import { z } from 'zod'

/** What the server was told. Times are in seconds. */
export interface Config {
  /** Where people and apps reach this server: an origin, no path. */
  issuerUrl: URL
  port: number
  host: string
  /** Undefined: an embedded PostgreSQL in {@link Config.dataDir}. */
  databaseUrl: string | undefined
  databasePoolSize: number
  dataDir: string
  /** The first encrypts and signs, the others still decrypt and verify. Undefined: one is made in the data directory. */
  secretKeys: string[] | undefined
  /** Addresses and CIDR ranges whose X-Forwarded-For counts. */
  trustedProxies: string[]
  workers: number
  logLevel: LogLevel
  brand: { name: string; logoUrl: string | undefined; accent: string; supportAddress: string | undefined }
  ttl: {
    authorizationCodeSeconds: number
    accessTokenSeconds: number
    refreshTokenSeconds: number
    refreshTokenMaxSeconds: number
    sessionSeconds: number
  }
  /** Whether people may register apps of their own, and whether those wait for an administrator. */
  developerRegistration: (typeof DEVELOPER_MODES)[number]
  dynamicRegistration: {
    mode: (typeof REGISTRATION_MODES)[number]
    /** Whether what registers without a token waits for an administrator. */
    approval: boolean
    /** What apps that register without a token may ask for. */
    scopes: string[]
    /** 0: unused ones stay. */
    unusedDays: number
  }
  /** Undefined: no mail is sent. */
  mail: MailConfig | undefined
  /** Apps whose client id is the address of a document. */
  clientDocuments: {
    on: boolean
    /** Hosts whose documents are read; none: all. */
    hosts: string[]
  }
  /** How often one client may ask the Admin API. */
  apiRequestsPerMinute: number
  /** 0: this process sweeps nothing, and seals nothing. */
  sweepIntervalSeconds: number
  /** After how long the keys that sign ID tokens are replaced; 0: only when somebody says so. */
  signingKeyRotationDays: number
  /** For how long SIGTERM makes `/readyz` say no before no more connections are accepted. */
  drainSeconds: number
  /** How long requests in flight may take after that. */
  shutdownSeconds: number
}

/** The server that takes our mails, and as whom they are sent. Plain data: it is told to workers. */
export interface MailConfig {
  host: string
  port: number
  /** TLS from the first byte. */
  secure: boolean
  /** Whether nothing may be said before STARTTLS. */
  requireTls: boolean
  /** Whether that server is this machine itself. */
  isLoopback: boolean
  auth: { user: string; pass: string } | undefined
  from: MailAddress
}

/** An address, and the name that is shown with it. */
export interface MailAddress {
  name: string
  address: string
}

/** What pino calls its levels, and silence. */
export type LogLevel = (typeof LOG_LEVELS)[number]

/** One thing that is wrong with the configuration. No secret's value is in it. */
export interface Mistake {
  key: string
  problem: string
  example: string
}

/** The configuration cannot be used; the message lists every mistake. */
export class ConfigError extends Error {
  override name = 'ConfigError'
  readonly mistakes: Mistake[]

  constructor(mistakes: Mistake[]) {
    const lines = mistakes.map(
      ({ key, problem, example }) => `  ${key} ${problem}\n    example: ${key}=${example}`,
    )
    super(
      `The configuration has ${mistakes.length === 1 ? 'a mistake' : `${mistakes.length} mistakes`}:\n${lines.join('\n')}`,
    )
    this.mistakes = mistakes
  }
}

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
const REGISTRATION_MODES = ['off', 'token', 'open'] as const
const DEVELOPER_MODES = ['off', 'approval', 'open'] as const
const TEN_YEARS = 315_360_000
// Two rounds of a health check, as most proxies are set up.
const DRAIN_SECONDS = 5

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

/**
 * Reads and checks everything.
 * @throws ConfigError with all mistakes, not only the first
 */
export function loadConfig(env: Environment = process.env): Config {
  const mistakes: Mistake[] = []
  const mistake = (key: Key, problem: string) =>
    void mistakes.push({ key, problem, example: SETTINGS[key].example })
  const read = <K extends Key>(key: K): Value<K> => {
    const setting: Setting = SETTINGS[key]
    try {
      const text = textOf(key, env) ?? setting.fallback
      return (text === undefined ? undefined : setting.parse.parse(text)) as Value<K>
    } catch (error) {
      const problems =
        error instanceof z.ZodError ? error.issues.map(({ message }) => message) : [(error as Error).message]
      mistake(key, problems.join(', '))
      // Never used: with a mistake nothing is returned.
      return undefined as Value<K>
    }
  }

  const port = read('PORT')
  // Without a name of its own the server is reached where it listens.
  const hasName = env.ISSUER_URL || env.ISSUER_URL_FILE || port === undefined
  const issuerUrl = hasName ? read('ISSUER_URL') : new URL(`http://localhost:${port}`)
  const config: Config = {
    issuerUrl,
    host: read('HOST'),
    port: port ?? defaultPort(issuerUrl),
    databaseUrl: read('DATABASE_URL'),
    databasePoolSize: read('DATABASE_POOL_SIZE'),
    dataDir: read('DATA_DIR'),
    secretKeys: read('SECRET_KEYS'),
    trustedProxies: read('TRUSTED_PROXIES'),
    workers: read('WORKERS'),
    logLevel: read('LOG_LEVEL'),
    brand: {
      name: read('BRAND_NAME'),
      logoUrl: read('BRAND_LOGO_URL'),
      accent: read('BRAND_ACCENT'),
      supportAddress: read('SUPPORT_ADDRESS'),
    },
    ttl: {
      authorizationCodeSeconds: read('AUTHORIZATION_CODE_TTL_SECONDS'),
      accessTokenSeconds: read('ACCESS_TOKEN_TTL_SECONDS'),
      refreshTokenSeconds: read('REFRESH_TOKEN_TTL_SECONDS'),
      refreshTokenMaxSeconds: read('REFRESH_TOKEN_MAX_TTL_SECONDS'),
      sessionSeconds: read('SESSION_TTL_SECONDS'),
    },
    developerRegistration: read('DEVELOPER_REGISTRATION'),
    dynamicRegistration: {
      mode: read('DYNAMIC_REGISTRATION'),
      approval: read('DYNAMIC_REGISTRATION_APPROVAL'),
      scopes: read('DYNAMIC_REGISTRATION_SCOPES'),
      unusedDays: read('DYNAMIC_CLIENT_UNUSED_DAYS'),
    },
    mail: undefined,
    clientDocuments: {
      on: read('CLIENT_ID_METADATA_DOCUMENTS'),
      hosts: read('CLIENT_ID_METADATA_HOSTS'),
    },
    apiRequestsPerMinute: read('API_REQUESTS_PER_MINUTE'),
    sweepIntervalSeconds: read('SWEEP_INTERVAL_SECONDS'),
    signingKeyRotationDays: read('SIGNING_KEY_ROTATION_DAYS'),
    drainSeconds: 0,
    shutdownSeconds: read('SHUTDOWN_SECONDS'),
  }

  const [smtp, from] = [read('SMTP_URL'), read('MAIL_FROM')]
  const named = new Set(mistakes.map(({ key }) => key))
  const isPublic = issuerUrl && !isLoopback(issuerUrl)
  const isForOthers = read('NODE_ENV') === 'production' || !!isPublic
  // On one's own machine nobody stands in between, and Ctrl-C is meant at once.
  config.drainSeconds = read('DRAIN_SECONDS') ?? (isForOthers ? DRAIN_SECONDS : 0)
  if (smtp && !from && !named.has('MAIL_FROM')) mistake('MAIL_FROM', 'must be set: a mail needs a sender')
  if (smtp && from) config.mail = { ...smtp, requireTls: isForOthers && !smtp.isLoopback, from }
  if (!config.secretKeys && !named.has('SECRET_KEYS') && isForOthers) {
    mistake('SECRET_KEYS', 'must be set: a server for others does not run on keys it made for itself')
  }
  if (config.ttl.refreshTokenMaxSeconds < config.ttl.refreshTokenSeconds) {
    mistake('REFRESH_TOKEN_MAX_TTL_SECONDS', 'must not be less than REFRESH_TOKEN_TTL_SECONDS')
  }
  if (mistakes.length > 0) throw new ConfigError(mistakes)
  return config
}

type Environment = Record<string, string | undefined>
type Key = keyof typeof SETTINGS
type Value<K extends Key> =
  | z.output<(typeof SETTINGS)[K]['parse']>
  | ((typeof SETTINGS)[K] extends { fallback: string } ? never : undefined)

/** What a key was given, in itself or in the file that KEY_FILE names; an empty text counts as absent. */
function textOf(key: string, env: Environment): string | undefined {
  const text = env[key]?.trim() || undefined
  const file = env[`${key}_FILE`]
  if (!file) return text
  if (text) throw new Error(`is given twice, here and as ${key}_FILE`)
  try {
    return readFileSync(file, 'utf8').trim() || undefined
  } catch (error) {
    throw new Error(`cannot be read from ${key}_FILE (${(error as NodeJS.ErrnoException).code} ${file})`)
  }
}

function issuer(text: string, context: z.RefinementCtx): URL {
  const refuse = (message: string) => {
    context.addIssue(message)
    return z.NEVER
  }
  const url = URL.parse(text)
  if (!url || !['http:', 'https:'].includes(url.protocol)) return refuse('must be an https address')
  if (url.href !== `${url.origin}/`)
    return refuse('must be an origin, without a path, a query or a user name')
  if (url.protocol === 'http:' && !isLoopback(url))
    return refuse('must be https: only this machine itself may use http')
  return url
}

function smtpServer(text: string, context: z.RefinementCtx): Omit<MailConfig, 'requireTls' | 'from'> {
  const refuse = (message: string) => {
    context.addIssue(message)
    return z.NEVER
  }
  const url = URL.parse(text)
  if (!url || !/^smtps?:$/.test(url.protocol) || !url.hostname) {
    return refuse('must be an smtp:// or smtps:// address')
  }
  if (/[^/]/.test(url.pathname + url.search + url.hash)) {
    return refuse('must be an address without a path or a query')
  }
  const secure = url.protocol === 'smtps:'
  try {
    const [user, pass] = [decodeURIComponent(url.username), decodeURIComponent(url.password)]
    return {
      host: url.hostname.replace(/^\[(.*)\]$/, '$1'),
      port: Number(url.port) || (secure ? 465 : 587),
      secure,
      isLoopback: isLoopback(url),
      auth: user ? { user, pass } : undefined,
    }
  } catch {
    return refuse('must have its user name and password percent-encoded')
  }
}

function sender(text: string, context: z.RefinementCtx): MailAddress {
  const [, name = '', address] = /^(?:([^<>\p{Cc}]*)<([^<>]*)>|.*)$/su.exec(text) ?? []
  const checked = z
    .email()
    .max(320)
    .safeParse(address ?? text)
  if (checked.success) return { name: name.trim().replace(/^"(.*)"$/, '$1'), address: checked.data }
  context.addIssue('must be an e-mail address, or a name and <an address>')
  return z.NEVER
}

function isLoopback({ hostname }: URL): boolean {
  return /^(localhost|.+\.localhost|127\.\d+\.\d+\.\d+|\[::1\])$/.test(hostname)
}

/** On this machine the issuer's port is ours; behind a proxy it is the proxy's. */
function defaultPort(issuerUrl: URL | undefined): number {
  return issuerUrl && isLoopback(issuerUrl)
    ? Number(issuerUrl.port || (issuerUrl.protocol === 'https:' ? 443 : 80))
    : 3000
}

function wholeNumber(min: number, max: number, must = 'must be a') {
  const fits = (text: string) => /^\d{1,12}$/.test(text) && Number(text) >= min && Number(text) <= max
  return z.string().refine(fits, `${must} whole number from ${min} to ${max}`).transform(Number)
}

function list() {
  const parts = (text: string) => text.split(',').map((part) => part.trim())
  return z.string().transform((text) => parts(text).filter(Boolean))
}

function areStrongKeys(keys: string[]): boolean {
  return keys.length > 0 && keys.every((key) => key.length >= 32)
}

// RFC 6749 §3.3
function isScope(name: string): boolean {
  return /^[\x21\x23-\x5B\x5D-\x7E]{1,100}$/.test(name)
}

function isHostPattern(host: string): boolean {
  return /^(\*\.)?([a-z0-9-]+\.)+[a-z][a-z0-9-]*$/.test(host)
}

function isPostgresUrl(text: string): boolean {
  return /^postgres(ql)?:\/\/./.test(text) && URL.canParse(text)
}

function isAddressOrRange(entry: string): boolean {
  const [address = '', bits, ...rest] = entry.split('/')
  const version = isIP(address)
  if (!version || rest.length > 0) return false
  return bits === undefined || (/^\d{1,3}$/.test(bits) && Number(bits) <= (version === 4 ? 32 : 128))
}
