// Logos from the outside: what is taken, what is left of it, and what is refused; on the developers' form and the administrators'.
import { randomBytes } from 'node:crypto'
import { crc32, deflateSync } from 'node:zlib'
import { afterAll, beforeAll, beforeEach, describe, expect, test } from '@jest/globals'
import sharp from 'sharp'
import { sweepLogos } from '../../../src/core/logos/store.ts'
import { many, one, run, sql } from '../../../src/db/pool.ts'
import { type AdminFixture, ageSignIns, startAdminFixture } from '../../pages/admin/admin-fixture.ts'
import type { App, Page, Person } from '../../support/flow.ts'

let fixture: AdminFixture
let app: App
let form: string
const MB = 1024 * 1024

beforeAll(async () => {
  fixture = await startAdminFixture({ DEVELOPER_REGISTRATION: 'open' })
  app = await ours('Photo Printer')
  form = `/developer/apps/${app.id}/logo`
  await fixture.jamie.account(form)
})
beforeEach(() => run(fixture.server.db, sql`delete from rate_limits`))
afterAll(() => fixture?.server.stop())

describe('a picture', () => {
  test.each(['png', 'jpeg', 'webp', 'gif'] as const)(
    'of kind %s becomes a square PNG of ours',
    async (kind) => {
      const picture = await drawn(300, 100).toFormat(kind).toBuffer()

      const page = await upload(fixture.jamie, form, picture)

      expect(page.text).toContain('Photo Printer has a new logo.')
      const served = await logo(app)
      const { format, width, height, hasAlpha } = await sharp(served).metadata()
      expect({ format, width, height, hasAlpha }).toEqual({
        format: 'png',
        width: 256,
        height: 256,
        hasAlpha: true,
      })
      // Wide pictures keep their shape, with nothing above and below.
      const { data } = await sharp(served).raw().toBuffer({ resolveWithObject: true })
      expect(data.readUInt8(3)).toBe(0)
      expect(data.readUInt8((128 * 256 + 128) * 4 + 3)).toBe(255)
    },
  )

  test('of noise with noise behind it fits, too', async () => {
    const page = await upload(fixture.jamie, form, await drawn(256, 256, 4).png().toBuffer())

    expect(page.text).toContain('has a new logo')
    expect((await logo(app)).length).toBeGreaterThan(256 * 256 * 4)
  })

  test('that moves is its first image', async () => {
    const frames = await Promise.all(['red', 'blue'].map((color) => plain(50, 50, color).png().toBuffer()))
    const moving = await sharp(frames, { join: { animated: true } })
      .gif({ delay: [100, 100] })
      .toBuffer()
    expect((await sharp(moving, { animated: true }).metadata()).pages).toBe(2)

    await upload(fixture.jamie, form, moving)

    const { data, info } = await sharp(await logo(app))
      .raw()
      .toBuffer({ resolveWithObject: true })
    expect([info.height, ...data.subarray(0, 3)]).toEqual([256, 255, 0, 0])
  })

  test('loses what it knew of place and camera, and is turned as it was meant', async () => {
    const picture = await plain(100, 200, 'red')
      .withExif({ IFD0: { Copyright: 'secret author', ImageDescription: 'home address' } })
      .withMetadata({ orientation: 6 })
      .jpeg()
      .toBuffer()
    expect((await sharp(picture).metadata()).orientation).toBe(6)

    await upload(fixture.jamie, form, picture)

    const served = await logo(app)
    const { exif, icc, xmp, orientation } = await sharp(served).metadata()
    expect({ exif, icc, xmp, orientation }).toEqual({})
    expect(served.toString('latin1')).not.toMatch(/secret author|home address/)
    const { data } = await sharp(served).raw().toBuffer({ resolveWithObject: true })
    // It stood upright in the file and lies when it is turned: free above, filled at the left edge.
    expect(data.readUInt8(3)).toBe(0)
    expect(data.readUInt8(128 * 256 * 4 + 3)).toBe(255)
  })

  test('with something else behind it leaves that behind', async () => {
    const picture = await drawn(40, 40).png().toBuffer()
    const both = Buffer.concat([picture, Buffer.from('<script>alert(1)</script><?php evil(); ?>')])

    await upload(fixture.jamie, form, both)

    expect((await logo(app)).toString('latin1')).not.toMatch(/script|php/)
  })

  test('of 1 MB exactly is taken', async () => {
    const picture = await drawn(40, 40).png().toBuffer()

    const page = await upload(
      fixture.jamie,
      form,
      Buffer.concat([picture, Buffer.alloc(MB - picture.length)]),
    )

    expect(page.text).toContain('has a new logo')
  })

  test('is served so that it is kept for ever and can do nothing', async () => {
    await upload(fixture.jamie, form, await drawn(60, 60).png().toBuffer())
    const { logo_uri } = await row(app)
    expect(logo_uri).toMatch(new RegExp(`^${fixture.server.origin}/logos/[0-9a-f]{64}\\.png$`))

    const answer = await fetch(logo_uri!)

    expect(answer.status).toBe(200)
    expect(Object.fromEntries(answer.headers)).toMatchObject({
      'content-type': 'image/png',
      'cache-control': 'public, max-age=31536000, immutable',
      'x-content-type-options': 'nosniff',
      'content-security-policy': "default-src 'none'; sandbox",
    })
    expect(answer.headers.get('set-cookie')).toBeNull()
    const again = await fetch(logo_uri!, {
      // Without a word on caching, fetch asks for a fresh one.
      headers: { 'If-None-Match': answer.headers.get('etag')!, 'Cache-Control': 'max-age=0' },
    })
    expect(again.status).toBe(304)
    expect((await fetch(logo_uri!, { method: 'HEAD' })).status).toBe(200)
    for (const wrong of [
      'x.png',
      `${'0'.repeat(64)}.png`,
      `${'A'.repeat(64)}.png`,
      '..%2f..%2fetc%2fpasswd',
    ]) {
      expect((await fetch(`${fixture.server.origin}/logos/${wrong}`)).status).toBe(404)
    }
  })

  test('is on record as a change of the app, and can be removed', async () => {
    await upload(fixture.jamie, form, await drawn(61, 61).png().toBuffer())
    const { logo_uri } = await row(app)

    expect((await fixture.jamie.open(form)).text).toContain('Remove the logo')
    const removed = await send(fixture.jamie, form, { remove: 'yes' })

    expect(removed.text).toContain('Photo Printer has no logo any more.')
    expect((await row(app)).logo_uri).toBeNull()
    const [event] = await fixture.server.events({ type: 'client.changed', client_id: app.id })
    expect(event!.data).toMatchObject({ changes: [{ field: 'logo_uri', from: logo_uri, to: null }] })
    expect(event!.actor_id).toBe(fixture.jamie.id)
  })

  test('that many show is stored once, and swept when nobody shows it', async () => {
    const { db } = fixture.server
    const other = await ours('Postcards')
    const picture = await drawn(62, 62).png().toBuffer()
    await upload(fixture.jamie, form, picture)
    await upload(fixture.jamie, `/developer/apps/${other.id}/logo`, picture)
    const { logo_uri } = await row(app)
    expect((await row(other)).logo_uri).toBe(logo_uri)
    await send(fixture.jamie, form, { remove: 'yes' })
    await run(db, sql`update logos set created_at = now() - interval '8 days'`)

    await sweepLogos(db)
    expect((await fetch(logo_uri!)).status).toBe(200)
    expect(await many(db, sql`select from logos`)).toHaveLength(1)

    await send(fixture.jamie, `/developer/apps/${other.id}/logo`, { remove: 'yes' })
    await sweepLogos(db)
    expect((await fetch(logo_uri!)).status).toBe(200)
    await run(db, sql`update logos set created_at = now() - interval '8 days'`)
    await sweepLogos(db)
    expect((await fetch(logo_uri!)).status).toBe(404)
  })
})

