// APIs and scopes, signing keys, the audit log and the overview in the console.
import { afterAll, beforeAll, describe, expect, test } from '@jest/globals'
import { countDays } from '../../../src/core/audit/days.ts'
import { listKeys, rotateKeysIfDue } from '../../../src/core/keys/store.ts'
import { listResources } from '../../../src/core/resources/store.ts'
import { one, run, sql } from '../../../src/db/pool.ts'
import type { Page, Person, ServerFixture } from '../../support/flow.ts'
import { until } from '../../support/patience.ts'
import { type AdminFixture, startAdminFixture } from './admin-fixture.ts'

let fixture: AdminFixture
let server: ServerFixture
let ada: Person
beforeAll(async () => {
  fixture = await startAdminFixture({ LOG_LEVEL: 'error' })
  ;({ server, ada } = fixture)
})
afterAll(() => fixture.server.stop())

const MARKUP = '<img src=x onerror=alert(1)>'
const base64url = (text: string) => Buffer.from(text).toString('base64url')
const pathOf = (identifier: string) => `/admin/apis/${base64url(identifier)}`
const shown = (page: Page): string => /vk_cs_[\w-]+/.exec(page.text)![0]

describe('an API', () => {
  const fields = {
    identifier: 'https://notes.example',
    name: 'Notes',
    scope: 'notes.read',
    sentence: 'Read your notes',
    detail: 'It cannot change them',
  }

  test('is registered with its credentials, which are shown once', async () => {
    const page = await ada.press(await ada.open('/admin/apis/new'), 'Register', fields)

    const secret = shown(page)
    expect(page.headers.get('cache-control')).toBe('no-store')
    const list = await ada.open(pathOf('https://notes.example'))
    expect(list.text).toContain('Read your notes')
    expect(list.html).not.toContain(secret)
    // Known to the protocol without a restart.
    const app = await server.app({ scopes: ['openid', 'notes.read'] })
    const told = await fixture.jamie.account()
    expect(told.status).toBe(200)
    const { url } = await app.begin({ scope: 'openid notes.read' })
    expect((await fixture.jamie.open(url)).text).toContain('Read your notes')
  })

  test.each([
    [{ identifier: 'notes' }, 'Identifier: must be an absolute URI'],
    [{ identifier: 'https://photos.example' }, 'is registered already'],
    [{ identifier: 'https://x.example', name: '' }, 'Name: is missing'],
    [{ identifier: 'https://x.example', scope: 'two words' }, 'is not a scope'],
    [{ identifier: 'https://x.example', scope: 'openid' }, 'belongs to OpenID Connect'],
    [{ identifier: 'https://x.example', scope: 'x.y', sentence: '' }, 'needs a sentence'],
  ])('%j is refused', async (wrong, words) => {
    const page = await ada.press(await ada.open('/admin/apis/new'), 'Register', { ...fields, ...wrong })

    expect(page.status).toBe(422)
    expect(page.text).toContain(words)
    expect(page.html).toContain('value="It cannot change them"')
  })

  test('is renamed; markup stays text', async () => {
    const path = pathOf('https://photos.example')
    const page = await ada.press(await ada.open(`${path}/rename`), 'Rename', { name: `Pictures ${MARKUP}` })

    expect(page.text).toContain(`The API is called Pictures ${MARKUP}.`)
    expect(page.html).not.toContain('<img')
    expect(await server.events({ type: 'resource.changed' })).toMatchObject([
      { data: { changes: [{ field: 'name', from: 'Photos', to: `Pictures ${MARKUP}` }] } },
    ])
  })

  test('gets a new secret, the old one goes on for as long as is chosen', async () => {
    const path = pathOf('https://photos.example')
    const form = await ada.open(`${path}/secret`)

    const fresh = shown(await ada.press(form, 'Make a new secret', { overlap: '3600' }))

    const introspect = (secret: string) =>
      fetch(`${server.origin}/introspect`, {
        method: 'POST',
        headers: {
          Authorization: `Basic ${Buffer.from(`${fixture.server.photos.id}:${secret}`).toString('base64')}`,
        },
        body: new URLSearchParams({ token: 'x' }),
      }).then(({ status }) => status)
    expect(await introspect(fresh)).toBe(200)
    expect(await introspect(fixture.server.photos.secret!)).toBe(200)
  })
})

