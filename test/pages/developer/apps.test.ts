// A developer's own apps: registering, looking, changing, deleting, secrets; and what is not theirs.
import { afterAll, beforeAll, beforeEach, describe, expect, test } from '@jest/globals'
import { MOST_APPS } from '../../../src/core/clients/owners.ts'
import { one, run, sql } from '../../../src/db/pool.ts'
import { App, type Page, type Person, type ServerFixture } from '../../support/flow.ts'
import { heard } from '../../support/heard.ts'
import { REDIRECT_CASES } from '../../support/registration.ts'
import { ageSignIns, clientRow, csrfOf } from '../admin/admin-fixture.ts'
import {
  type DeveloperFixture,
  lastApp,
  ownApp,
  portalRows,
  resetChangeLimits,
  startDeveloperFixture,
  WEB,
} from './developer-fixture.ts'

const MARKUP = '<script>alert(1)</script>"\'&'

let fixture: DeveloperFixture
let server: ServerFixture
let dev: Person
let other: Person
beforeAll(async () => {
  fixture = await startDeveloperFixture()
  ;({ server, dev, other } = fixture)
})
beforeEach(() => resetChangeLimits(fixture))
afterAll(() => fixture.server.stop())

const register = async (person: Person, fields: Record<string, string | string[]>): Promise<Page> =>
  person.press(await person.open('/developer/apps/new'), 'Register', fields)

test('the account pages lead there, and say how it begins', async () => {
  const account = await dev.open('/account')
  const page = await dev.open('/developer')

  expect(account.html).toContain('href="/developer"')
  expect(page.title).toBe('Your apps · Valetkey')
  expect(page.text).toContain('You have not registered an app')
  expect(page.text).toContain('An administrator approves it')
})

