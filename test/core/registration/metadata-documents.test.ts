// Apps whose client id is the address of a document (client ID metadata documents), over real HTTP and real https.
import { afterAll, beforeAll, describe, expect, test } from '@jest/globals'
import { SYSTEM } from '../../../src/base/audit-events.ts'
import { deleteClient, resumeClient, suspendClient } from '../../../src/core/clients/lifecycle.ts'
import { approveClient, verifyClient } from '../../../src/core/clients/review.ts'
import { findClient } from '../../../src/core/clients/store.ts'
import { unblockDocument } from '../../../src/core/registration/metadata-documents.ts'
import { many, maybe, one, run, sql } from '../../../src/db/pool.ts'
import { outsideFetch } from '../../../src/http/fetch.ts'
import { type DocumentHost, HOST, PRINTER, startDocumentHost } from '../../support/documents.ts'
import { App, type Person, type ServerFixture, startServerFixture } from '../../support/flow.ts'
import { untilPasses } from '../../support/patience.ts'
import { REDIRECT_CASES } from '../../support/registration.ts'
import { startApp } from '../../support/server.ts'

const ON = { CLIENT_ID_METADATA_DOCUMENTS: 'on' }
const ALL = ['openid', 'profile', 'email', 'offline_access', 'photos.read']
const CALLBACK = PRINTER.redirect_uris[0]!
const OPERATOR = { type: 'cli' } as const

let host: DocumentHost
let server: ServerFixture
let alice: Person
beforeAll(async () => {
  host = await startDocumentHost()
  server = await startServerFixture({ ...ON, DYNAMIC_REGISTRATION_SCOPES: ALL.join(',') }, host)
  alice = await server.person('Alice')
  await alice.account()
})
afterAll(async () => {
  await server?.stop()
  await host?.stop()
})
// All of them come from one address.
const forgiven = () => run(server.db, sql`delete from rate_limits where key like 'documents:%'`)

const appOf = (id: string, redirectUri = CALLBACK, origin = server.origin) =>
  new App(origin, id, undefined, redirectUri)
const open = async (id: string, params?: Record<string, string>, who = alice) =>
  who.open((await appOf(id).begin(params)).url)
const expire = (id: string, interval = '1 second') =>
  run(
    server.db,
    sql`update client_documents set fresh_until = now() - ${interval}::interval, retry_at = null
        where client_id = ${id}`,
  )
// What was changed past the server is announced to it.
const until = untilPasses
const rowOf = (id: string) => maybe(server.db, sql`select id from clients where id = ${id}`)