describe('the secrets of an API', () => {
  const path = pathOf('https://photos.example')

  test('have names, and one ends without the others', async () => {
    const fresh = shown(
      await ada.press(await ada.open(`${path}/secrets/new`), 'Add the secret', { name: 'server in Oslo' }),
    )
    const listed = await ada.open(path)
    expect(listed.text).toContain('server in Oslo')
    expect(listed.html).not.toContain(fresh)
    const [row] = /<tr>(?:(?!<tr>).)*server in Oslo.*?<\/tr>/s.exec(listed.html)!
    const revoke = /href="([^"]*\/revoke)"/.exec(row)![1]!

    const page = await ada.press(await ada.open(revoke), 'Revoke this secret')

    expect(page.text).toContain('The secret is revoked.')
    expect(page.text).not.toContain('server in Oslo')
    expect((await ada.open(revoke)).status).toBe(404)
    expect(await fixture.server.photos.introspect('x')).toEqual({ active: false })
  })

  test('want a name', async () => {
    const page = await ada.press(await ada.open(`${path}/secrets/new`), 'Add the secret', { name: ' ' })

    expect(page.status).toBe(422)
    expect(page.text).toContain('Name: is missing')
  })

  test('of another client are not ended here', async () => {
    const { id } = await one<{ id: string }>(
      server.db,
      sql`select id from client_secrets where client_id = ${fixture.app.id}`,
    )

    expect((await ada.open(`${path}/secrets/${id}/revoke`)).status).toBe(404)
    expect((await ada.open(`${path}/secrets/x/revoke`)).status).toBe(404)
  })
})

describe('the tokens of an API', () => {
  const path = pathOf('https://photos.example')

  test('are changed in format and lifetime, and it is recorded', async () => {
    const form = await ada.open(`${path}/tokens`)

    const page = await ada.press(form, 'Save', { token_format: 'jwt', token_seconds: '300' })

    expect(page.text).toContain('It holds from the next token on.')
    expect(page.text).toContain('They live 5 minutes')
    expect(page.text).toContain('otherwise it works until the token ends')
    expect((await server.events({ type: 'resource.changed' }))[0]!.data).toEqual({
      resource: 'https://photos.example',
      changes: [
        { field: 'token_format', from: 'opaque', to: 'jwt' },
        { field: 'token_seconds', from: null, to: 300 },
      ],
    })
    const back = await ada.press(await ada.open(`${path}/tokens`), 'Save', {
      token_format: 'opaque',
      token_seconds: '',
    })
    expect(back.text).toContain('They live 10 minutes, as this server is set up')
  })

  test.each([
    [{ token_seconds: '9' }, 'Access tokens live: must be a whole number of seconds from 10 to 86400'],
    [{ token_seconds: 'soon' }, 'give a number of seconds'],
    [{ token_format: 'paseto' }, 'Choose what its access tokens are.'],
  ])('%j is refused', async (wrong, words) => {
    const page = await ada.press(await ada.open(`${path}/tokens`), 'Save', wrong)

    expect(page.status).toBe(422)
    expect(page.text).toContain(words)
  })
})

