// The pages of one's own account: which apps have access, on which devices, taking it back, and what happened.
import { afterAll, beforeAll, beforeEach, describe, expect, test } from '@jest/globals'
import { many, run, sql } from '../../src/db/pool.ts'
import {
  type App,
  atTime,
  PASSWORD,
  type Page,
  type Person,
  type ServerFixture,
  startServerFixture,
} from '../support/flow.ts'

const FORGED = { 'Sec-Fetch-Site': 'cross-site', Origin: 'https://evil.example' }

let server: ServerFixture
let app: App
let jamie: Person
beforeAll(async () => {
  server = await startServerFixture()
  app = await server.app()
})
afterAll(() => server.stop())
beforeEach(async () => {
  jamie = await server.person('Jamie')
})

describe('somebody who is not signed in', () => {
  test.each(['/account', '/account/apps', '/account/activity', '/account/apps/remove-all'])(
    'signs in first and is then where they wanted to be: %s',
    async (path) => {
      await connectTwoApps()
      await jamie.press(await jamie.open('/session/end'), 'Sign out')

      const signIn = await jamie.open(path)
      expect(signIn.title).toBe('Sign in · Valetkey')
      expect(signIn.text).not.toContain('to continue to')
      const page = await jamie.signIn(signIn)

      expect(page.status).toBe(200)
      expect(page.url.pathname).toBe(path)
    },
  )

  test('and sends a form is shown the account afterwards, and nothing has changed', async () => {
    const tokens = await app.connect(jamie)

    const page = await jamie.elsewhere().post(`/account/apps/${app.id}/remove`, {})

    expect(page.title).toBe('Sign in · Valetkey')
    expect((await app.introspect(tokens.access_token)).active).toBe(true)
  })
})

describe('apps with access', () => {
  test('are told with all that matters: name, host, what they may do, since when, on which devices', async () => {
    await app.connect(jamie, {}, { keep: 'month' })
    await app.connect(jamie.elsewhere())

    const page = await jamie.open('/account/apps')

    expect(page.text).toContain('Photo Printer Not verified printer.example')
    expect(page.text).toContain('Know who you are: your name and email address')
    expect(page.text).toContain('Look at your photos')
    expect(page.text).not.toContain('Order prints')
    expect(page.text).toContain('Allowed just now')
    expect(page.text).toContain('last used just now')
    expect(page.text).toContain('access ends')
    expect(page.text).toContain('2 devices')
    expect(page.text).toMatch(/Firefox on Linux This device/)
    expect(page.text).toContain('Safari on iPhone')
  })

  test('that were not used for long say so', async () => {
    await app.connect(jamie)
    await run(
      server.db,
      sql`update grants set last_used_at = now() - interval '200 days' where user_id = ${jamie.id}`,
    )

    expect((await jamie.open('/account/apps')).text).toContain('Unused for 6 months')
  })

  test('are nobody else’s business', async () => {
    await app.connect(jamie)
    const robin = await server.person('Robin')

    expect((await robin.account('/account/apps')).text).toContain('No app has access to your account')
    for (const path of [
      `/account/apps/${app.id}/remove`,
      '/account/apps/remove-all',
      '/account/apps/nobody/remove',
    ]) {
      expect((await robin.open(path)).status).toBe(404)
    }
  })
})