describe('registering', () => {
  test('gives an app that waits, owned by who registered it, and shows its secret once', async () => {
    const page = await register(dev, WEB)
    const id = await lastApp(fixture)
    const secret = /vk_cs_[\w-]+/.exec(page.html)![0]

    expect(page.status).toBe(200)
    expect(page.text).toContain('Copy the secret now.')
    expect(page.text).toContain('It waits for approval.')
    expect(await clientRow(server, id)).toMatchObject({
      state: 'pending',
      registered_by: 'developer',
      name: 'Calendar',
      description: 'Prints calendars',
      scopes: WEB.scope,
      first_party: false,
      pkce_required: true,
      verified_at: null,
    })
    const shown = await dev.open(`/developer/apps/${id}`)
    expect(shown.text).toContain('This app waits for approval')
    expect(shown.text).toContain(id)
    expect(shown.html).not.toContain(secret)
    expect((await dev.open('/developer')).text).toContain('Waiting for approval')
    const [event] = await server.events({ type: 'client.created', client_id: id })
    expect(event).toMatchObject({ actor_id: dev.id, data: { state: 'pending' } })
  })

  test.each(['spa', 'native'])('a %s app gets no secret and no page of secrets', async (type) => {
    const page = await register(dev, { ...WEB, type })
    const id = await lastApp(fixture)

    expect(page.url.pathname).toBe(`/developer/apps/${id}`)
    expect(page.text).toContain('is registered. It waits for approval.')
    expect(page.html).not.toContain('vk_cs_')
    expect((await dev.open(`/developer/apps/${id}/secrets`)).status).toBe(404)
  })

  test('a service signs nobody in', async () => {
    await register(dev, { ...WEB, type: 'service', redirect_uris: '', scope: ['photos.read'] })
    const page = await dev.open(`/developer/apps/${await lastApp(fixture)}`)

    expect(page.text).toContain('It gets no tokens until an administrator has approved it.')
  })

  // What a page of HTML cannot send as it is: line ends part the lines, white space around them goes, and NUL is refused.
  const typable = REDIRECT_CASES.filter(
    ([uri]) => uri !== '' && uri === uri.trim() && !/[\n\0\ud800]/.test(uri),
  )
  test.each(typable)(
    'holds %j of a %s app against the rules of every surface',
    async (uri, type, problem) => {
      const person = await server.person('Ruler')
      await person.account()

      const page = await register(person, { ...WEB, type, redirect_uris: uri })

      if (!problem) return expect(page.text).toContain('is registered')
      expect(page.status).toBe(422)
      expect(page.title).toMatch(/^Error: /)
      expect(page.text).toMatch(problem)
      expect(page.text).toMatch(/e\.g\. (https|http|com)/)
      expect(page.html).toContain('id="redirect_uris-error"')
      expect((await person.open('/developer')).text).toContain('You have not registered an app')
    },
  )

  test.each([
    ['no name', { name: ' ' }, /Name: is missing, e\.g\./, 'name'],
    ['a scope that there is not', { scope: ['root'] }, /belongs to no API/, 'scopes'],
    [
      'a page that is not https',
      { homepage_uri: 'http://app.example' },
      /is not an https address, e\.g\./,
      'homepage_uri',
    ],
    [
      'a privacy policy that is a script',
      { policy_uri: 'javascript:alert(1)' },
      /is not an https address/,
      'policy_uri',
    ],
    [
      'terms with user information',
      { tos_uri: 'https://a:b@app.example' },
      /is not an https address/,
      'tos_uri',
    ],
    ['a kind that there is not', { type: 'toaster' }, /Choose what it runs as/, 'type'],
    ['the kind of an API', { type: 'resource_server' }, /Choose what it runs as/, 'type'],
    ['no redirect URI', { redirect_uris: '' }, /Redirect URIs: is empty, e\.g\./, 'redirect_uris'],
  ])('refuses %s, at its field, and keeps what was typed', async (_, wrong, text, field) => {
    const before = await portalRows(fixture)

    const page = await register(dev, { ...WEB, description: 'kept as typed', ...wrong })

    expect(page.status).toBe(422)
    expect(page.text).toMatch(text)
    expect(page.html).toContain(`href="#${field}"`)
    expect(page.html).toContain('kept as typed')
    expect(await portalRows(fixture)).toBe(before)
  })

  test('takes nothing but what a developer may say', async () => {
    const page = await dev.open('/developer/apps/new')
    const sent = await dev.post('/developer/apps/new', {
      ...(WEB as unknown as Record<string, string>),
      scope: 'openid',
      name: 'Mass',
      csrf: csrfOf(page),
      first_party: 'yes',
      pkce_required: '',
      verified_at: '2026-01-01',
      verified: 'yes',
      state: 'active',
      registered_by: 'admin',
      suspended_at: '',
      id: 'c_mine',
      id_token_signed_response_alg: 'ES256',
      logo_uri: 'https://elsewhere.example/logo.png',
    })

    expect(sent.status).toBe(200)
    expect(await clientRow(server, await lastApp(fixture))).toMatchObject({
      name: 'Mass',
      first_party: false,
      pkce_required: true,
      verified_at: null,
      state: 'pending',
      registered_by: 'developer',
      id_token_signed_response_alg: 'RS256',
      logo_uri: null,
    })
  })

  test('shows markup as text', async () => {
    await register(dev, { ...WEB, name: MARKUP, description: MARKUP })
    const id = await lastApp(fixture)

    for (const path of ['', '/edit', '/owners', '/test-users', '/secrets', '/delete']) {
      const page = await dev.open(`/developer/apps/${id}${path}`)
      expect([path, page.status]).toEqual([path, 200])
      expect(page.html).not.toContain('<script>')
      expect(page.text).toContain('<script>alert(1)</script>')
    }
    expect((await dev.open('/developer')).html).not.toContain('<script>')
  })

  test('ends at 25 apps that are not deleted, however many come at once', async () => {
    const many = await server.person('Many')
    await many.account()
    const made = []
    for (let i = 1; i < MOST_APPS; i++) made.push(await ownApp(fixture, many))

    const both = await Promise.allSettled([ownApp(fixture, many), ownApp(fixture, many)])
    expect(both.map(({ status }) => status).sort()).toEqual(['fulfilled', 'rejected'])

    const list = await many.open('/developer')
    expect(list.text).toContain('You look after 25 apps.')
    const page = await register(many, WEB)
    expect(page.status).toBe(422)
    expect(page.text).toContain('You look after 25 apps already')
    await run(server.db, sql`update clients set deleted_at = now() where id = ${made[0]!.id}`)
    expect((await register(many, WEB)).text).toContain('Copy the secret now.')
  })

  test('ends for a while after 20 within an hour', async () => {
    const eager = await server.person('Eager')
    await eager.account()
    const form = await eager.open('/developer/apps/new')
    for (let i = 0; i < 20; i++) {
      expect((await eager.press(form, 'Register', WEB)).status).toBe(200)
      await run(server.db, sql`update clients set deleted_at = now() where id = ${await lastApp(fixture)}`)
    }

    const page = await eager.press(form, 'Register', WEB)

    expect(page.status).toBe(429)
    expect(page.text).toMatch(/many apps within an hour.*Try again in \d+ minutes/)
  })
})

