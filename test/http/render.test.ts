// Every view, with words in it: what a person reads, what a form sends, and what must never be in a page.
import { readdir, readFile } from 'node:fs/promises'
import type { Server } from 'node:http'
import type { AddressInfo } from 'node:net'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, test } from '@jest/globals'
import Koa from 'koa'
import { createRender, type PageUser } from '../../src/http/render.ts'
import { when } from '../../src/http/time.ts'

const VIEWS_DIR = join(import.meta.dirname, '../../views')

const brand = { name: 'Example Cloud', logoUrl: undefined, accent: '#1f5eff', supportAddress: undefined }
const user: PageUser = { name: 'Jamie Doe', email: 'you@example.com', role: 'user' }
const app = {
  id: 'c_1',
  name: 'Photo Printer',
  initial: 'P',
  tint: 3,
  host: 'photoprinter.example',
  chip: 'unverified',
  chip_text: 'Not verified',
}
const now = new Date('2026-11-22T14:00:00Z')
const allowed = when(new Date('2026-05-03T09:07:00Z'), now)
const lastUsed = when(new Date('2026-11-22T13:56:00Z'), now)

const login = {
  app,
  action: '/in',
  abort_action: '/stop',
  csrf: 'c5',
  values: { email: 'a@b.example' },
  errors: {},
}
const consent = {
  app,
  action: '/yes',
  abort_action: '/no',
  other_account_action: '/other',
  csrf: 'c5',
  account: { email: 'you@example.com', name: 'Jamie Doe' },
  sign_in_scopes: [{ sentence: 'Know who you are', detail: 'Your name and email address' }],
  scopes: [
    row('photos.read', 'Look at your photos', 'It cannot change them', { is_new: true, checked: true }),
    row('prints.order', 'Order prints for you', 'Spends money from your account', { dangerous: true }),
  ],
  keep: [
    { value: 'always', label: 'Until I remove it', selected: false },
    { value: '30', label: 'For 30 days', selected: true },
  ],
  redirect_host: 'photoprinter.example',
  errors: {},
}
const device = (id: string, label: string, current = false) => {
  return { id, label, last_used: lastUsed, current, remove_href: `/account/devices/${id}` }
}
const entry = {
  app,
  sentences: ['Know who you are: name, email', 'Look at your photos'],
  allowed,
  last_used: lastUsed,
  ends: when(new Date('2027-05-09T00:00:00Z'), now),
  unused: 'Unused for 7 months',
  devices: [device('d1', 'Chrome on Linux', true), device('d2', 'iPhone')],
  remove_href: '/account/apps/c_1/remove',
}
const confirm = {
  user,
  csrf: 'c5',
  action: '/account/apps/c_1/remove',
  heading: 'Remove Photo Printer?',
  app,
  will: ['Its access ends at once.'],
  will_not: ['Nobody else loses it.'],
  stays: ['What it already saved is not deleted.'],
  errors: {},
  confirm_label: 'Remove access',
  cancel_href: '/account/apps',
}
const events = [
  {
    text: 'You signed in',
    detail: 'With your password',
    at: lastUsed,
    from: '203.0.113.7',
    device: 'iPhone',
    tone: 'info',
  },
  { text: 'A wrong password was tried', at: allowed, tone: 'warning' },
]
const profile = {
  user,
  csrf: 'c5',
  values: { name: 'Jamie Doe' },
  email: user.email,
  errors: {},
  done: 'Your name is saved.',
}
const VIEWS: [view: string, locals: object][] = [
  ['protocol/login', login],
  ['protocol/consent', consent],
  ['protocol/logout', { action: '/end', xsrf: 'x7', app_name: 'Photo Printer' }],
  [
    'message',
    { heading: 'You are signed out', text: 'See you.', tone: 'good', link: { href: '/', label: 'Back' } },
  ],
  [
    'error',
    { status: 404, heading: 'No such page', text: 'Go back.', code: 'not_found', request_id: 'r-12' },
  ],
  ['account/reset', { action: '/reset/t', csrf: 'c5', email: 'you@example.com', errors: {} }],
  ['account/setup', { action: '/setup/t', csrf: 'c5', values: { email: '', name: '' }, errors: {} }],
  ['account/profile', profile],
  ['account/apps', { user, csrf: 'c5', apps: [entry, entry], remove_all_href: '/account/apps/remove' }],
  ['account/confirm', confirm],
  ['account/activity', { user, csrf: 'c5', events, older_href: '/account/activity?before=9' }],
]