describe('removing', () => {
  test('an app: the page before says what will happen, the one after what has', async () => {
    const here = await app.connect(jamie)
    const there = await app.connect(jamie.elsewhere())

    const confirm = await jamie.open(`/account/apps/${app.id}/remove`)
    expect(confirm.text).toContain('Remove access for Photo Printer?')
    expect(confirm.text).toContain('from the moment you press the button')
    expect(confirm.text).toContain('This ends its access on all 2 devices.')
    expect((await app.introspect(here.access_token)).active).toBe(true)
    const page = await jamie.press(confirm, 'Remove access')

    expect(page.url.pathname).toBe('/account/apps')
    expect(page.text).toContain('Photo Printer has no access any more. Its access ended on 2 devices.')
    expect(page.text).toContain('No app has access to your account')
    for (const { access_token, refresh_token } of [here, there]) {
      expect(await app.introspect(access_token)).toEqual({ active: false })
      expect((await app.refresh(refresh_token)).body.error).toBe('invalid_grant')
    }
    const [event] = await server.events({ type: 'app.removed', user_id: jamie.id })
    expect(event).toMatchObject({
      actor_type: 'user',
      actor_id: jamie.id,
      client_id: app.id,
      data: { grants: 2 },
    })
    // Told once.
    expect((await jamie.open('/account/apps')).text).not.toContain('has no access any more')
  })

  test('an app, then using it again: it must ask again', async () => {
    await app.connect(jamie)
    await jamie.press(await jamie.open(`/account/apps/${app.id}/remove`), 'Remove access')

    const page = await jamie.open((await app.begin()).url)

    expect(page.title).toContain('wants access')
  })

  test('one device leaves the other, and asks nothing when that device comes back', async () => {
    const phone = jamie.elsewhere()
    const here = await app.connect(jamie)
    const there = await app.connect(phone)
    const list = await jamie.open('/account/apps')

    const confirm = await jamie.open(removeLink(list, 'Safari on iPhone'))
    expect(confirm.text).toContain('Remove access for Photo Printer on Safari on iPhone?')
    expect(confirm.text).toContain('On your other devices it goes on.')
    const page = await jamie.press(confirm, 'Remove this device')

    expect(page.text).toContain('Photo Printer has no access on Safari on iPhone any more.')
    expect(page.text).toContain('1 device')
    expect(await app.introspect(there.access_token)).toEqual({ active: false })
    expect((await app.refresh(there.refresh_token)).body.error).toBe('invalid_grant')
    expect((await app.introspect(here.access_token)).active).toBe(true)
    expect((await phone.open((await app.begin()).url)).away!.searchParams.has('code')).toBe(true)
  })

  test('a device twice says that there is nothing', async () => {
    await app.connect(jamie)
    const confirm = await jamie.open(removeLink(await jamie.open('/account/apps'), 'Firefox on Linux'))
    await jamie.press(confirm, 'Remove this device')

    const again = await jamie.press(confirm, 'Remove this device')

    expect(again.status).toBe(404)
    expect(again.text).toContain('no access')
  })

  test('all apps at once', async () => {
    const tokens = await connectTwoApps()
    const list = await jamie.open('/account/apps')
    expect(list.html).toContain('href="/account/apps/remove-all"')

    const confirm = await jamie.open('/account/apps/remove-all')
    expect(confirm.text).toContain('Remove access for all 2 apps?')
    const page = await jamie.press(confirm, 'Remove all')

    expect(page.text).toContain('No app has access to your account any more.')
    expect(page.text).toContain('Photo Printer: its access ended on 1 device.')
    expect(page.text).toContain('Second App: its access ended on 1 device.')
    for (const [owner, token] of tokens) expect(await owner.introspect(token)).toEqual({ active: false })
    expect(await server.events({ type: 'app.removed', user_id: jamie.id })).toHaveLength(2)
    expect((await jamie.open('/account')).title).toBe('Profile · Valetkey')
  })

  test('an app twice, as from two tabs, says that there is nothing left', async () => {
    await app.connect(jamie)
    const confirm = await jamie.open(`/account/apps/${app.id}/remove`)
    await jamie.press(confirm, 'Remove access')

    const again = await jamie.press(confirm, 'Remove access')

    expect(again.status).toBe(404)
    expect(again.text).toContain('That app has no access to your account.')
  })
})

