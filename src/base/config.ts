// The configuration: reads every environment key of config-keys.ts and reports all mistakes at once. No other file reads the
// environment.
import { readFileSync } from 'node:fs'
import { z } from 'zod'
import {
  type DEVELOPER_MODES,
  type LogLevel,
  type REGISTRATION_MODES,
  SETTINGS,
  type Setting,
} from './config-keys.ts'
import { isLoopback, type MailAddress, type SmtpServer } from './config-values.ts'

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

/** The server that takes our mails, and as whom they are sent. Plain data, because it is sent to workers as a message. */
export interface MailConfig extends SmtpServer {
  /** Whether nothing may be sent before STARTTLS. */
  requireTls: boolean
  from: MailAddress
}

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

// Two rounds of a health check, as most proxies are set up.
const DRAIN_SECONDS = 5

/**
 * Reads and checks everything.
 * @throws ConfigError with all mistakes, not only the first
 */
export function loadConfig(env: Environment = process.env): Config {
  const mistakes: Mistake[] = []
  const read = readerOf(env, mistakes)
  const config = readAll(env, read)
  const [smtp, from] = [read('SMTP_URL'), read('MAIL_FROM')]
  const isPublic = config.issuerUrl && !isLoopback(config.issuerUrl)
  const isForOthers = read('NODE_ENV') === 'production' || !!isPublic
  // On a developer's own machine there is no proxy to wait for, and Ctrl-C should stop the server at once.
  config.drainSeconds = read('DRAIN_SECONDS') ?? (isForOthers ? DRAIN_SECONDS : 0)
  if (smtp && from) config.mail = { ...smtp, requireTls: isForOthers && !smtp.isLoopback, from }
  mistakes.push(...mistakesTogether(config, { mistakes, isForOthers, lacksSender: !!smtp && !from }))
  if (mistakes.length > 0) throw new ConfigError(mistakes)
  return config
}

type Environment = Record<string, string | undefined>
type Key = keyof typeof SETTINGS
type Value<K extends Key> =
  | z.output<(typeof SETTINGS)[K]['parse']>
  | ((typeof SETTINGS)[K] extends { fallback: string } ? never : undefined)
type Read = <K extends Key>(key: K) => Value<K>

/** Reads one key at a time. A key that cannot be read is added to the mistakes. */
function readerOf(env: Environment, mistakes: Mistake[]): Read {
  return <K extends Key>(key: K): Value<K> => {
    const setting: Setting = SETTINGS[key]
    try {
      const text = textOf(key, env) ?? setting.fallback
      return (text === undefined ? undefined : setting.parse.parse(text)) as Value<K>
    } catch (error) {
      const problems =
        error instanceof z.ZodError ? error.issues.map(({ message }) => message) : [(error as Error).message]
      mistakes.push(mistake(key, problems.join(', ')))
      // Nobody uses this value: a mistake is thrown in the end.
      return undefined as Value<K>
    }
  }
}

// Without mail and drainSeconds, which depend on several keys.
function readAll(env: Environment, read: Read): Config {
  const port = read('PORT')
  // Without a name of its own, the server is reached where it listens.
  const hasName = env.ISSUER_URL || env.ISSUER_URL_FILE || port === undefined
  const issuerUrl = hasName ? read('ISSUER_URL') : new URL(`http://localhost:${port}`)
  return {
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
}

/** The mistakes that only several keys together make. A key that is wrong by itself is not named twice. */
function mistakesTogether(
  { secretKeys, ttl }: Config,
  found: { mistakes: Mistake[]; isForOthers: boolean; lacksSender: boolean },
): Mistake[] {
  const named = new Set(found.mistakes.map(({ key }) => key))
  const together: Mistake[] = []
  if (found.lacksSender && !named.has('MAIL_FROM')) {
    together.push(mistake('MAIL_FROM', 'must be set: a mail needs a sender'))
  }
  if (!secretKeys && !named.has('SECRET_KEYS') && found.isForOthers) {
    together.push(
      mistake('SECRET_KEYS', 'must be set: a server for others does not run on keys it made for itself'),
    )
  }
  if (ttl.refreshTokenMaxSeconds < ttl.refreshTokenSeconds) {
    together.push(mistake('REFRESH_TOKEN_MAX_TTL_SECONDS', 'must not be less than REFRESH_TOKEN_TTL_SECONDS'))
  }
  return together
}

function mistake(key: Key, problem: string): Mistake {
  return { key, problem, example: SETTINGS[key].example }
}

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

/** On this machine the issuer's port is ours; behind a proxy it is the proxy's. */
function defaultPort(issuerUrl: URL | undefined): number {
  return issuerUrl && isLoopback(issuerUrl)
    ? Number(issuerUrl.port || (issuerUrl.protocol === 'https:' ? 443 : 80))
    : 3000
}