describe('a scope', () => {
  test('is for some kinds of app only, until all are let in again', async () => {
    const edit = `${pathOf('https://photos.example')}/scopes/${base64url('photos.share')}`
    const page = await ada.press(await ada.open(edit), 'Save', { kinds: ['web', 'service'] })
    expect(page.text).toContain('photos.share Only for Web, Service')
    expect((await server.events({ type: 'resource.scope_changed' }))[0]!.data).toMatchObject({
      changes: [{ field: 'kinds', from: null, to: ['web', 'service'] }],
    })
    expect((await ada.open(edit)).html.match(/name="kinds"[^>]*checked/g)).toHaveLength(2)

    await ada.press(await ada.open(edit), 'Save', { kinds: [] })

    expect((await ada.open(pathOf('https://photos.example'))).text).not.toContain('Only for')
    expect((await ada.press(await ada.open(edit), 'Save', { kinds: 'phone' })).status).toBe(422)
  })

  const path = pathOf('https://photos.example')

  test('is added, changed, and both are recorded', async () => {
    const added = await ada.press(await ada.open(`${path}/scopes/new`), 'Add', {
      scope: 'photos.delete',
      sentence: 'Delete your photos',
      detail: '',
    })
    expect(added.text).toContain('Apps may be allowed to ask for photos.delete.')
    const edit = await ada.open(`${path}/scopes/${base64url('photos.delete')}`)
    const changed = await ada.press(edit, 'Save', { detail: 'For good', dangerous: 'yes' })

    expect(changed.text).toContain('photos.delete was changed.')
    expect(changed.text).toContain('photos.delete Dangerous')
    const [event] = await server.events({ type: 'resource.scope_changed' })
    expect(event!.data).toEqual({
      resource: 'https://photos.example',
      scope: 'photos.delete',
      changes: [
        { field: 'detail', from: '', to: 'For good' },
        { field: 'dangerous', from: false, to: true },
        // A dangerous scope is always asked for by name.
        { field: 'by_default', from: true, to: false },
      ],
    })
  })

  test('is had by default, unless the box is not ticked', async () => {
    const form = await ada.open(`${path}/scopes/new`)
    const page = await ada.press(form, 'Add', {
      scope: 'photos.print',
      sentence: 'Print photos',
      by_default: [],
    })

    expect(page.text).toContain('photos.print Only by name')
    const apis = await listResources(server.db)
    const scopes = apis.find(({ identifier }) => identifier === 'https://photos.example')!.scopes
    expect(scopes.find(({ name }) => name === 'photos.print')).toMatchObject({ by_default: false })
    expect(scopes.find(({ name }) => name === 'photos.read')).toMatchObject({ by_default: true })
  })

  test('that another API has is refused', async () => {
    const page = await ada.press(await ada.open(`${path}/scopes/new`), 'Add', {
      scope: 'photos.read',
      sentence: 'Again',
    })

    expect(page.status).toBe(422)
    expect(page.text).toContain('is, or was, a scope already')
  })

  test('that is removed goes from apps and consent, and its name is not to be had elsewhere', async () => {
    await ada.press(await ada.open(`${path}/scopes/new`), 'Add', {
      scope: 'photos.tag',
      sentence: 'Tag photos',
    })
    const app = await server.app({ scopes: ['openid', 'photos.read', 'photos.tag'] })
    const tokens = await app.connect(fixture.jamie, { scope: 'openid photos.read photos.tag' })

    const confirm = await ada.open(`${path}/scopes/${base64url('photos.tag')}/remove`)
    const page = await ada.press(confirm, 'Remove this scope')

    expect(page.text).toContain('photos.tag is removed.')
    await jobsDone()
    const row = await one<{ scopes: string[] }>(
      server.db,
      sql`select scopes from clients where id = ${app.id}`,
    )
    expect(row.scopes).toEqual(['openid', 'photos.read'])
    const asked = await fixture.jamie.open((await app.begin({ scope: 'photos.tag', nonce: undefined })).url)
    expect(asked.away!.searchParams.get('error')).toBe('invalid_scope')
    const refreshed = await app.refresh(tokens.refresh_token)
    expect(refreshed.status).toBe(200)
    expect(refreshed.body.scope).not.toContain('photos.tag')
    const elsewhere = await ada.press(await ada.open('/admin/apis/new'), 'Register', {
      identifier: 'https://tags.example',
      name: 'Tags',
      scope: 'photos.tag',
      sentence: 'Take your photos',
    })
    expect(elsewhere.status).toBe(422)
    const back = await ada.press(await ada.open(`${path}/scopes/new`), 'Add', {
      scope: 'photos.tag',
      sentence: 'Tag photos again',
    })
    expect(back.text).toContain('Apps may be allowed to ask for photos.tag.')
  })

  test('the last one of an API stays', async () => {
    await ada.press(await ada.open('/admin/apis/new'), 'Register', {
      identifier: 'https://single.example',
      name: 'Single',
      scope: 'single.one',
      sentence: 'One',
    })
    const confirm = await ada.open(
      `${pathOf('https://single.example')}/scopes/${base64url('single.one')}/remove`,
    )

    const page = await ada.press(confirm, 'Remove this scope')

    expect(page.status).toBe(422)
    expect(page.text).toContain('an API has one scope at least')
  })
})