test('activity tells what happened, newest first, and from where', async () => {
  await app.connect(jamie)
  await jamie.press(await jamie.open((await app.begin({ prompt: 'consent' })).url), 'Don’t allow')
  await jamie.press(await jamie.open(`/account/apps/${app.id}/remove`), 'Remove access')
  await jamie.press(await jamie.open('/session/end'), 'Sign out')
  const signIn = await jamie.open('/account/activity')
  await jamie.signIn(signIn, 'not the password')

  const page = await jamie.signIn(signIn)

  const order = [
    'You signed in',
    'Somebody tried to sign in with a wrong password',
    'You signed out',
    'You removed Photo Printer',
    'You did not allow Photo Printer',
    'You allowed Photo Printer to use your account',
    'You signed in to use Photo Printer',
    'Your account was created',
  ]
  const places = order.map((words) => page.text.indexOf(words))
  expect(places).toEqual([...places].sort((a, b) => a - b))
  expect(places).not.toContain(-1)
  expect(page.text).toContain('Firefox on Linux · from 127.0.0.1')
})

test('activity goes back page by page', async () => {
  await run(
    server.db,
    sql`insert into audit_events (type, actor_type, actor_id, user_id)
        select 'user.renamed', 'user', ${jamie.id}::text, ${jamie.id}::uuid from generate_series(1, 45)`,
  )

  const first = await jamie.account('/account/activity')
  const older = /href="(\/account\/activity\?before=\d+)"/.exec(first.html)![1]!
  const second = await jamie.open(older)

  expect(first.text).not.toContain('Your account was created')
  expect(second.text).toContain('Your account was created')
  expect(second.html).not.toContain('?before=')
})

describe('the profile', () => {
  test('takes a new name, and tells apps', async () => {
    const page = await jamie.press(await jamie.account(), 'Save name', { name: '  Jamie <b>Doe</b> ' })

    expect(page.url.pathname).toBe('/account')
    expect(page.text).toContain('Your name was changed.')
    expect(page.html).toContain('value="Jamie &lt;b&gt;Doe&lt;/b&gt;"')
    const { claims } = await app.connect(jamie)
    expect(claims()!.name).toBe('Jamie <b>Doe</b>')
    expect(await server.events({ type: 'user.renamed', user_id: jamie.id })).toHaveLength(1)
  })

  test.each([
    ['', 'Enter your name.'],
    ['x'.repeat(201), 'Use at most 200 characters.'],
  ])('refuses the name %j and keeps what was typed', async (name, words) => {
    const page = await jamie.press(await jamie.account(), 'Save name', { name })

    expect(page.status).toBe(422)
    expect(page.text).toContain(words)
  })

  test('takes a new password: the other sessions end, this one stays, the apps keep their access', async () => {
    const tokens = await app.connect(jamie)
    const phone = jamie.elsewhere()
    await phone.account()
    const old = jamie.cookie('_session')

    const page = await changePassword(PASSWORD, 'seven dry umbrellas')

    expect(page.text).toContain('Your password was changed. You were signed out everywhere else.')
    expect((await jamie.open('/account')).title).toBe('Profile · Valetkey')
    expect((await phone.open('/account')).title).toBe('Sign in · Valetkey')
    expect((await phone.signIn(await phone.open('/account'))).status).toBe(422)
    expect((await phone.signIn(await phone.open('/account'), 'seven dry umbrellas')).title).toBe(
      'Profile · Valetkey',
    )
    expect((await app.introspect(tokens.access_token)).active).toBe(true)
    expect(old).toBeDefined()
    expect(await server.events({ type: 'password.changed', user_id: jamie.id })).toHaveLength(1)
  })

  test('is told the same when the form that set the new password comes again, for a while', async () => {
    await jamie.account()
    await changePassword(PASSWORD, 'seven dry umbrellas')

    const again = await changePassword(PASSWORD, 'seven dry umbrellas')

    expect(again.text).toContain('Your password was changed.')
    expect(await server.events({ type: 'password.changed', user_id: jamie.id })).toHaveLength(1)
    expect(await server.events({ type: 'password.change_failed', user_id: jamie.id })).toEqual([])
    expect((await changePassword(PASSWORD, 'another umbrella')).status).toBe(422)
    await atTime(11 * 60, async () => {
      expect((await changePassword(PASSWORD, 'seven dry umbrellas')).status).toBe(422)
    })
  })

  test.each([
    ['a wrong current one', 'wrong', 'seven dry umbrellas', 'That is not your current password.'],
    ['a short new one', PASSWORD, 'short', 'Use at least 8 characters.'],
    ['a long new one', PASSWORD, 'x'.repeat(257), 'Use at most 256 characters.'],
  ])('refuses %s', async (_, current, next, words) => {
    await jamie.account()

    const page = await changePassword(current, next)

    expect(page.status).toBe(422)
    expect(page.text).toContain(words)
    expect(page.html).not.toContain(`value="${next}"`)
    expect(await server.events({ type: 'password.changed', user_id: jamie.id })).toEqual([])
  })

  async function changePassword(current_password: string, new_password: string): Promise<Page> {
    return jamie.press(await jamie.account(), 'Change password', { current_password, new_password })
  }
})

