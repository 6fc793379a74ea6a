// The surfaces at which an app can be registered or changed: how to ask each one, and how to read its answer. It knows no rule.
import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { expect } from '@jest/globals'
import { Option } from 'commander'
import { SYSTEM } from '../../src/base/audit-events.ts'
import { FIELDS, type Field, type FieldName, labelOf } from '../../src/core/clients/fields.ts'
import { createRegistrationToken } from '../../src/core/registration/initial-access-tokens.ts'
import { run, sql } from '../../src/db/pool.ts'
import { ALL, tokenOf } from '../api/api-fixture.ts'
import { inOneProcess, type Ran } from '../cli/run.ts'
import { type AdminFixture, startAdminFixture } from '../pages/admin/admin-fixture.ts'
import { type DocumentHost, startDocumentHost } from '../support/documents.ts'
import type { Page, Person } from '../support/flow.ts'
import { type Asked, FOR_SERVICES, WEB } from '../support/registration.ts'

/** A server with every surface on, and the person or program that uses each of them. */
export interface SurfacesFixture {
  admin: AdminFixture
  dev: Person
  /** A token of the Admin API. */
  token: string
  /** An initial access token. */
  initial: string
  resident: ReturnType<typeof inOneProcess>
  host: DocumentHost
  /** A folder for registration files. */
  folder: string
  /** Registration access tokens by client id. */
  access: Map<string, string>
  stop(): Promise<void>
}

/** The answer of a surface. */
export interface Answered {
  /** Undefined where the surface refused. */
  client_id?: string | undefined
  /** The message of the refusal, which names the field as the surface does. */
  refusal?: string
}

/** A surface. `field` gives its name for a field. */
interface AnySurface {
  name: string
  /** The registrar of the apps that it registers. */
  registers: 'admin' | 'developer' | 'itself'
  field(field: keyof Asked): string
}

/** How to register an app at a surface. `more` is sent along under the names of the fields. */
export interface Surface extends AnySurface {
  ask(fixture: SurfacesFixture, asked: Asked, more?: More): Promise<Answered>
  /** Whether the surface can express this. */
  takes?(asked: Asked): boolean
  /** The nearest registration that the surface can express. */
  as?(asked: Asked): Asked
}

/** How to change an app at a surface. */
export interface ChangingSurface extends AnySurface {
  /** Registers {@link WEB} where this surface can change it. @returns its id */
  make(fixture: SurfacesFixture): Promise<string>
  change(fixture: SurfacesFixture, id: string, change: Partial<Asked>, more?: More): Promise<Answered>
}

type More = Record<string, unknown>

/** Starts the server, with every surface on. */
export async function startSurfacesFixture(): Promise<SurfacesFixture> {
  const host = await startDocumentHost()
  const admin = await startAdminFixture(
    {
      LOG_LEVEL: 'error',
      DEVELOPER_REGISTRATION: 'open',
      DYNAMIC_REGISTRATION: 'token',
      CLIENT_ID_METADATA_DOCUMENTS: 'on',
      API_REQUESTS_PER_MINUTE: '10000',
    },
    host,
  ).catch(async (error) => {
    await host.stop()
    throw error
  })
  const { server, jamie } = admin
  await server.api({ identifier: 'https://vault.example', name: 'Vault', scopes: [FOR_SERVICES] })
  const scopes = ['openid', 'email', 'photos.read', FOR_SERVICES.name]
  const terms = { scopes, client_credentials: true, maxUses: 1000, days: 1 }
  await jamie.account()
  const resident = inOneProcess(server.databaseUrl)
  const folder = await mkdtemp(join(tmpdir(), 'valetkey-surfaces-'))
  return {
    admin,
    dev: jamie,
    token: await tokenOf(await server.app({ type: 'service', name: 'Provisioning', scopes: ALL })),
    initial: (await createRegistrationToken(server.db, terms, SYSTEM)).value,
    resident,
    host,
    folder,
    access: new Map(),
    async stop() {
      await resident.stop()
      await server.stop()
      await host.stop()
      await rm(folder, { recursive: true })
    },
  }
}

