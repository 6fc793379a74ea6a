// From a refused request to the registration that accepts it, in one press; and a web app whose library cannot do PKCE.
import { afterAll, beforeAll, beforeEach, describe, expect, test } from '@jest/globals'
import { findClient } from '../../../src/core/clients/store.ts'
import { until } from '../../support/patience.ts'
import {
  type DeveloperFixture,
  lastApp,
  ownApp,
  resetChangeLimits,
  startDeveloperFixture,
} from './developer-fixture.ts'

let fixture: DeveloperFixture
beforeAll(async () => {
  fixture = await startDeveloperFixture()
})
beforeEach(() => resetChangeLimits(fixture))
afterAll(() => fixture.server.stop())

const NO_PKCE = { code_challenge: undefined, code_challenge_method: undefined }

async function errors(id: string, text: string) {
  const page = () => fixture.dev.open(`/developer/apps/${id}/errors`)
  await until(async () => (await page()).text.includes(text))
  return page()
}

function fixAddress(html: string): string {
  return /href="(\/developer\/apps\/[^"]+\/fix)"/.exec(html)![1]!
}

describe('a web app whose library cannot do PKCE', () => {
  test('is registered for it by its developer, who reads what that gives up; the audit log names what is loosened', async () => {
    const form = await fixture.dev.open('/developer/apps/new')
    expect(form.text).toContain('send a nonce at least')

    const made = await fixture.dev.press(form, 'Register', {
      name: 'Old Blog',
      type: 'web',
      redirect_uris: 'https://blog.example/callback',
      pkce_required: [],
    })

    expect(made.status).toBe(200)
    const id = await lastApp(fixture)
    expect(await findClient(fixture.server.db, id)).toMatchObject({ pkce_required: false })
    const [event] = await fixture.server.events({ type: 'client.created', client_id: id })
    expect(event!.data.loosened).toEqual(['pkce'])
  })

  test('is no other kind of app', async () => {
    const form = await fixture.dev.open('/developer/apps/new')
    const made = await fixture.dev.press(form, 'Register', {
      name: 'Page',
      type: 'spa',
      redirect_uris: 'https://page.example/callback',
      pkce_required: [],
    })

    expect(made.text).toContain('Page is registered')
    const id = await lastApp(fixture)
    expect(await findClient(fixture.server.db, id)).toMatchObject({ pkce_required: true })
  })

  test('is offered it where its first sign-in fails, once; then it works', async () => {
    const app = await ownApp(fixture, fixture.dev, { name: 'Forum' })
    await fixture.dev.open((await app.begin(NO_PKCE)).url)
    await fixture.dev.open((await app.begin(NO_PKCE)).url)

    const page = await errors(app.id, 'PKCE is missing')
    expect(page.text).toContain('2 times')
    const confirm = await fixture.dev.open(fixAddress(page.html))
    expect(confirm.text).toContain('A nonce in each request helps')
    const done = await fixture.dev.press(confirm, 'Let this app do without PKCE')

    expect(done.text).toContain('Forum was changed')
    expect(done.html).not.toContain('/fix"')
    expect((await fixture.dev.open((await app.begin(NO_PKCE)).url)).title).toContain('wants access')
  })
})

describe('a redirect URI that is not registered', () => {
  test('of a host of the app is added with one press', async () => {
    const app = await ownApp(fixture, fixture.dev, { name: 'Album' })
    const redirect_uri = 'https://calendar.example/signed-in'
    await fixture.dev.open((await app.begin({ redirect_uri })).url)

    const confirm = await fixture.dev.open(fixAddress((await errors(app.id, 'not registered')).html))
    expect(confirm.text).toContain(redirect_uri)
    await fixture.dev.press(confirm, 'Add this redirect URI')

    expect((await findClient(fixture.server.db, app.id))!.redirect_uris).toEqual([
      app.redirectUri,
      redirect_uri,
    ])
    expect((await fixture.dev.open((await app.begin({ redirect_uri })).url)).title).toContain('wants access')
  })

  test.each([
    'https://evil.example/callback',
    'http://calendar.example/callback',
    'https://calendar.example:444/',
  ])('as %s is not: anybody can send it', async (redirect_uri) => {
    const app = await ownApp(fixture, fixture.dev, { name: 'Target' })
    await fixture.dev.open((await app.begin({ redirect_uri })).url)

    expect((await errors(app.id, 'not registered')).html).not.toContain('/fix"')
  })

  test('is not fixed by somebody else, nor twice', async () => {
    const app = await ownApp(fixture, fixture.dev, { name: 'Mine' })
    await fixture.dev.open((await app.begin({ redirect_uri: 'https://calendar.example/2' })).url)
    const address = fixAddress((await errors(app.id, 'not registered')).html)

    expect((await fixture.other.open(address)).status).toBe(404)
    await fixture.dev.press(await fixture.dev.open(address), 'Add this redirect URI')
    expect((await fixture.dev.open(address)).status).toBe(404)
  })
})