async function jobsDone(): Promise<void> {
  await until(async () => {
    const { open } = await one<{ open: boolean }>(
      server.db,
      sql`select exists (select from jobs where state in ('waiting', 'running')) as open`,
    )
    return !open
  })
}

describe('signing keys', () => {
  test('are listed, and rotate now without anything ceasing to verify', async () => {
    const { claims: before } = await fixture.app.connect(fixture.jamie)
    expect(before()).toBeDefined()
    const old = (await listKeys(server.db)).filter(({ state }) => state === 'current')

    const page = await ada.press(await ada.open('/admin/keys/rotate'), 'Rotate now')

    const hasty = await ada.press(await ada.open('/admin/keys/rotate'), 'Rotate all the same', { again: '' })
    expect(hasty.text).toContain('Nothing was rotated. They were rotated within the last minute')
    expect(page.text).toContain('Signs now')
    expect(page.text).toContain('Next')
    expect(page.text).toContain('retired')
    expect(page.text).toContain('They are replaced every 90 days')
    const { keys } = (await (await fetch(`${server.origin}/jwks`)).json()) as { keys: { kid: string }[] }
    for (const { kid } of old) expect(keys.map((key) => key.kid)).toContain(kid)
    const { claims } = await (await server.app()).connect(fixture.jamie)
    expect(claims()!.sub).toBe(fixture.jamie.id)
  })

  test('rotate by themselves when they have signed for long enough, once however many nodes look', async () => {
    const { secrets } = fixture.server
    expect(await rotateKeysIfDue(server.db, secrets, 90)).toBe(false)
    await run(
      server.db,
      sql`update signing_keys set activated_at = now() - interval '91 days' where state = 'current'`,
    )
    const before = await listKeys(server.db)

    const did = await Promise.all([1, 2, 3].map(() => rotateKeysIfDue(server.db, secrets, 90)))

    expect(did.filter(Boolean)).toHaveLength(1)
    expect(await listKeys(server.db)).toHaveLength(before.length + 2)
    expect((await server.events({ type: 'key.rotated' }))[0]).toMatchObject({ actor_type: 'system' })
  })
})