describe('a form that our pages did not send', () => {
  test.each([
    ['without its hidden field', {}, {}],
    ['with a made-up one', { csrf: 'AAAA' }, {}],
    ['from another site', { csrf: 'right' }, FORGED],
    ['from a page on a neighbouring host', { csrf: 'right' }, { 'Sec-Fetch-Site': 'same-site' }],
    ['with the one of another person', { csrf: 'foreign' }, {}],
  ])('%s is refused everywhere, and changes nothing', async (_, field: { csrf?: string }, headers) => {
    const tokens = await app.connect(jamie)
    const device = /devices\/([^/"]+)\/remove/.exec((await jamie.open('/account/apps')).html)![1]!
    const robin = await server.person('Robin')
    const fields: Record<string, string> = {}
    if (field.csrf === 'right') fields.csrf = csrfOf(await jamie.open('/account'))
    else if (field.csrf === 'foreign') fields.csrf = csrfOf(await robin.account())
    else if (field.csrf) fields.csrf = field.csrf
    const events = (await server.events({ user_id: jamie.id })).length

    for (const path of [
      '/account/name',
      '/account/password',
      `/account/apps/${app.id}/remove`,
      `/account/apps/${app.id}/devices/${device}/remove`,
      '/account/apps/remove-all',
    ]) {
      const page = await jamie.post(
        path,
        { ...fields, name: 'Mallory', current_password: PASSWORD, new_password: 'mallory was here' },
        headers,
      )
      expect([path, page.status]).toEqual([path, 403])
      expect(page.text).toContain('Please send the form again')
    }

    expect((await app.introspect(tokens.access_token)).active).toBe(true)
    expect((await jamie.open('/account')).html).toContain('value="Jamie"')
    expect((await server.events({ user_id: jamie.id })).length).toBe(events)
  })
})

test('one login session serves the apps and the account', async () => {
  await app.connect(jamie)

  expect((await jamie.open('/account')).title).toBe('Profile · Valetkey')
  const sessions = await many(server.db, sql`select from sessions where user_id = ${jamie.id}`)
  expect(sessions).toHaveLength(1)
})

async function connectTwoApps(): Promise<[App, string][]> {
  const second = await server.app({ name: 'Second App' })
  return [
    [app, (await app.connect(jamie)).access_token],
    [second, (await second.connect(jamie)).access_token],
  ]
}

function removeLink(page: Page, device: string): string {
  const link = [...page.html.matchAll(/<a[^>]*href="([^"]*\/devices\/[^"]*)"[^>]*>/g)].find(([tag]) =>
    tag.includes(device),
  )
  return link![1]!
}

function csrfOf(page: Page): string {
  return /name="csrf" value="([^"]*)"/.exec(page.html)![1]!
}