describe('refused, with a reason and nothing changed:', () => {
  const svg = '<?xml version="1.0"?><svg xmlns="http://www.w3.org/2000/svg"><script>alert(1)</script></svg>'
  test.each<[string, () => Buffer | Promise<Buffer>, RegExp]>([
    [
      'an SVG, whatever it is called',
      () => Buffer.from(svg),
      /SVG is not taken, because it can hold programs/,
    ],
    ['an SVG without a head', () => Buffer.from('  <svg onload="alert(1)"/>'), /SVG is not taken/],
    ['a PDF', () => Buffer.from('%PDF-1.7\n'), /not a picture of a kind that is taken/],
    ['a TIFF', () => drawn(10, 10).tiff().toBuffer(), /not a picture of a kind/],
    ['an AVIF', () => drawn(16, 16).avif().toBuffer(), /not a picture of a kind/],
    ['a page', () => Buffer.from('<!doctype html><script>alert(1)</script>'), /not a picture of a kind/],
    ['nothing', () => Buffer.alloc(0), /no picture was chosen/],
    ['noise', () => randomBytes(5000), /not a picture of a kind/],
    ['1 MB and 1 byte', () => padded(MB + 1), /more than 1 MB/],
    ['the head of a PNG alone', () => Buffer.from('\x89PNG\r\n\x1a\n', 'latin1'), /damaged, or cut off/],
    [
      'a page in the clothes of a GIF',
      () => Buffer.from('GIF89a/*<svg onload=alert(1)>*/=1'),
      /damaged, or cut off/,
    ],
    ['a PNG that ends in the middle', () => half('png'), /damaged, or cut off/],
    ['a JPEG that ends in the middle', () => half('jpeg'), /damaged, or cut off/],
    ['a WebP that ends in the middle', () => half('webp'), /damaged, or cut off/],
    ['a GIF that ends in the middle', () => half('gif'), /damaged, or cut off/],
    ['30,000 × 30,000 pixels in little room', bomb, /30,000 × 30,000 pixels, and 4,096 × 4,096 is the most/],
  ])('%s', async (_, picture, reason) => {
    const before = await row(app)
    const bytes = await picture()
    expect(bytes.length).toBeLessThanOrEqual(MB + 1)

    const page = await upload(fixture.jamie, form, bytes)

    expect(page.status).toBe(422)
    expect(page.title).toMatch(/^Error: /)
    expect(page.text).toMatch(reason)
    expect(page.text).toContain('This picture cannot be used')
    expect(await row(app)).toEqual(before)
  })

  test('far more than 1 MB', async () => {
    const page = await upload(fixture.jamie, form, Buffer.alloc(2 * MB))

    expect(page.status).toBe(413)
    expect(page.text).toContain('choose a smaller one')
  })

  test('a form without its token, or with that of somebody else', async () => {
    const picture = await drawn(20, 20).png().toBuffer()
    const before = await row(app)
    const robin = await fixture.server.person('Robin')
    await robin.account()
    const theirs = /name="csrf" value="([^"]*)"/.exec((await robin.open('/account')).html)![1]!

    expect((await send(fixture.jamie, form, { logo: picture }, '')).status).toBe(403)
    expect((await send(fixture.jamie, form, { logo: picture }, theirs)).status).toBe(403)
    expect((await send(fixture.jamie, form, { remove: 'yes' }, '')).status).toBe(403)
    expect(await row(app)).toEqual(before)
  })

  test('the app of another developer, an API, and nothing at all', async () => {
    const robin = await fixture.server.person('Robin')
    await robin.account()
    const before = await row(app)
    const api = fixture.server.photos.id
    await run(
      fixture.server.db,
      sql`insert into client_owners (client_id, user_id) values (${api}, ${robin.id})`,
    )

    for (const id of [app.id, api, 'nothing']) {
      const path = `/developer/apps/${id}/logo`
      expect((await robin.open(path)).status).toBe(404)
      expect((await upload(robin, path, await drawn(20, 20).png().toBuffer())).status).toBe(404)
    }
    expect((await upload(robin, `/admin/clients/${app.id}/logo`, Buffer.alloc(5))).status).toBe(404)
    expect(await row(app)).toEqual(before)
  })

  test('bodies that are no such form', async () => {
    const { jamie } = fixture
    const picture = await drawn(20, 20).png().toBuffer()
    const odd: [string, string | Buffer, number][] = [
      ['application/x-www-form-urlencoded', 'csrf=x', 415],
      ['multipart/form-data', 'no boundary', 400],
      ['multipart/form-data; boundary=x', '--y\r\n', 400],
      ['multipart/form-data; boundary=x', '--x\r\nContent-Disposition: form-data; name="logo"\r\n\r\n', 400],
      ['image/png', picture, 415],
    ]
    for (const [type, body, status] of odd) {
      expect([type, body, (await raw(jamie, form, type, body)).status]).toEqual([type, body, status])
    }
    const fields = Array.from({ length: 30 }, (_, i) => [`f${i}`, 'x'])
    expect((await send(jamie, form, Object.fromEntries(fields))).status).toBe(400)
  })
})

