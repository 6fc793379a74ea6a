// Two tabs and the back button: whatever is pressed, reloaded or sent twice, the person ends at the app or at a page that
// says what to do.
import { afterAll, beforeAll, beforeEach, describe, expect, test } from '@jest/globals'
import { many, sql } from '../../src/db/pool.ts'
import {
  type App,
  atTime,
  PASSWORD,
  type Page,
  type Person,
  type ServerFixture,
  startServerFixture,
} from '../support/flow.ts'

let server: ServerFixture
let app: App
let jamie: Person
beforeAll(async () => {
  server = await startServerFixture()
})
afterAll(() => server.stop())
beforeEach(async () => {
  app = await server.app({ homepage_uri: 'https://printer.example/' })
  jamie = await server.person('Jamie')
})

describe('signing in, in two tabs', () => {
  test('the tab that is reloaded later goes on by itself', async () => {
    const [first, second] = [await app.begin(), await app.begin()]
    const [one, other] = [await jamie.open(first.url), await jamie.open(second.url)]
    const { away } = await allow(await jamie.signIn(one))
    expect((await app.finish(away!, first)).claims()!.sub).toBe(jamie.id)

    const reloaded = await jamie.open(other.url)

    expect((await app.finish(reloaded.away!, second)).claims()!.sub).toBe(jamie.id)
  })

  test('the tab where the password is given once more goes on, too', async () => {
    const [first, second] = [await app.begin(), await app.begin()]
    const [one, other] = [await jamie.open(first.url), await jamie.open(second.url)]
    await allow(await jamie.signIn(one))

    const { away } = await jamie.signIn(other)

    expect((await app.finish(away!, second)).claims()!.sub).toBe(jamie.id)
  })

  test('two apps in two tabs both get their answer', async () => {
    const album = await server.app({ name: 'Album' })
    const [first, second] = [await app.begin(), await album.begin()]
    const [one, other] = [await jamie.open(first.url), await jamie.open(second.url)]

    const consent = await jamie.signIn(one)
    const consentOfAlbum = await jamie.open(other.url)
    expect(consentOfAlbum.text).toContain('Album wants access')

    await app.finish((await jamie.press(consent, 'Allow')).away!, first)
    await album.finish((await jamie.press(consentOfAlbum, 'Allow')).away!, second)
  })

  test('somebody else in the second tab is who is signed in from then on', async () => {
    const robin = await server.person('Robin')
    const [first, second] = [await app.begin(), await app.begin()]
    const [one, other] = [await jamie.open(first.url), await jamie.open(second.url)]
    const access = await app.finish((await allow(await jamie.signIn(one))).away!, first)

    let page = await jamie.press(other, 'Sign in', { email: robin.email, password: PASSWORD })
    // The provider ends the first session by a form of its own, which a person without scripts sends by its button.
    if (page.html.includes('/session/end/confirm')) page = await sendOnlyForm(page)

    const { away } = await allow(page)
    expect((await app.finish(away!, second)).claims()!.sub).toBe(robin.id)
    expect((await jamie.open('/account')).text).toContain(robin.email)
    expect((await app.introspect(access.access_token)).active).toBe(true)
  })

  test('a page of the account and an app at once are no trouble', async () => {
    const account = await jamie.open('/account/apps')
    const pending = await app.begin()
    const page = await jamie.open(pending.url)

    expect((await jamie.signIn(account)).title).toBe('Apps with access · Valetkey')
    const { away } = await allow(await jamie.open(page.url))

    expect((await app.finish(away!, pending)).claims()!.sub).toBe(jamie.id)
  })
})