let server: Server
let origin: string
let next: [view: string, locals: object, status?: number, state?: object, look?: object]

beforeAll(async () => {
  const koa = new Koa()
  koa.use((ctx) => {
    const [view, locals, status, state, look] = next
    Object.assign(ctx.state, state)
    createRender({ brand: { ...brand, ...look }, version: '9.8.7' })(ctx, view, locals, status)
  })
  koa.silent = true
  server = koa.listen(0, '127.0.0.1')
  await new Promise((done) => server.once('listening', done))
  origin = `http://127.0.0.1:${(server.address() as AddressInfo).port}`
})

afterAll(() => new Promise((done) => server.close(done)))

describe.each(VIEWS)('%s', (view, locals) => {
  test('is one page: a title, one h1, one main, a language', async () => {
    const html = await page([view, locals])

    expect(html).toMatch(/^<!DOCTYPE html><html lang="en">/)
    expect(html).toMatch(/<title>.+ · Example Cloud<\/title>/)
    expect(html.match(/<h1[ >]/g)).toHaveLength(1)
    expect(html.match(/<main[ >]/g)).toHaveLength(1)
    expect(html).not.toContain('undefined')
  })

  test('needs no inline style, script or handler', async () => {
    const html = await page([view, locals])

    expect(html).not.toMatch(/<script|<style|<[^>]+\s(style|on[a-z]+)=|javascript:/i)
    expect(html.match(/<link rel="stylesheet" href="\/assets\/\w+\.css\?v=[\w-]{16}">/g)).toHaveLength(3)
  })

  test('speaks no jargon', async () => {
    const words = text(await page([view, locals]))

    expect(words).not.toMatch(/\b(tokens?|grants?|scopes?|clients?|authori[sz]\w*)\b/i)
  })

  test('has a different id for each thing, and a thing for each id it points at', async () => {
    const html = await page([view, locals])
    const ids = [...html.matchAll(/ id="([^"]+)"/g)].map((match) => match[1]!)
    const pointers = [...html.matchAll(/ (?:for|form|aria-describedby|aria-labelledby)="([^"]+)"/g)]

    expect(new Set(ids).size).toBe(ids.length)
    for (const [, list] of pointers) for (const id of list!.split(' ')) expect(ids).toContain(id)
  })
})

test('a view fills only blocks that its layouts have', async () => {
  const views = (await readdir(VIEWS_DIR, { recursive: true })).filter((name) => name.endsWith('.pug'))
  const texts = new Map(
    await Promise.all(
      views.map(async (name) => [`/${name}`, await readFile(join(VIEWS_DIR, name), 'utf8')] as const),
    ),
  )

  for (const [name, text] of texts) {
    const layout = layoutOf(text)
    if (!layout) continue
    const has = blocksOfLayouts(texts, layout)
    const filled = [...text.matchAll(/^block ([\w-]+)/gm)].map(([, block]) => block)
    expect([name, filled.filter((block) => !has.has(block!))]).toEqual([name, []])
  }
})

describe('an answer', () => {
  test('is HTML, is never stored, and has the status the handler names', async () => {
    next = ['message', { heading: 'Hello', text: 'There', tone: 'info' }, 422]
    const answer = await fetch(`${origin}/x`)

    expect(answer.status).toBe(422)
    expect(answer.headers.get('content-type')).toBe('text/html; charset=utf-8')
    expect(answer.headers.get('cache-control')).toBe('no-store')
  })

  test('is 200 when none is named', async () => {
    next = ['message', { heading: 'Hello', text: 'There', tone: 'info' }]

    expect((await fetch(origin)).status).toBe(200)
  })

  test('escapes what others chose', async () => {
    const evil = { ...app, name: '<img src=x onerror=alert(1)>', host: '"><script>', initial: '<' }
    const html = await page(['protocol/consent', { ...consent, app: evil }])

    expect(html).not.toMatch(/<img src=x|<script/)
    expect(html).toContain('&lt;img src=x onerror=alert(1)&gt; wants access to your account')
  })

  test('takes the person and the form key from ctx.state, unless the handler names others', async () => {
    const state = { user: { ...user, email: 'state@example.com' }, csrf: 'from-state' }
    const locals = { values: { name: '' }, email: '', errors: {} }

    const html = await page(['account/profile', locals, 200, state])
    const own = await page(['account/profile', { ...locals, user, csrf: 'own' }, 200, state])

    expect(html).toContain('state@example.com')
    expect(hidden(html, 'csrf')).toEqual(['from-state', 'from-state'])
    expect(own).toContain('you@example.com')
    expect(hidden(own, 'csrf')).toEqual(['own', 'own'])
  })

  test('fails as an error of the server when there is no such view', async () => {
    next = ['no/such/view', {}]

    expect((await fetch(origin)).status).toBe(500)
  })
})