/** Resets the limits: a table asks more often than anybody may. */
export async function resetLimits({ admin, dev }: SurfacesFixture): Promise<void> {
  const { db } = admin.server
  await run(
    db,
    sql`delete from rate_limits where key ~ '^(register|register-own|register-change|documents|changes|changes-burst):'`,
  )
  await run(db, sql`delete from client_owners where user_id = ${dev.id}`)
}

const GRANT_TYPES: Partial<Record<Asked['type'], string[]>> = {
  service: ['client_credentials'],
  device: ['urn:ietf:params:oauth:grant-type:device_code', 'refresh_token'],
}
const AUTHENTICATION = {
  web: 'client_secret_basic',
  service: 'client_secret_basic',
  spa: 'none',
  native: 'none',
  device: 'none',
}

const onPages = { field: (field: keyof Asked) => labelOf(field) }
const asItself = { registers: 'itself' as const, field: (field: keyof Asked) => memberOf(field) }
const ofOperators = { registers: 'admin' as const, field: (field: keyof Asked) => field as string }

// A text area holds trimmed lines, and a form cannot send a lone surrogate.
const inLines = ({ redirect_uris }: Asked) =>
  redirect_uris.every((uri) => uri !== '' && uri.trim() === uri && uri.isWellFormed() && !/[\n\0]/.test(uri))

/** Every surface at which an app can be registered. */
export const SURFACES: Surface[] = [
  {
    name: 'console',
    ...onPages,
    registers: 'admin',
    async ask({ admin: { ada } }, asked, more = {}) {
      const form = await ada.open('/admin/clients/new')
      const page = await ada.press(form, 'Register', { ...fieldsOf(asked), ...fieldsOf(more) })
      return ofPage(page, 'admin')
    },
    takes: inLines,
  },
  {
    name: 'developer portal',
    ...onPages,
    registers: 'developer',
    async ask({ dev }, asked, more = {}) {
      const form = await dev.open('/developer/apps/new')
      const page = await dev.press(form, 'Register', { ...fieldsOf(asked), ...fieldsOf(more) })
      return ofPage(page, 'developer')
    },
    takes: inLines,
  },
  {
    name: 'Admin API',
    ...ofOperators,
    ask: ({ admin, token }, asked, more) => askApi(admin, token, 'POST', '', { ...asked, ...more }),
  },
  {
    name: 'command line',
    ...ofOperators,
    async ask({ resident }, { type, ...asked }, more) {
      const ran = await resident.run([
        'clients',
        'create',
        `--type=${type}`,
        ...optionsOf(asked, more),
        '--json',
      ])
      return ofCommand(ran, () => JSON.parse(ran.stdout).id)
    },
    // An argument of a program cannot hold NUL or a lone surrogate.
    takes: ({ redirect_uris, name }) =>
      [...redirect_uris, name].every((text) => text.isWellFormed() && !text.includes('\0')),
  },
  {
    name: 'clients apply',
    ...ofOperators,
    ask: (fixture, asked, more) => apply(fixture, `applied-${files}`, { ...asked, ...more }),
  },
  {
    name: 'dynamic registration',
    ...asItself,
    async ask(fixture, asked, more) {
      const { admin, initial } = fixture
      const answer = await fetch(`${admin.server.origin}/register`, {
        method: 'POST',
        headers: { Authorization: `Bearer ${initial}`, 'Content-Type': 'application/json' },
        body: JSON.stringify({ ...membersOf(asked), ...more }),
      })
      return ofRegistration(fixture, answer, 201)
    },
  },
  {
    name: 'client ID metadata documents',
    ...asItself,
    async ask({ admin, host }, asked, more) {
      const { token_endpoint_auth_method: _, ...members } = membersOf(asked)
      const client_id = host.put(`/${files++}.json`, { ...members, ...more })
      const [uri] = asked.redirect_uris
      const query = new URLSearchParams({
        client_id,
        response_type: 'code',
        // An address cannot hold NUL or a lone surrogate.
        redirect_uri: uri?.isWellFormed() && !uri.includes('\0') ? uri : WEB.redirect_uris[0]!,
        scope: 'openid',
        code_challenge: 'x'.repeat(43),
        code_challenge_method: 'S256',
      })
      const answer = await fetch(`${admin.server.origin}/auth?${query}`, {
        redirect: 'manual',
        headers: { Accept: 'application/json' },
      })
      if (answer.status === 303) return { client_id }
      expect(answer.status).toBe(400)
      return { refusal: ((await answer.json()) as { detail: string }).detail }
    },
    // Without a secret, and for people; what one asks for besides is no mistake, because it is for other servers too.
    takes: ({ type, scopes }) =>
      type !== 'service' &&
      type !== 'device' &&
      !scopes?.some((scope) => scope !== 'openid' && scope !== 'photos.read'),
    as: (asked) => (asked.type === 'web' ? { ...asked, type: 'spa' } : asked),
  },
]