describe('the audit log', () => {
  test('is filtered by what, who, whom and when', async () => {
    await fixture.app.connect(fixture.jamie)
    const seen = async (query: Record<string, string>): Promise<string> =>
      (await ada.open(`/admin/audit?${new URLSearchParams(query)}`)).text.split('Done by To')[1] ?? ''

    expect(await seen({ type: 'consent.given' })).toContain(fixture.jamie.email)
    expect(await seen({ type: 'consent.given' })).not.toContain('key.created')
    expect(await seen({ actor: fixture.jamie.email })).toContain('consent.given')
    expect(await seen({ actor: ada.email, type: 'consent.given' })).toBe('')
    expect(await seen({ user: fixture.jamie.id })).not.toContain('key.rotated')
    expect(await seen({ app: fixture.app.id })).toContain('client.created')
    const today = new Date().toISOString().slice(0, 10)
    expect(await seen({ type: 'consent.given', since: today, until: today })).toContain(fixture.jamie.email)
    expect(await seen({ type: 'consent.given', until: '2020-01-01' })).toBe('')
    const wrong = await ada.open('/admin/audit?since=yesterday&user=nobody@example.com')
    expect(wrong.status).toBe(422)
    expect(wrong.text).toContain('Give a day like 2026-05-03.')
    expect(wrong.text).toContain('No account has this email address.')
  })

  test('goes back page by page, each event once', async () => {
    await run(
      server.db,
      sql`insert into audit_events (type, actor_type, client_id)
          select 'client.suspended', 'cli', 'c_' || n from generate_series(1, 60) n`,
    )

    const first = await ada.open('/admin/audit?type=client.suspended')
    const next = /href="(\/admin\/audit\?[^"]*before=\d+)"/.exec(first.html)![1]!.replaceAll('&amp;', '&')
    const second = await ada.open(next)

    const ids = [...`${first.text} ${second.text}`.matchAll(/\bc_\d+\b/g)].map(([id]) => id)
    expect(new Set(ids).size).toBe(60)
    expect(ids).toHaveLength(60)
    expect(second.html).not.toContain('before=')
  })

  test('never shows a secret, and no markup runs in it', async () => {
    await run(
      server.db,
      sql`insert into audit_events (type, actor_type, actor_id, user_agent, data)
          values ('client.rejected', 'cli', ${MARKUP}, ${MARKUP}, ${JSON.stringify({ reason: MARKUP })})`,
    )

    const page = await ada.open('/admin/audit')

    expect(page.text).toContain(MARKUP)
    expect(page.html).not.toContain('<img')
    expect(page.html).not.toMatch(/vk_cs_[\w-]{20}/)
  })
})

test('the overview counts what really happened', async () => {
  const number = (page: Page, label: string): [number, number] => {
    const [, day, month] = new RegExp(`${label} ([\\d,]+) ([\\d,]+)`).exec(page.text)!
    return [Number(day!.replaceAll(',', '')), Number(month!.replaceAll(',', ''))]
  }
  const before = await ada.open('/admin')
  await run(
    server.db,
    sql`insert into audit_events (type, actor_type, at) values
          ('sign_in.failed', 'user', now() - interval '2 hours'), ('sign_in.failed', 'user', now() - interval '3 days'),
          ('sign_in.failed', 'user', now() - interval '40 days')`,
  )
  await run(
    server.db,
    sql`insert into usage_hours (hour, tokens, refused)
        values (date_trunc('hour', now()) - interval '5 days', 1000, 7),
               (date_trunc('hour', now()) - interval '40 days', 5, 5)`,
  )

  // Days that are over are counted once; what is told is the same before and after.
  await run(server.db, sql`delete from audit_days`)
  const uncounted = await ada.open('/admin')
  await Promise.all([countDays(server.db), countDays(server.db)])
  const after = await ada.open('/admin')
  expect(number(after, 'Failed sign-ins')).toEqual(number(uncounted, 'Failed sign-ins'))
  const { days } = await one<{ days: number }>(
    server.db,
    sql`select count(*)::int as days from audit_days where type = 'sign_in.failed'`,
  )
  expect(days).toBeGreaterThan(0)

  const grew = (label: string) => number(after, label).map((value, i) => value - number(before, label)[i]!)
  expect(grew('Failed sign-ins')).toEqual([1, 2])
  expect(grew('Refused requests of apps')[1]).toBeGreaterThanOrEqual(7)
  expect(grew('Times an app was given tokens')[1]).toBeGreaterThanOrEqual(1000)
  expect(number(after, 'Sign-ins')[0]).toBeGreaterThan(0)
})