test('at most twenty pictures in ten minutes', async () => {
  const casey = await fixture.server.person('Casey')
  const theirs = await ours('Calendars', casey)
  const path = `/developer/apps/${theirs.id}/logo`
  await casey.account(path)
  for (let i = 0; i < 20; i += 1) expect((await upload(casey, path, Buffer.alloc(0))).status).toBe(422)

  const page = await upload(casey, path, await drawn(20, 20).png().toBuffer())

  expect(page.status).toBe(429)
  expect(page.text).toMatch(/Try again in \d+ (seconds|minutes)/)
  expect((await row(theirs)).logo_uri).toBeNull()
})

test('many pictures at once are all answered, and the server goes on', async () => {
  const people = await Promise.all(['Kim', 'Lee', 'Max', 'Noa'].map((name) => fixture.server.person(name)))
  const big = await plain(3000, 3000, 'red').jpeg().toBuffer()
  const apps = await Promise.all(people.map((person) => ours('Big', person)))
  await Promise.all(people.map((person, i) => person.account(`/developer/apps/${apps[i]!.id}/logo`)))

  const pages = await Promise.all(
    people.flatMap((person, i) =>
      Array.from({ length: 4 }, () => upload(person, `/developer/apps/${apps[i]!.id}/logo`, big)),
    ),
  )

  const statuses = new Set(pages.map(({ status }) => status))
  expect([...statuses].every((status) => status === 200 || status === 503)).toBe(true)
  expect(statuses).toContain(200)
  expect((await upload(people[0]!, `/developer/apps/${apps[0]!.id}/logo`, big)).status).toBe(200)
})