describe('deciding, in two tabs', () => {
  test('a double click on Allow gives the app one code that works', async () => {
    const pending = await app.begin()
    const page = await jamie.signIn(await jamie.open(pending.url))

    const pages = await Promise.all([jamie.press(page, 'Allow'), jamie.press(page, 'Allow')])

    for (const each of pages) expectAWayOn(each)
    const codes = pages
      .flatMap(({ away }) => away ?? [])
      .filter(({ searchParams }) => searchParams.has('code'))
    expect(codes.length).toBeGreaterThan(0)
    expect((await app.finish(codes[0]!, pending)).scope).toBe('openid profile email photos.read')
  })

  test('Allow, once it was allowed, says that this is finished and leads to the app', async () => {
    const page = await jamie.signIn(await jamie.open((await app.begin()).url))
    await jamie.press(page, 'Allow')

    const again = await jamie.press(page, 'Allow')

    expect(again.status).toBe(200)
    expect(again.text).toContain('You have finished here')
    expect(again.text).toContain('To use Photo Printer, go back to it')
    expect(again.html).toContain('href="https://printer.example/"')
  })

  test('"Don’t allow" in one tab after Allow in the other takes nothing back by accident', async () => {
    const pending = await app.begin()
    const page = await jamie.signIn(await jamie.open(pending.url))
    const { away } = await jamie.press(page, 'Allow')
    const { access_token } = await app.finish(away!, pending)

    const late = await jamie.press(page, 'Don’t allow')

    expectAWayOn(late)
    expect(late.away).toBeUndefined()
    expect((await app.introspect(access_token)).active).toBe(true)
  })

  test('the same app in two tabs: the second decision counts as well', async () => {
    const [first, second] = [await app.begin(), await app.begin()]
    const one = await jamie.signIn(await jamie.open(first.url))
    const other = await jamie.open(second.url)

    await app.finish((await jamie.press(one, 'Allow')).away!, first)
    await app.finish((await jamie.press(other, 'Allow')).away!, second)
  })

  test('signing out in another tab ends the decision, and the page says so', async () => {
    const page = await jamie.signIn(await jamie.open((await app.begin()).url))
    await jamie.press(await jamie.open('/session/end'), 'Sign out')

    const late = await jamie.press(page, 'Allow')

    expectAWayOn(late)
    expect(late.away).toBeUndefined()
    expect(await tokensOf(jamie)).toBe(0)
  })

  test('"Use another account" in one tab does not let the other decide for the wrong person', async () => {
    const robin = await server.person('Robin')
    const pending = await app.begin()
    const page = await jamie.signIn(await jamie.open(pending.url))
    const signIn = await jamie.press(page, 'Use another account')
    await jamie.press(signIn, 'Sign in', { email: robin.email, password: PASSWORD })

    const late = await jamie.press(page, 'Allow')

    expectAWayOn(late)
    expect(late.away?.searchParams.has('code') ?? false).toBe(false)
    expect((await tokensOf(jamie)) + (await tokensOf(robin))).toBe(0)
  })
})

describe('the back button', () => {
  test('to a page that is finished says so', async () => {
    const page = await jamie.signIn(await jamie.open((await app.begin()).url))
    await jamie.press(page, 'Allow')

    const back = await jamie.open(page.url)

    expect(back.status).toBe(200)
    expect(back.text).toContain('You have finished here')
    expect(back.text).toContain('Go to your account')
  })

  test('to the sign-in page after signing in says so, and the form of it, too', async () => {
    const signIn = await jamie.open((await app.begin()).url)
    await jamie.signIn(signIn)

    const back = await jamie.open(signIn.url)
    const sent = await jamie.signIn(signIn)

    expect(back.text).toContain('You have finished here')
    expect(sent.text).toContain('You have finished here')
  })

  test('to the step in between (a redirect) never ends in an error of ours', async () => {
    const page = await jamie.signIn(await jamie.open((await app.begin()).url))
    const uid = page.url.pathname.split('/')[2]!
    await jamie.press(page, 'Allow')

    const back = await jamie.open(`/auth/${uid}`)

    expectAWayOn(back)
    expect(back.status).toBe(410)
    expect(back.text).toContain('This page has expired')
  })

  test('to the authorization request itself starts it anew', async () => {
    const pending = await app.begin()
    await app.finish((await allow(await jamie.signIn(await jamie.open(pending.url)))).away!, pending)

    const again = await jamie.open(pending.url)

    expect(again.away!.searchParams.has('code')).toBe(true)
  })

  test('to where a form was sent leads to its page', async () => {
    const signIn = await jamie.open((await app.begin()).url)

    const page = await jamie.open(`${signIn.url.pathname}/login`)

    expect(page.title).toBe('Sign in · Valetkey')
    expect(page.url.pathname).toBe(signIn.url.pathname)
  })

  test('to a form of the step before shows the step that is due', async () => {
    const page = await jamie.signIn(await jamie.open((await app.begin()).url))

    const sent = await jamie.post(`${page.url.pathname}/login`, {
      csrf: 'x',
      email: jamie.email,
      password: PASSWORD,
    })

    expect(sent.title).toContain('wants access')
  })
})