describe('editing an app that waits', () => {
  test('holds at once', async () => {
    const app = await ownApp(fixture, dev, { approval: true })

    const page = await dev.press(await dev.open(`/developer/apps/${app.id}/edit`), 'Save', {
      name: 'Almanac',
      redirect_uris: 'https://almanac.example/cb\r\nhttps://almanac.example/cb2',
      scope: ['openid', 'prints.order'],
    })

    expect(page.text).toContain('Almanac was changed.')
    expect(await clientRow(server, app.id)).toMatchObject({
      name: 'Almanac',
      redirect_uris: ['https://almanac.example/cb', 'https://almanac.example/cb2'],
      scopes: ['openid', 'prints.order'],
      state: 'pending',
    })
  })

  test('of two who edit at once, the second reads what differs, and loses nothing', async () => {
    const app = await ownApp(fixture, dev, { approval: true })
    const [first, second] = [
      await dev.open(`/developer/apps/${app.id}/edit`),
      await dev.open(`/developer/apps/${app.id}/edit`),
    ]

    await dev.press(first, 'Save', { description: 'Of the first' })
    const late = await dev.press(second, 'Save', { description: 'Of the second' })

    expect(late.status).toBe(409)
    expect(late.text).toContain('it differs from what stands now in: Description.')
    expect(late.html).toContain('Of the second')
    expect(await clientRow(server, app.id)).toMatchObject({ description: 'Of the first' })
    await dev.press(late, 'Save')
    expect(await clientRow(server, app.id)).toMatchObject({ description: 'Of the second' })
  })

  test('changes nothing that a developer has no say in', async () => {
    const app = await ownApp(fixture, dev, { approval: true })
    const page = await dev.open(`/developer/apps/${app.id}/edit`)

    await dev.press(page, 'Save', {
      description: 'Only this',
      first_party: 'yes',
      pkce_required: '',
      verified_at: 'now',
      state: 'active',
      type: 'service',
      registered_by: 'admin',
      logo_uri: 'https://elsewhere.example/x.png',
      id_token_signed_response_alg: 'ES256',
    })

    expect(await clientRow(server, app.id)).toMatchObject({
      description: 'Only this',
      first_party: false,
      pkce_required: true,
      verified_at: null,
      state: 'pending',
      type: 'web',
      registered_by: 'developer',
      logo_uri: null,
      id_token_signed_response_alg: 'RS256',
    })
  })
})

test('a rejected app says why, can be changed, and asks again', async () => {
  const app = await ownApp(fixture, dev, { approval: true })
  const reason = 'Say who you are on your page.'
  await fixture.ada.press(await fixture.ada.open(`/admin/clients/${app.id}/reject`), 'Reject', { reason })
  const page = await dev.open(`/developer/apps/${app.id}`)
  expect(page.text).toContain('An administrator rejected this app')
  expect(page.text).toContain(reason)

  await dev.press(await dev.open(`/developer/apps/${app.id}/edit`), 'Save', { description: 'By Dev Ltd' })
  const asked = await dev.press(await dev.open(`/developer/apps/${app.id}`), 'Ask again')

  expect(asked.text).toContain('You asked again.')
  expect(asked.text).toContain(`It was rejected before: ${reason}`)
  expect(await clientRow(server, app.id)).toMatchObject({ state: 'pending' })
  expect(await server.events({ type: 'client.asked_again', client_id: app.id })).toHaveLength(1)
  expect((await dev.press(page, 'Ask again')).text).toContain('Nothing was changed')
})

test('a suspended app says so', async () => {
  const app = await ownApp(fixture, dev)
  await run(server.db, sql`update clients set suspended_at = now() where id = ${app.id}`)

  expect((await dev.open(`/developer/apps/${app.id}`)).text).toContain('An administrator suspended this app')
  expect((await dev.open('/developer')).text).toContain('Suspended')
})