test('the new logo of an approved app waits for a decision, and is kept until then', async () => {
  const { server, ada } = fixture
  const verified = await ours('Verified')
  await run(server.db, sql`update clients set verified_at = now() where id = ${verified.id}`)
  const path = `/developer/apps/${verified.id}/logo`

  const page = await upload(fixture.jamie, path, await drawn(72, 72).png().toBuffer())
  expect(page.text).toContain('The change of the logo waits for approval.')
  expect((await row(verified)).logo_uri).toBeNull()
  await run(server.db, sql`update logos set created_at = now() - interval '8 days'`)
  await sweepLogos(server.db)
  const console = await ada.open(`/admin/clients/${verified.id}/change/approve`)
  await ada.press(console, 'Approve the change')

  expect((await logo(verified)).length).toBeGreaterThan(0)
})

describe('an administrator', () => {
  test('gives any app a logo, and takes it away', async () => {
    const path = `/admin/clients/${app.id}/logo`
    const page = await upload(fixture.ada, path, await drawn(70, 70).png().toBuffer())

    expect(page.url.pathname).toBe(`/admin/clients/${app.id}`)
    expect(page.text).toContain('Photo Printer has a new logo.')
    expect((await logo(app)).length).toBeGreaterThan(0)
    expect((await send(fixture.ada, path, { remove: 'yes' })).text).toContain('has no logo any more')
  })

  test('needs a sign-in of the last 15 minutes', async () => {
    const path = `/admin/clients/${app.id}/logo`
    const before = await row(app)
    const token = await tokenOf(fixture.ada, path)
    await ageSignIns(fixture.server, fixture.ada, 20)

    const page = await send(fixture.ada, path, { logo: await drawn(71, 71).png().toBuffer() }, token)

    expect(page.title).toContain('Sign in')
    expect(await row(app)).toEqual(before)
  })
})