/** Every surface at which an app can be changed. */
export const CHANGING_SURFACES: ChangingSurface[] = [
  {
    name: 'console',
    ...onPages,
    registers: 'admin',
    make: ({ admin }) => made(admin),
    async change({ admin: { ada } }, id, change, more = {}) {
      const form = await ada.open(`/admin/clients/${id}/edit`)
      const page = await ada.press(form, 'Save', { ...fieldsOf(change), ...fieldsOf(more) })
      return ofPage(page, 'admin')
    },
  },
  {
    name: 'developer portal',
    ...onPages,
    registers: 'developer',
    make: (fixture) => askedFor(fixture, 'developer portal'),
    async change({ dev }, id, change, more = {}) {
      const form = await dev.open(`/developer/apps/${id}/edit`)
      const page = await dev.press(form, 'Save', { ...fieldsOf(change), ...fieldsOf(more) })
      return ofPage(page, 'developer')
    },
  },
  {
    name: 'Admin API',
    ...ofOperators,
    make: ({ admin }) => made(admin),
    change: ({ admin, token }, id, change, more) =>
      askApi(admin, token, 'PATCH', `/${id}`, { ...change, ...more }),
  },
  {
    name: 'clients update',
    ...ofOperators,
    make: ({ admin }) => made(admin),
    async change({ resident }, id, change, more) {
      // An option without a value clears the field.
      const { redirect_uris: uris } = change
      const whole = { ...change, ...(uris?.length === 0 && { redirect_uris: [''] }) }
      return ofCommand(await resident.run(['clients', 'update', id, ...optionsOf(whole, more)]), () => id)
    },
  },
  {
    name: 'clients apply',
    ...ofOperators,
    make: ({ admin }) => made(admin),
    change: (fixture, id, change, more) => apply(fixture, id, { ...change, ...more }),
  },
  {
    name: 'the app itself (RFC 7592)',
    ...asItself,
    make: (fixture) => askedFor(fixture, 'dynamic registration'),
    async change(fixture, id, change, more) {
      const { admin, access } = fixture
      const answer = await fetch(`${admin.server.origin}/register/${id}`, {
        method: 'PUT',
        headers: { Authorization: `Bearer ${access.get(id)}`, 'Content-Type': 'application/json' },
        body: JSON.stringify({ ...membersOf({ ...WEB, ...change }), ...more, client_id: id }),
      })
      return ofRegistration(fixture, answer, 200)
    },
  },
]

let files = 0

async function made({ server }: AdminFixture): Promise<string> {
  return (await server.app({ ...WEB, post_logout_redirect_uris: [] })).id
}

async function askedFor(fixture: SurfacesFixture, name: string): Promise<string> {
  const { client_id, refusal } = await SURFACES.find((surface) => surface.name === name)!.ask(fixture, WEB)
  if (!client_id) throw new Error(refusal)
  return client_id
}

function fieldsOf(asked: Partial<Asked> | More): Record<string, string | string[]> {
  const { scopes, ...rest } = asked as More
  const texts = Object.entries(rest).map(([name, value]): [string, string | string[]] => {
    // Browsers do not send a box that is not ticked.
    if (typeof value === 'boolean') return [name, value ? 'yes' : []]
    return [name, Array.isArray(value) ? value.join('\n') : String(value)]
  })
  return { ...Object.fromEntries(texts), ...(scopes !== undefined && { scope: scopes as string[] }) }
}