describe('secrets', () => {
  const service = () => ownApp(fixture, dev, { type: 'service', scopes: ['photos.read'] })
  const works = async (app: App): Promise<boolean> => {
    await heard(server)
    const answer = await app.post('/token', { grant_type: 'client_credentials', scope: 'photos.read' })
    return answer.status === 200
  }
  const shownOn = (page: Page): string => /vk_cs_[\w-]+/.exec(page.html)![0]

  test('one more is named, shown once, and works beside the first', async () => {
    const app = await service()
    const path = `/developer/apps/${app.id}/secrets`

    const page = await dev.press(await dev.open(`${path}/new`), 'Add the secret', { name: 'server 2' })
    const secret = shownOn(page)

    expect(page.headers.get('cache-control')).toBe('no-store')
    const list = await dev.open(path)
    expect(list.text).toContain('server 2')
    expect(list.text).toContain(`${secret.slice(0, 12)}…`)
    expect(list.html).not.toContain(secret)
    expect(await works(app)).toBe(true)
    expect(await works(new App(server.origin, app.id, secret, ''))).toBe(true)
  })

  test('without a name it is not made', async () => {
    const app = await service()
    const page = await dev.open(`/developer/apps/${app.id}/secrets/new`)

    const back = await dev.press(page, 'Add the secret', { name: ' ' })

    expect(back.status).toBe(422)
    expect(back.text).toContain('Name: is missing, e.g. "web server 2".')
  })

  test.each([
    ['0', false, 0],
    ['3600', true, 3_600],
    ['86400', true, 86_400],
    ['604800', true, 604_800],
  ])('replaced with an overlap of %s seconds', async (overlap, stillWorks, seconds) => {
    const app = await service()
    const page = await dev.open(`/developer/apps/${app.id}/secrets/rotate`)

    const shown = await dev.press(page, 'Make a new secret', { overlap })

    expect(await works(new App(server.origin, app.id, shownOn(shown), ''))).toBe(true)
    expect(await works(app)).toBe(stillWorks)
    const { left } = await one<{ left: number }>(
      server.db,
      sql`select extract(epoch from expires_at - created_at)::int as left from client_secrets
          where client_id = ${app.id} and expires_at is not null`,
    )
    expect(left - seconds).toBeLessThan(60)
  })

  test('an overlap that is not offered is refused', async () => {
    const app = await service()
    const page = await dev.open(`/developer/apps/${app.id}/secrets/rotate`)

    const back = await dev.press(page, 'Make a new secret', { overlap: '99999999' })

    expect(back.status).toBe(422)
    expect(await works(app)).toBe(true)
  })

  test('one is revoked, the others go on', async () => {
    const app = await service()
    const path = `/developer/apps/${app.id}/secrets`
    const shown = await dev.press(await dev.open(`${path}/new`), 'Add the secret', { name: 'two' })
    const list = await dev.open(path)
    const hrefs = [...list.html.matchAll(/href="([^"]*\/revoke)"/g)].map(([, href]) => href!)
    expect(hrefs).toHaveLength(2)

    // The newest first: the second is the one it was registered with.
    await dev.press(await dev.open(hrefs[1]!), 'Revoke this secret')

    expect(await works(app)).toBe(false)
    expect(await works(new App(server.origin, app.id, shownOn(shown), ''))).toBe(true)
    expect((await dev.open(hrefs[1]!)).status).toBe(404)
    const foreign = await ownApp(fixture, other, { type: 'service', scopes: [] })
    const swapped = hrefs[0]!.replace(app.id, foreign.id)
    expect((await dev.open(swapped)).status).toBe(404)
  })
})

describe('deleting', () => {
  test('wants the name typed, and ends everything of it', async () => {
    const app = await ownApp(fixture, dev, { type: 'service', scopes: ['photos.read'], name: 'Cron' })
    const page = await dev.open(`/developer/apps/${app.id}/delete`)

    const back = await dev.press(page, 'Delete for good', { confirm: 'Cro' })
    expect(back.status).toBe(422)
    expect(back.text).toContain('type Cron')
    const done = await dev.press(page, 'Delete for good', { confirm: 'Cron' })

    expect(done.url.pathname).toBe('/developer')
    expect(done.text).toContain('Cron is deleted.')
    expect((await dev.open(`/developer/apps/${app.id}`)).status).toBe(404)
    await heard(server)
    expect((await app.post('/token', { grant_type: 'client_credentials' })).status).toBe(401)
  })
})

test('what wants a recent sign-in asks for it, and comes back', async () => {
  const app = await ownApp(fixture, dev)
  const path = `/developer/apps/${app.id}`
  const csrf = csrfOf(await dev.open(`${path}/edit`))
  await ageSignIns(server, dev, 16)
  const before = await portalRows(fixture)

  for (const step of ['delete', 'secrets/new', 'secrets/rotate', 'owners/invite']) {
    expect((await dev.open(`${path}/${step}`)).title).toBe('Sign in · Valetkey')
    const sent = { csrf, confirm: 'Calendar', name: 'x', overlap: '0', email: 'a@example.com' }
    expect((await dev.post(`${path}/${step}`, sent)).title).toBe('Sign in · Valetkey')
  }
  // Looking and editing does not.
  expect((await dev.open(`${path}/edit`)).status).toBe(200)
  expect(await portalRows(fixture)).toBe(before)

  const asked = await dev.post(`${path}/delete`, { csrf, confirm: 'Calendar' })
  const page = await dev.signIn(asked)
  expect(page.url.pathname).toBe(`${path}/delete`)
  expect(page.text).toContain('Nothing has been changed yet.')
  expect(await portalRows(fixture)).toBe(before)
})