describe('an app that nobody has registered', () => {
  test('signs somebody in, is told as what it is, and can be removed', async () => {
    const id = host.put('/oauth/client.json', { ...PRINTER, scope: 'openid profile photos.read mcp:tools' })
    const app = appOf(id)
    const pending = await app.begin({ scope: 'openid profile photos.read' })

    const consent = await alice.open(pending.url)
    const back = await alice.press(consent, 'Allow')
    const tokens = await app.finish(back.away!, pending)

    expect(consent.title).toContain('Photo Printer wants access')
    expect(consent.text).toContain('Registered itself')
    expect(consent.text).toContain(HOST)
    expect(tokens.claims()).toMatchObject({ name: 'Alice', aud: id })
    const refreshed = await app.refresh(tokens.refresh_token)
    expect(refreshed.status).toBe(200)
    const seen = await (server as ServerFixture & { photos: App }).photos.introspect(
      refreshed.body.access_token,
    )
    expect(seen).toMatchObject({ active: true, client_id: id })
    expect(await findClient(server.db, id)).toMatchObject({
      type: 'spa',
      registered_by: 'itself',
      state: 'active',
      first_party: false,
      pkce_required: true,
      verified_at: null,
      scopes: ['openid', 'profile', 'photos.read'],
    })
    expect(host.lastHeaders()).not.toHaveProperty('cookie')
    expect(host.lastHeaders()).not.toHaveProperty('authorization')
    expect(await server.events({ type: 'client.registered', client_id: id })).toHaveLength(1)

    const apps = await alice.account('/account/apps')
    expect(apps.text).toContain(HOST)
    const path = `/account/apps/${encodeURIComponent(id)}/remove`
    expect(apps.html).toContain(path)
    const removal = await alice.open(path)
    const removed = await alice.press(removal, 'Remove access')
    expect(removed.text).toContain('Photo Printer')
    expect((await app.refresh(refreshed.body.refresh_token)).status).toBe(400)
  })

  test('is kept, and read again only when it is due', async () => {
    const id = host.put('/cached.json', PRINTER, { 'Cache-Control': 'max-age=3600' })

    await open(id)
    await open(id)
    const kept = await one<{ seconds: number }>(
      server.db,
      sql`select extract(epoch from fresh_until - fetched_at)::int as seconds from client_documents where client_id = ${id}`,
    )
    await expire(id)
    await open(id)

    expect(kept.seconds).toBe(3600)
    expect(host.asked('/cached.json')).toBe(2)
    expect(await server.events({ type: 'client.changed', client_id: id })).toHaveLength(0)
  })

  test.each([
    ['max-age=1', 300],
    ['no-store', 300],
    ['public, max-age=31536000', 86_400],
    ['max-age=nonsense', 300],
  ])('is believed between five minutes and a day: %s', async (cacheControl, seconds) => {
    const path = `/fresh-${seconds}-${cacheControl.length}.json`
    const id = host.put(path, PRINTER, { 'Cache-Control': cacheControl })

    await open(id)

    const kept = await one<{ seconds: number }>(
      server.db,
      sql`select extract(epoch from fresh_until - fetched_at)::int as seconds from client_documents where client_id = ${id}`,
    )
    expect(kept.seconds).toBe(seconds)
  })

  test('is read once, however many come with it at the same time, at two nodes', async () => {
    await forgiven()
    const id = host.put('/together.json', (_req, res) => {
      setTimeout(() => {
        res.writeHead(200, { 'Content-Type': 'application/json' })
        res.end(JSON.stringify({ client_id: id, ...PRINTER }))
      }, 200)
    })
    const other = await startApp({
      db: server.db,
      env: { ...ON, DYNAMIC_REGISTRATION_SCOPES: ALL.join(',') },
      fetchOutside: host.fetchOutside,
    })
    try {
      const nodes = [server.origin, other.origin]
      const urls = await Promise.all(
        Array.from({ length: 10 }, async (_, i) => (await appOf(id, CALLBACK, nodes[i % 2]).begin()).url),
      )

      const answers = await Promise.all(urls.map((url) => fetch(url, { redirect: 'manual' })))

      expect(answers.map(({ status }) => status)).toEqual(Array(10).fill(303))
      expect(host.asked('/together.json')).toBe(2)
      expect(await server.events({ type: 'client.registered', client_id: id })).toHaveLength(1)
    } finally {
      await other.stop()
    }
  })

  test('may push its request', async () => {
    await forgiven()
    const id = host.put('/pushed.json', PRINTER)
    const { url } = await appOf(id).begin()

    const pushed = await appOf(id).post('/par', Object.fromEntries(url.searchParams))

    expect(pushed.status).toBe(201)
    const page = await alice.open(
      `/auth?${new URLSearchParams({ client_id: id, request_uri: pushed.body.request_uri })}`,
    )
    expect(page.title).toContain('Photo Printer wants access')
  })

  test('on a device comes back to any port there', async () => {
    const id = host.put('/native.json', { ...PRINTER, redirect_uris: ['http://127.0.0.1/callback'] })

    const page = await open(id, { redirect_uri: 'http://127.0.0.1:53682/callback' })

    expect(page.title).toContain('Photo Printer wants access')
    expect(page.text).toContain(HOST)
    expect(page.text).toContain('an app on this device')
  })
})