// Reads only the summary of errors: the hints of the form hold examples, too.
function ofPage(page: Page, area: 'admin' | 'developer'): Answered {
  if (page.status === 422) {
    const [wrong = ''] = /<div class="notice danger"[\s\S]*?(?=<form)/.exec(page.html) ?? []
    return { refusal: plain(wrong) }
  }
  expect(page.status).toBe(200)
  const found = new RegExp(`/${area}/(?:apps|clients)/(c_[\\w-]{16})(?![\\w-])`).exec(
    page.url.pathname + page.html,
  )
  return { client_id: found?.[1] }
}

function plain(html: string): string {
  const text = html.replace(/<[^>]*>/g, ' ').replaceAll('&quot;', '"')
  return text
    .replaceAll('&#39;', "'")
    .replaceAll('&lt;', '<')
    .replaceAll('&gt;', '>')
    .replaceAll('&amp;', '&')
}

async function askApi(
  { server }: AdminFixture,
  token: string,
  method: 'POST' | 'PATCH',
  path: string,
  body: object,
): Promise<Answered> {
  const answer = await fetch(`${server.origin}/api/v1/clients${path}`, {
    method,
    headers: { Authorization: `Bearer ${token}`, 'Content-Type': 'application/json', 'If-Match': '*' },
    body: JSON.stringify(body),
  })
  const told = (await answer.json()) as { id: string; errors?: Record<string, string> }
  if (answer.ok) return { client_id: told.id }
  expect(answer.status).toBe(422)
  return { refusal: Object.entries(told.errors ?? {}).join('\n') }
}

function optionsOf(asked: Partial<Asked>, more: More = {}): string[] {
  const options = Object.entries(asked).flatMap(([name, value]) => {
    const long = new Option(FIELDS[name as FieldName].option.flags).long!
    if (typeof value === 'boolean') return [value ? long : long.replace('--', '--no-')]
    return [value ?? []].flat().map((text) => `${long}=${text}`)
  })
  return [
    ...options,
    ...Object.entries(more).map(([name, value]) => `--${name.replaceAll('_', '-')}=${value}`),
  ]
}

function ofCommand(ran: Ran, idOf: () => string): Answered {
  if (ran.code === 0) return { client_id: idOf() }
  // 2 is the exit code for an unknown option.
  expect([1, 2]).toContain(ran.code)
  expect(ran.stdout).toBe('')
  return { refusal: ran.stderr }
}

async function apply({ folder, resident }: SurfacesFixture, id: string, app: object): Promise<Answered> {
  const file = join(folder, `${files++}.json`)
  await writeFile(file, JSON.stringify({ clients: [{ id, ...app }] }))
  return ofCommand(await resident.run(['clients', 'apply', '-f', file, '--yes', '--json']), () => id)
}

function membersOf({ type, scopes, ...rest }: Asked): Record<string, unknown> {
  const members = Object.entries(rest).map(([name, value]) => [memberOf(name), value])
  return {
    ...Object.fromEntries(members),
    scope: scopes?.join(' '),
    application_type: type === 'native' || type === 'device' ? 'native' : 'web',
    token_endpoint_auth_method: AUTHENTICATION[type],
    grant_types: GRANT_TYPES[type] ?? ['authorization_code', 'refresh_token'],
  }
}

// A field without a name in RFC 7591 is sent under its own.
function memberOf(name: string): string {
  return (FIELDS[name as FieldName] as Field | undefined)?.rfc7591 ?? name
}

async function ofRegistration(
  { access }: SurfacesFixture,
  answer: Response,
  success: number,
): Promise<Answered> {
  const body = (await answer.json()) as Record<string, string>
  if (answer.status === success) {
    access.set(body.client_id!, body.registration_access_token!)
    return { client_id: body.client_id }
  }
  expect(answer.status).toBe(400)
  return { refusal: body.error_description ?? '' }
}
