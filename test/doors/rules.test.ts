// One table of what may be registered, held against every door through which an app can be: what one refuses, all refuse,
// naming the field, what is wrong and a right example, and nothing is stored.
import { afterAll, beforeAll, describe, expect, test } from '@jest/globals'
import { SYSTEM } from '../../src/audit/events.ts'
import { createRegistrationToken } from '../../src/clients/registration-tokens.ts'
import { one, sql } from '../../src/db/pool.ts'
import { csrfOf, type Office, openOffice } from '../admin/office.ts'
import { against } from '../cli/run.ts'
import { type Asked, REGISTRATION_CASES } from '../support/registration.ts'

let office: Office
let initial: string
let cli: ReturnType<typeof against>
beforeAll(async () => {
  office = await openOffice({ LOG_LEVEL: 'error', DYNAMIC_REGISTRATION: 'token' })
  const scopes = ['openid', 'photos.read']
  const terms = { scopes, client_credentials: true, maxUses: 1000, days: 1 }
  initial = (await createRegistrationToken(office.stage.db, terms, SYSTEM)).value
  cli = against(office.stage.databaseUrl)
})
afterAll(() => office.stage.stop())

/** What a door answers. */
interface Answered {
  /** Undefined: refused. */
  client_id?: string | undefined
  /** What the refusal says, with the door's own name for the field. */
  refusal?: string
}

/** How a door is asked; `field` gives its name for one of our fields. */
interface Door {
  name: string
  ask(asked: Asked): Promise<Answered>
  field(field: keyof Asked): string
  /** Whether it can be asked this at all. */
  takes?(asked: Asked): boolean
}

const LABELS: Record<keyof Asked, string> = {
  name: 'Name',
  type: 'Kind',
  redirect_uris: 'Redirect URIs',
  post_logout_redirect_uris: 'After signing out',
  scopes: 'Scopes',
  homepage_uri: 'Web page',
  policy_uri: 'Privacy policy',
  tos_uri: 'Terms',
}
const MEMBERS: Partial<Record<keyof Asked, string>> = {
  name: 'client_name',
  scopes: 'scope',
  homepage_uri: 'client_uri',
}
const AUTHENTICATION = {
  web: 'client_secret_basic',
  service: 'client_secret_basic',
  spa: 'none',
  native: 'none',
}

// A text area is lines, and what stands around a line is not part of it; a form cannot send a half character either.
const inLines = ({ redirect_uris }: Asked) =>
  redirect_uris.every((uri) => uri !== '' && uri.trim() === uri && uri.isWellFormed() && !/[\n\0]/.test(uri))

const DOORS: Door[] = [
  {
    name: 'console',
    async ask({ redirect_uris, post_logout_redirect_uris = [], scopes = [], ...asked }) {
      const { ada } = office
      const csrf = csrfOf(await ada.open('/admin/apps/new'))
      const body = new URLSearchParams({
        csrf,
        ...asked,
        redirect_uris: redirect_uris.join('\n'),
        post_logout_redirect_uris: post_logout_redirect_uris.join('\n'),
        pkce_required: 'on',
      })
      for (const scope of scopes) body.append('scope', scope)
      const page = await ada.post('/admin/apps/new', body)
      if (page.status === 422) return { refusal: page.text }
      expect(page.status).toBe(200)
      return { client_id: /\bc_[\w-]{16}\b/.exec(page.url.pathname + page.text)?.[0] }
    },
    field: (field) => LABELS[field],
    takes: inLines,
  },
  {
    name: 'command line',
    async ask(asked) {
      const options = Object.entries({
        name: [asked.name],
        type: [asked.type],
        'redirect-uri': asked.redirect_uris,
        'post-logout-redirect-uri': asked.post_logout_redirect_uris ?? [],
        scope: [asked.scopes?.join(' ') ?? ''],
        homepage: [asked.homepage_uri ?? ''],
        policy: [asked.policy_uri ?? ''],
        terms: [asked.tos_uri ?? ''],
      })
      const args = options.flatMap(([option, values]) => values.map((value) => `--${option}=${value}`))
      const ran = await cli.run(['clients', 'create', ...args, '--json'])
      if (ran.code === 0) return { client_id: JSON.parse(ran.stdout).id }
      expect(ran).toMatchObject({ code: 1, stdout: '' })
      return { refusal: ran.stderr }
    },
    field: (field) => field,
    // The arguments of a program end at NUL, and hold whole characters.
    takes: ({ redirect_uris, name }) =>
      [...redirect_uris, name].every((text) => text.isWellFormed() && !text.includes('\0')),
  },
  {
    name: 'dynamic registration',
    async ask({ type, name, scopes, homepage_uri, ...asked }) {
      const answer = await fetch(`${office.stage.origin}/register`, {
        method: 'POST',
        headers: { Authorization: `Bearer ${initial}`, 'Content-Type': 'application/json' },
        body: JSON.stringify({
          ...asked,
          client_name: name,
          client_uri: homepage_uri,
          scope: scopes?.join(' '),
          application_type: type === 'native' ? 'native' : 'web',
          token_endpoint_auth_method: AUTHENTICATION[type],
          grant_types: type === 'service' ? ['client_credentials'] : ['authorization_code', 'refresh_token'],
        }),
      })
      const body = (await answer.json()) as Record<string, string>
      if (answer.status === 201) return { client_id: body.client_id }
      expect(answer.status).toBe(400)
      return { refusal: body.error_description ?? '' }
    },
    field: (field) => MEMBERS[field] ?? field,
  },
]

describe.each(DOORS)('$name', ({ ask, field, takes }) => {
  const cases = REGISTRATION_CASES.filter(({ asked }) => takes?.(asked) ?? true)

  test.each(cases)('$what', async ({ asked, wrong, problem }) => {
    const before = await count()

    const { client_id, refusal } = await ask(asked)

    if (wrong === undefined) {
      expect(refusal).toBeUndefined()
      const row = await one<Asked>(
        office.stage.db,
        sql`select name, type, redirect_uris, scopes from clients where id = ${client_id!}`,
      )
      const { name, type, redirect_uris, scopes } = asked
      expect(row).toEqual({ name, type, redirect_uris, scopes })
      return
    }
    expect(client_id).toBeUndefined()
    expect(refusal).toContain(field(wrong))
    expect(refusal).toMatch(problem!)
    expect(refusal).toContain('e.g. ')
    expect(await count()).toBe(before)
  })
})

async function count(): Promise<number> {
  const { n } = await one<{ n: number }>(office.stage.db, sql`select count(*)::int as n from clients`)
  return n
}