describe('a document that changes', () => {
  test('in name, logo or host is shown to whoever allowed it before, and its badge is gone', async () => {
    await forgiven()
    const id = host.put('/changing.json', PRINTER)
    const app = appOf(id)
    await app.connect(alice)
    await verifyClient(server.db, id, OPERATOR)
    expect((await alice.open((await app.begin()).url)).away?.searchParams.get('code')).toBeTruthy()

    for (const change of [
      { client_name: 'Your Bank' },
      { logo_uri: 'https://printer.example/other.png' },
      { redirect_uris: [CALLBACK, 'https://evil.example/callback'] },
    ]) {
      host.put('/changing.json', { ...PRINTER, ...change })
      await expire(id)
      const page = await alice.open((await app.begin()).url)

      expect(page.title).toContain('wants access')
      expect(page.text).toContain('This app has changed since you allowed it.')
      expect((await findClient(server.db, id))?.verified_at).toBeNull()
      await alice.press(page, 'Allow')
      expect((await alice.open((await app.begin()).url)).away?.searchParams.get('code')).toBeTruthy()
    }
    const changed = await server.events({ type: 'client.changed', client_id: id })
    expect(changed[0]?.actor_type).toBe('client')
  })

  test('in nothing that people see asks nobody again', async () => {
    const id = host.put('/quiet.json', PRINTER)
    const app = appOf(id)
    await app.connect(alice)

    host.put('/quiet.json', { ...PRINTER, redirect_uris: [CALLBACK, 'https://printer.example/other'] })
    await expire(id)
    const page = await alice.open((await app.begin()).url)

    expect(page.away?.searchParams.get('code')).toBeTruthy()
    expect((await findClient(server.db, id))?.redirect_uris).toHaveLength(2)
  })

  test('keeps with the decision what the person saw', async () => {
    const id = host.put('/seen.json', { ...PRINTER, logo_uri: 'https://printer.example/logo.png' })
    await open(id)
    await verifyClient(server.db, id, OPERATOR)
    await until(async () => {
      const page = await open(id)
      if (!page.text.includes('Verified')) throw new Error(page.text)
    })

    await appOf(id).connect(alice)

    const [kept] = await many(
      server.db,
      sql`select client_name, client_host, client_logo_uri from consents where client_id = ${id}`,
    )
    expect(kept).toEqual({
      client_name: 'Photo Printer',
      client_host: HOST,
      client_logo_uri: 'https://printer.example/logo.png',
    })
  })
})

describe('a host that is away', () => {
  test('takes the app away only when it stays away', async () => {
    await forgiven()
    const id = host.put('/outage.json', PRINTER)
    const bob = await server.person('Bob')
    const { refresh_token } = await appOf(id).connect(bob)
    host.put('/outage.json', (_req, res) => void res.writeHead(500).end())

    await expire(id)
    const soon = await open(id)
    const again = await open(id)
    const askedMeanwhile = host.asked('/outage.json')
    await expire(id, '25 hours')
    const late = await open(id)

    expect(soon.title).toContain('wants access')
    expect(again.title).toContain('wants access')
    expect(askedMeanwhile).toBe(2)
    expect(late.status).toBe(400)
    expect(late.text).toContain('could not be read')
    expect((await appOf(id).refresh(refresh_token)).status).toBe(200)

    host.put('/outage.json', PRINTER)
    await expire(id, '25 hours')
    expect((await open(id)).title).toContain('wants access')
  })
})

test('a document that offers none beside private_key_jwt is taken at its word', async () => {
  const id = host.put('/chat.json', {
    ...PRINTER,
    token_endpoint_auth_method: 'private_key_jwt',
    token_endpoint_auth_methods_supported: ['none', 'private_key_jwt'],
    jwks_uri: `https://${HOST}/jwks.json`,
  })

  expect((await open(id)).title).toContain('wants access')
})