describe('the brand', () => {
  test('shows its logo where it has one, and where to ask for help', async () => {
    const look = { logoUrl: 'https://cdn.example/logo.png', supportAddress: 'help@example.com' }
    const html = await page(['protocol/login', login, 200, {}, look])

    expect(html).toContain('src="https://cdn.example/logo.png" alt=""')
    expect(html).toContain('<a href="mailto:help@example.com">help@example.com</a>')
  })

  test('may name a page instead of an address', async () => {
    const html = await page([
      'message',
      VIEWS[3]![1],
      200,
      {},
      { supportAddress: 'https://example.com/help' },
    ])

    expect(html).toContain('<a href="https://example.com/help">example.com/help</a>')
  })

  test('tells its version to administrators only', async () => {
    const account = { csrf: 'c5', apps: [] }

    expect(await page(['account/apps', { ...account, user }])).not.toContain('9.8.7')
    expect(await page(['account/apps', { ...account, user: { ...user, role: 'admin' } }])).toContain(
      'Valetkey 9.8.7',
    )
  })
})

describe('a form with mistakes', () => {
  const errors = { form: undefined, email: 'Enter your email address.', password: 'Enter your password.' }
  const wrong: typeof next = ['protocol/login', { ...login, values: { email: 'nobody' }, errors }, 422]

  test('says so first in its title', async () => {
    expect(await page(wrong)).toContain('<title>Error: Sign in · Example Cloud</title>')
    expect(await page(['protocol/login', login])).toContain('<title>Sign in · Example Cloud</title>')
  })

  test('starts with a summary that gets the focus and leads to each field', async () => {
    const html = await page(wrong)

    expect(html).toMatch(/<div class="notice danger" role="alert" tabindex="-1" autofocus>/)
    expect(html).toContain('<a href="#email">Enter your email address.</a>')
    expect(html.match(/autofocus/g)).toHaveLength(1)
  })

  test('ties each mistake to its field and keeps the text, but never a password', async () => {
    const html = await page(wrong)
    const email = input(html, 'email')

    expect(email).toContain('value="nobody"')
    expect(email).toContain('aria-invalid="true"')
    expect(email).toContain('aria-describedby="email-error"')
    expect(html).toMatch(/<p class="wrong" id="email-error">.*?Enter your email address\.<\/span><\/p>/)
    expect(input(html, 'password')).not.toContain('value=')
  })

  test('that belongs to no field is one sentence', async () => {
    const html = await page(['protocol/login', { ...login, errors: { form: 'Try again in 5 minutes.' } }])

    expect(html).toContain('<p>Try again in 5 minutes.</p>')
    expect(text(html)).not.toContain('Please correct')
    expect(input(html, 'email')).not.toContain('aria-invalid')
  })
})

describe('sign in', () => {
  test('names the app, promises what it never sees, and can be cancelled', async () => {
    const html = await page(['protocol/login', login])

    expect(text(html)).toContain('to continue to Photo Printer')
    expect(text(html)).toContain('Photo Printer never sees your password.')
    expect(html).toMatch(
      /<form id="abort" method="post" action="\/stop"><input type="hidden" name="csrf" value="c5">/,
    )
    expect(input(html, 'email')).toContain('autocomplete="username"')
    expect(input(html, 'password')).toContain('autocomplete="current-password"')
  })

  test('stands without an app, and then there is nothing to cancel', async () => {
    const html = await page(['protocol/login', { ...login, app: undefined, abort_action: undefined }])

    expect(text(html)).not.toMatch(/never sees|Cancel|to continue to/)
  })
})