describe('a request that is over', () => {
  test.each(['show', 'send'])('an hour later: to %s its page says that it has expired', async (how) => {
    const page = await jamie.signIn(await jamie.open((await app.begin()).url))

    const late = await atTime(61 * 60, () =>
      how === 'show' ? jamie.open(page.url) : jamie.press(page, 'Allow'),
    )

    expect(late.status).toBe(410)
    expect(late.text).toContain('This page has expired')
    expect(late.text).toContain('start again from there')
    expectAWayOn(late)
  })

  test('an address that was copied to another browser shows nothing of it', async () => {
    const page = await jamie.signIn(await jamie.open((await app.begin()).url))

    const copied = await (await server.person('Robin')).open(page.url)

    expect(copied.status).toBe(410)
    expect(copied.text).not.toContain(jamie.email)
    expectAWayOn(copied)
  })

  test.each(['nothing-known', '..%2F..', '%00', "x'--", 'x'.repeat(2000)])(
    'an address that never was (%s) gets a page',
    async (uid) => {
      const page = await jamie.open(`/interaction/${uid}`)

      expect(page.status).toBeGreaterThanOrEqual(400)
      expect(page.status).toBeLessThan(500)
      expect(page.title).toMatch(/Valetkey$/)
    },
  )

  test('an interaction of another tab may not be posted to with this tab’s form', async () => {
    const [first, second] = [
      await jamie.open((await app.begin()).url),
      await jamie.open((await app.begin()).url),
    ]
    const csrf = /name="csrf" value="([^"]*)"/.exec(first.html)![1]!

    const crossed = await jamie.post(`${second.url.pathname}/login`, {
      csrf,
      email: jamie.email,
      password: PASSWORD,
    })

    expect(crossed.status).toBe(403)
    expect(crossed.text).toContain('Please send the form again')
  })
})

function allow(page: Page): Promise<Page> | Page {
  return page.title.includes('wants access') ? jamie.press(page, 'Allow') : page
}

async function tokensOf({ id }: Person): Promise<number> {
  const rows = await many(
    server.db,
    sql`select from tokens t join grants g on g.id = t.grant_id where g.user_id = ${id}`,
  )
  return rows.length
}

/** Sends the page's one form as it stands. */
function sendOnlyForm(page: Page): Promise<Page> {
  const button = /<(?:button|input)[^>]*type="submit"[^>]*?(?:value="([^"]*)")?[^>]*>([^<]*)/.exec(page.html)
  return jamie.press(page, (button?.[2] || button?.[1] || 'Continue').trim())
}

/** At the app, or on a page that leads on. */
function expectAWayOn(page: Page): void {
  expect(page.status).toBeLessThan(500)
  if (page.away) {
    expect(page.away.origin).toBe('https://printer.example')
    return
  }
  expect(page.title).toMatch(/Valetkey$/)
  expect(page.html).toMatch(/<(a|form)\b/)
}