const BAD: [what: string, document: object, problem: RegExp][] = [
  ['another client_id', { client_id: `https://${HOST}/other.json` }, /client_id: must be the address/],
  ['no client_id', { client_id: undefined }, /client_id: must be the address/],
  ['a secret', { client_secret: 'x' }, /client_secret: must not be there/],
  ['an end of a secret', { client_secret_expires_at: 0 }, /client_secret: must not be there/],
  ['client_secret_basic', { token_endpoint_auth_method: 'client_secret_basic' }, /must be none/],
  ['client_secret_post', { token_endpoint_auth_method: 'client_secret_post' }, /must be none/],
  ['client_secret_jwt', { token_endpoint_auth_method: 'client_secret_jwt' }, /must be none/],
  ['private_key_jwt', { token_endpoint_auth_method: 'private_key_jwt' }, /must be none/],
  ['a method that is no text', { token_endpoint_auth_method: null }, /must be none/],
  ['no redirect_uris', { redirect_uris: [] }, /redirect_uris: is empty/],
  ['redirect_uris that are no list', { redirect_uris: CALLBACK }, /redirect_uris: must be a list/],
  ['only client_credentials', { grant_types: ['client_credentials'] }, /grant_types/],
  ['response_type token', { response_types: ['token'] }, /response_types/],
  ['an empty name', { client_name: ' ' }, /client_name|name/],
  ['a name that cannot be seen', { client_name: 'Bank\u202e' }, /cannot be seen/],
  ['a long name', { client_name: 'x'.repeat(81) }, /80 characters/],
  ['a logo that is a script', { logo_uri: 'javascript:alert(1)' }, /logo_uri/],
  ['a homepage in clear', { client_uri: 'http://printer.example/' }, /not an https address/],
]

describe('a bad document', () => {
  test.each(BAD)('with %s is refused, and nothing is stored', async (what, members, problem) => {
    await forgiven()
    const id = host.put(`/bad-${what.replaceAll(' ', '-')}.json`, { ...PRINTER, ...members })

    const page = await open(id)
    const url = new URL((await appOf(id).begin()).url)
    url.searchParams.set('redirect_uri', 'https://evil.example/')
    const asProgram = await fetch(url, { redirect: 'manual', headers: { Accept: 'application/json' } })

    expect(page.status).toBe(400)
    expect(page.away).toBeUndefined()
    expect(page.title).toContain('This app cannot go on')
    expect(page.text).toMatch(problem)
    expect(asProgram.status).toBe(400)
    expect(asProgram.headers.get('location')).toBeNull()
    expect(await rowOf(id)).toBeUndefined()
  })

  test('has redirect URIs that no surface takes', async () => {
    const wrong = REDIRECT_CASES.filter(([, type, problem]) => problem && type !== 'web' && type !== 'spa')
    const right = REDIRECT_CASES.filter(([, type, problem]) => !problem && type === 'native')
    expect(wrong.length).toBeGreaterThan(5)
    let n = 0
    for (const [uri, , problem] of [...wrong, ...right]) {
      await forgiven()
      const id = host.put(`/redirect-${n++}.json`, {
        ...PRINTER,
        application_type: 'native',
        redirect_uris: [uri],
      })

      const page = await open(id, { redirect_uri: uri })

      if (problem) {
        expect([uri, page.status]).toEqual([uri, 400])
        expect(await rowOf(id)).toBeUndefined()
      } else {
        expect([uri, page.title]).toEqual([uri, expect.stringContaining('wants access')])
      }
    }
  })

  test.each<[string, Parameters<DocumentHost['put']>[1]]>([
    ['that is not there', (_req, res) => res.writeHead(404).end()],
    ['that is not JSON', (_req, res) => res.writeHead(200, { 'Content-Type': 'application/json' }).end('{')],
    ['that is a list', (_req, res) => res.writeHead(200, { 'Content-Type': 'application/json' }).end('[]')],
    ['that is null', (_req, res) => res.writeHead(200, { 'Content-Type': 'application/json' }).end('null')],
    [
      'that is not UTF-8',
      (_req, res) =>
        res.writeHead(200, { 'Content-Type': 'application/json' }).end(Buffer.from([0x22, 0xff, 0x22])),
    ],
    ['that is a page', (_req, res) => res.writeHead(200, { 'Content-Type': 'text/html' }).end('{}')],
  ])('%s is refused', async (what, answer) => {
    await forgiven()
    const id = host.put(`/answer-${what.replaceAll(' ', '-')}`, answer)

    const page = await open(id)

    expect(page.status).toBe(400)
    expect(await rowOf(id)).toBeUndefined()
  })
})