describe('consent', () => {
  test('ticks what was ticked, fixes who you are, and marks what is new', async () => {
    const html = await page(['protocol/consent', consent])
    const boxes = [...html.matchAll(/<input[^>]+type="checkbox"[^>]*>/g)].map(([box]) => box)

    expect(boxes).toHaveLength(3)
    expect(boxes[0]).toMatch(/checked.*disabled/)
    expect(boxes[0]).not.toContain('name=')
    expect(boxes[1]).toMatch(/name="scope" value="photos\.read" checked/)
    expect(boxes[2]).toMatch(/name="scope" value="prints\.order"/)
    expect(boxes[2]).not.toContain('checked')
    expect(text(html)).toContain('Look at your photos New')
    expect(html).toMatch(/class="costs".*Spends money from your account/s)
  })

  test('gives each thing that belongs to signing in a row of its own, which cannot be unticked', async () => {
    const several = [
      { sentence: 'Know who you are', detail: 'Your name' },
      { sentence: 'Stay connected', detail: '' },
    ]
    const html = await page(['protocol/consent', { ...consent, sign_in_scopes: several }])

    expect(html.match(/type="checkbox" checked disabled/g)).toHaveLength(2)
    expect(text(html)).toContain('Know who you are Your name Stay connected')
  })

  test('says what it means that an app is not verified, and nothing of one that is', async () => {
    const verified = { ...consent.app, chip: 'verified', chip_text: 'Verified' }

    expect(text(await page(['protocol/consent', consent]))).toContain('nobody at Example Cloud has checked')
    expect(text(await page(['protocol/consent', { ...consent, app: verified }]))).not.toContain('has checked')
  })

  test('stands when only things about you are asked for, or none of them', async () => {
    const less = await page(['protocol/consent', { ...consent, scopes: [], keep: [] }])
    const none = await page(['protocol/consent', { ...consent, sign_in_scopes: [] }])

    expect(less).not.toContain('name="scope"')
    expect(less).not.toContain('name="keep"')
    expect(text(none)).not.toContain('Know who you are')
  })

  test('says who is signed in, how long, where it leads, and offers three ways on', async () => {
    const html = await page(['protocol/consent', consent])

    expect(text(html)).toContain('Signed in as you@example.com')
    expect(text(html)).toContain('You will go to photoprinter.example.')
    expect(html).toMatch(/<option value="30" selected>For 30 days<\/option>/)
    expect([...html.matchAll(/<form[^>]*action="([^"]+)"/g)].map((match) => match[1])).toEqual([
      '/other',
      '/yes',
      '/no',
    ])
    expect(hidden(html, 'csrf')).toEqual(['c5', 'c5', 'c5'])
  })

  test('shows an app by its logo where it has one', async () => {
    const html = await page([
      'protocol/consent',
      { ...consent, app: { ...app, logo_uri: 'https://cdn.example/p.png' } },
    ])

    expect(html).toContain('src="https://cdn.example/p.png"')
    expect(html).not.toContain('tint-3')
  })
})

test('sign out has two answers, and only one of them says yes', async () => {
  const html = await page(['protocol/logout', { action: '/end', xsrf: 'x7' }])

  expect(hidden(html, 'xsrf')).toEqual(['x7', 'x7'])
  expect(html.match(/<button[^>]*name="logout" value="yes">Sign out<\/button>/g)).toHaveLength(1)
  expect(html).toMatch(/<button[^>]*>Stay signed in<\/button>/)
})

test('an error says its number to give when asking for help, and its code', async () => {
  const html = await page(['error', VIEWS[4]![1], 404])

  expect(html).toContain('<title>Error: No such page · Example Cloud</title>')
  expect(html).toContain('<code>r-12</code>')
  expect(text(html)).toContain('404 not_found')
})