async function ours(name: string, person: Person = fixture.jamie): Promise<App> {
  const made = await fixture.server.app({ name })
  await run(
    fixture.server.db,
    sql`insert into client_owners (client_id, user_id) values (${made.id}, ${person.id})`,
  )
  return made
}

function row({ id }: App): Promise<{ logo_uri: string | null; version: number }> {
  return one(fixture.server.db, sql`select logo_uri, version from clients where id = ${id}`)
}

async function logo(of: App): Promise<Buffer> {
  const { logo_uri } = await row(of)
  return Buffer.from(await (await fetch(logo_uri!)).arrayBuffer())
}

/** Noise, which no format makes small. */
function drawn(width: number, height: number, channels: 3 | 4 = 3) {
  return sharp(randomBytes(width * height * channels), { raw: { width, height, channels } })
}

function plain(width: number, height: number, background: string) {
  return sharp({ create: { width, height, channels: 3, background } })
}

async function half(kind: 'png' | 'jpeg' | 'webp' | 'gif'): Promise<Buffer> {
  const whole = await drawn(200, 200).toFormat(kind).toBuffer()
  return whole.subarray(0, Math.floor(whole.length / 2))
}

async function padded(length: number): Promise<Buffer> {
  const picture = await drawn(20, 20).png().toBuffer()
  return Buffer.concat([picture, Buffer.alloc(length - picture.length)])
}

/** Nearly a billion points of one colour, in a hundred kilobytes. */
function bomb(): Buffer {
  const chunk = (type: string, data: Buffer) => {
    const body = Buffer.concat([Buffer.from(type), data])
    const [length, sum] = [Buffer.alloc(4), Buffer.alloc(4)]
    length.writeUInt32BE(data.length)
    sum.writeUInt32BE(crc32(body))
    return Buffer.concat([length, body, sum])
  }
  const head = Buffer.alloc(13)
  head.writeUInt32BE(30_000, 0)
  head.writeUInt32BE(30_000, 4)
  // One bit a point, grey.
  head.writeUInt8(1, 8)
  return Buffer.concat([
    Buffer.from('\x89PNG\r\n\x1a\n', 'latin1'),
    chunk('IHDR', head),
    chunk('IDAT', deflateSync(Buffer.alloc(30_000 * (1 + 30_000 / 8)))),
    chunk('IEND', Buffer.alloc(0)),
  ])
}

/** Sends a picture as the form does. */
async function upload(person: Person, path: string, picture: Buffer): Promise<Page> {
  return send(person, path, { logo: picture })
}

async function send(
  person: Person,
  path: string,
  fields: Record<string, string | Buffer>,
  token?: string,
): Promise<Page> {
  const body = new FormData()
  const csrf = token ?? (await tokenOf(person, path))
  if (csrf) body.append('csrf', csrf)
  for (const [name, value] of Object.entries(fields)) {
    // What it is called at home, and what the browser takes it for, must not matter.
    if (typeof value === 'string') body.append(name, value)
    else body.append(name, new File([new Uint8Array(value)], 'logo.png', { type: 'image/png' }))
  }
  return person.send(path, body)
}

function raw(person: Person, path: string, type: string, body: string | Buffer): Promise<Page> {
  return person.send(path, body, { 'Content-Type': type })
}

async function tokenOf(person: Person, path: string): Promise<string> {
  const page = await person.open(path)
  const shown = page.status === 200 ? page : await person.open('/account')
  const token = /name="csrf" value="([^"]*)"/.exec(shown.html)?.[1]
  if (!token) throw new Error(`no form at ${shown.status} ${shown.url.pathname}`)
  return token
}