describe('an address that is no client id', () => {
  test.each([
    'http://printer.example/client.json',
    'https://printer.example',
    'https://printer.example/a/../client.json',
    'https://printer.example/a/%2e%2e/client.json',
    'https://printer.example/client.json#x',
    'https://me:pw@printer.example/client.json',
    'https://Printer.example/client.json',
    'https://printer.example:443/client.json',
    'https://printer.example:8443/client.json',
    'https://printer.example\\client.json',
    'https://printer.example/client\n.json',
    'https:printer.example/client.json',
    `https://printer.example/${'a'.repeat(500)}`,
  ])('is an unknown client: %s', async (id) => {
    const page = await open(id)

    expect(page.status).toBe(400)
    expect(page.text).toContain('invalid_client')
    expect(host.asked('/client.json')).toBe(0)
  })
})

describe('an address that leads inside', () => {
  test.each([['127.0.0.1'], ['169.254.169.254'], ['10.1.2.3'], ['fd00::1'], ['::ffff:127.0.0.1']])(
    'to %s is not connected to, and looks like any that cannot be read',
    async (address) => {
      // As in production, but for the name server: the name is public at first and private when it is used.
      const answers = [['8.8.8.8', address], [address]]
      let looked = 0
      const fetchOutside = outsideFetch({
        ...host.network,
        resolve: async () => answers[looked++] ?? [],
        mayReach: undefined,
      })
      const guarded = await startApp({ db: server.db, env: ON, fetchOutside })
      try {
        await forgiven()
        const id = host.put(`/inside-${address.replaceAll(':', '-')}`, PRINTER)
        const { url } = await appOf(id, CALLBACK, guarded.origin).begin()

        const pages = [await fetch(url, { redirect: 'manual' }), await fetch(url, { redirect: 'manual' })]

        for (const page of pages) {
          expect(page.status).toBe(400)
          const text = await page.text()
          expect(text).toContain('the document that the client id names could not be read')
          expect(text).not.toMatch(/public|private|refused/)
        }
        expect(looked).toBe(2)
        expect(host.asked(new URL(id).pathname)).toBe(0)
        expect(await rowOf(id)).toBeUndefined()
      } finally {
        await guarded.stop()
      }
    },
  )
})

describe('limits', () => {
  test('whoever names many that are unknown is told to wait, and those that are known go on', async () => {
    await forgiven()
    const known = host.put('/known.json', PRINTER)
    await open(known)
    const before = host.asked('/nothing-39')

    const nobody = alice.elsewhere()
    const statuses: number[] = []
    for (let i = 0; i < 40; i++) {
      statuses.push((await open(`https://${HOST}/nothing-${i}`, undefined, nobody)).status)
    }
    const refused = await fetch((await appOf(`https://${HOST}/nothing-x`).begin()).url)

    expect(statuses.slice(0, 30)).toEqual(Array(30).fill(400))
    expect(statuses.slice(30)).toEqual(Array(10).fill(429))
    expect(Number(refused.headers.get('retry-after'))).toBeGreaterThan(0)
    expect(host.asked('/nothing-39')).toBe(before)
    expect((await open(known)).title).toContain('wants access')
    // Who is signed in at that address has a limit of their own.
    expect((await open(host.put('/new-at-work.json', PRINTER))).title).toContain('wants access')
    const own: number[] = []
    for (let i = 0; i < 29; i++) own.push((await open(`https://${HOST}/nothing-${i}`)).status)
    expect(own).toEqual([...Array(28).fill(400), 429])
    await forgiven()
  })

  test('only hosts on the list are asked', async () => {
    const listed = await startServerFixture(
      { ...ON, CLIENT_ID_METADATA_HOSTS: 'apps.example,*.tools.example' },
      host,
    )
    try {
      const bob = await listed.person('Bob')
      const id = host.put('/unlisted.json', PRINTER)

      const page = await bob.open((await appOf(id, CALLBACK, listed.origin).begin()).url)

      expect(page.status).toBe(400)
      expect(host.asked('/unlisted.json')).toBe(0)
    } finally {
      await listed.stop()
    }
  })

  test('off, nothing is asked, nothing is promised, and what was known is unknown', async () => {
    const id = host.put('/off.json', PRINTER)
    await open(id)
    const asked = host.asked('/off.json')
    const off = await startApp({ db: server.db, fetchOutside: host.fetchOutside })
    const metadata = async (origin: string) =>
      (await fetch(`${origin}/.well-known/openid-configuration`)).json() as Promise<object>
    try {
      const page = await fetch((await appOf(id, CALLBACK, off.origin).begin()).url)

      expect(page.status).toBe(400)
      expect(await page.text()).toContain('invalid_client')
      expect(host.asked('/off.json')).toBe(asked)
      expect(await metadata(off.origin)).not.toHaveProperty('client_id_metadata_document_supported')
      expect(await metadata(server.origin)).toHaveProperty('client_id_metadata_document_supported', true)
    } finally {
      await off.stop()
    }
  })

  test('with approval it waits, and again when it looks otherwise', async () => {
    const careful = await startServerFixture({ ...ON, DYNAMIC_REGISTRATION_APPROVAL: 'true' }, host)
    try {
      const bob = await careful.person('Bob')
      const id = host.put('/waits.json', PRINTER)

      const page = await bob.open((await appOf(id, CALLBACK, careful.origin).begin({ scope: 'openid' })).url)

      expect(page.status).toBe(403)
      expect(page.title).toContain('Photo Printer cannot be used yet')
      expect(await findClient(careful.db, id)).toMatchObject({ state: 'pending' })

      await approveClient(careful.db, id, OPERATOR)
      host.put('/waits.json', { ...PRINTER, client_name: 'Your Bank' })
      await run(careful.db, sql`update client_documents set fresh_until = now()`)
      const other = await bob.open((await appOf(id, CALLBACK, careful.origin).begin({ scope: 'openid' })).url)

      expect(other.title).toContain('Your Bank cannot be used yet')
      expect(await findClient(careful.db, id)).toMatchObject({ state: 'pending', name: 'Your Bank' })
    } finally {
      await careful.stop()
    }
  })
})