describe('apps with access', () => {
  test('says of each app what it may do, since when, used when, until when, and where', async () => {
    const html = await page(['account/apps', { user, csrf: 'c5', apps: [entry] }])

    expect(text(html)).toContain(
      'Photo Printer Not verified Unused for 7 months photoprinter.example Remove access',
    )
    expect(text(html)).toContain('Allowed 3 May 2026 · last used 4 minutes ago · access ends 9 May 2027')
    expect(html).toContain(
      '<time datetime="2026-05-03T09:07:00.000Z" title="3 May 2026, 09:07 UTC">3 May 2026</time>',
    )
    expect(text(html)).toContain('2 devices : Chrome on Linux, iPhone Chrome on Linux This device')
    expect(html).toContain('aria-label="Remove iPhone from Photo Printer"')
    expect(html).toContain('href="/account/apps/c_1/remove"')
  })

  test('offers to remove all only where there are several', async () => {
    const locals = { user, csrf: 'c5', remove_all_href: '/account/apps/remove' }

    expect(await page(['account/apps', { ...locals, apps: [entry] }])).not.toContain('Remove all')
    expect(await page(['account/apps', { ...locals, apps: [entry, entry] }])).toContain('Remove all')
  })

  test('says what was done, and that no app is left', async () => {
    const done = { heading: 'Photo Printer no longer has access', lines: ['It was signed out on 2 devices.'] }
    const html = await page(['account/apps', { user, csrf: 'c5', apps: [], done }])

    expect(html).toContain('role="status"')
    expect(text(html)).toContain('Photo Printer no longer has access It was signed out on 2 devices.')
    expect(text(html)).toContain('No app has access to your account')
  })
})

test('a confirmation says what will happen, what will not and what stays, and has a way back', async () => {
  const html = await page(['account/confirm', confirm])

  expect(text(html)).toContain('What will happen Its access ends at once.')
  expect(text(html)).toContain('What will not happen Nobody else loses it.')
  expect(text(html)).toContain('What stays as it is What it already saved is not deleted.')
  expect(html).toMatch(/<form method="post" action="\/account\/apps\/c_1\/remove" novalidate>/)
  expect(html).toMatch(/<a class="button quiet" href="\/account\/apps">Cancel<\/a>/)
})

test.each([
  ['/account', '/account', 'page'],
  ['/account/password', '/account', 'true'],
  ['/account/apps', '/account/apps', 'page'],
  ['/account/apps/c_1/remove', '/account/apps', 'true'],
  ['/account/activity', '/account/activity', 'page'],
  ['/admin/clients', '/admin/clients', 'page'],
  ['/admin/clients/c_1', '/admin/clients', 'true'],
  ['/admin/registration-tokens', '/admin/clients', 'true'],
  ['/admin/jobs', '/admin/consents', 'true'],
])('on %s the side list marks %s', async (path, href, value) => {
  const html = await page([path.startsWith('/admin') ? 'admin/confirm' : 'account/confirm', confirm], path)
  const marked = [...html.matchAll(/<a href="([^"]+)" aria-current="([^"]+)"/g)].map((match) => [
    match[1],
    match[2],
  ])

  expect(marked).toEqual([[href, value]])
})

test('activity says what, when, on which device and from where', async () => {
  const html = await page(['account/activity', { user, csrf: 'c5', events }])

  expect(text(html)).toContain('You signed in With your password 4 minutes ago · iPhone · from 203.0.113.7')
  expect(text(html)).toContain('A wrong password was tried 3 May 2026')
})

async function page(what: typeof next, path = '/page'): Promise<string> {
  next = what
  const answer = await fetch(origin + path)
  return answer.text()
}

/** What a person reads: no tags, no attributes, single spaces. */
function text(html: string): string {
  return html
    .replace(/<head>.*<\/head>/s, '')
    .replace(/<\/?(strong|span|b|time|a|code)\b[^>]*>/g, '')
    .replace(/<[^>]+>/g, ' ')
    .replace(/\s+/g, ' ')
}

function input(html: string, name: string): string {
  return html.match(new RegExp(`<input[^>]* name="${name}"[^>]*>`))![0]
}

function hidden(html: string, name: string): string[] {
  return [...html.matchAll(new RegExp(`<input type="hidden" name="${name}" value="([^"]*)">`, 'g'))].map(
    (m) => m[1]!,
  )
}

function row(name: string, sentence: string, detail: string, marks: object) {
  return { name, sentence, detail, dangerous: false, is_new: false, checked: false, ...marks }
}

function layoutOf(text: string): string | undefined {
  return /^extends (\S+)/m.exec(text)?.[1]
}

// The blocks of a layout, and of the layouts that it extends.
function blocksOfLayouts(texts: Map<string, string>, layout: string): Set<string> {
  const text = texts.get(layout)!
  const above = layoutOf(text)
  const own = [...text.matchAll(/^\s*block ([\w-]+)/gm)].map(([, block]) => block!)
  return new Set([...own, ...(above ? blocksOfLayouts(texts, above) : [])])
}