describe('an operator', () => {
  test('suspends it: nothing is read, nobody gets in, until it works again', async () => {
    await forgiven()
    const id = host.put('/suspended.json', PRINTER)
    const app = appOf(id)
    const tokens = await app.connect(alice)

    await suspendClient(server.db, id, OPERATOR)
    await expire(id)
    const asked = host.asked('/suspended.json')

    expect((await app.refresh(tokens.refresh_token)).status).toBe(401)
    const page = await until(async () => {
      const seen = await open(id)
      if (seen.status !== 400) throw new Error(seen.title)
      return seen
    })
    expect(page.status).toBe(400)
    expect(host.asked('/suspended.json')).toBe(asked)

    await resumeClient(server.db, id, OPERATOR)
    await until(async () => {
      const seen = await open(id)
      if (!seen.away) throw new Error(seen.title)
    })
  })

  test('deletes it: it does not come back by itself, and comes back as new when it is allowed to', async () => {
    await forgiven()
    const id = host.put('/deleted.json', PRINTER)
    const app = appOf(id)
    const tokens = await app.connect(alice)
    await verifyClient(server.db, id, OPERATOR)

    await deleteClient(server.db, id, OPERATOR)
    const asked = host.asked('/deleted.json')
    await until(async () => {
      if ((await open(id)).status !== 400) throw new Error('it is still known')
    })
    expect(host.asked('/deleted.json')).toBe(asked)

    expect(await unblockDocument(server.db, id, OPERATOR)).toBe(true)
    const page = await until(async () => {
      const seen = await open(id)
      if (seen.status !== 200) throw new Error(seen.text)
      return seen
    })
    expect(page.title).toContain('Photo Printer wants access')
    expect(page.text).toContain('Registered itself')
    expect((await findClient(server.db, id))?.verified_at).toBeNull()
    expect((await app.refresh(tokens.refresh_token)).status).toBe(400)
    expect(await unblockDocument(server.db, id, OPERATOR)).toBe(false)
    expect(await server.events({ type: 'client.unblocked', client_id: id })).toHaveLength(1)
  })

  test('removes unused ones, which come back with the next who uses them', async () => {
    await forgiven()
    const id = host.put('/unused.json', PRINTER)
    await open(id)

    await deleteClient(server.db, id, SYSTEM)
    const page = await open(id)

    expect(page.title).toContain('Photo Printer wants access')
    expect(await findClient(server.db, id)).toMatchObject({ state: 'active' })
  })
})
