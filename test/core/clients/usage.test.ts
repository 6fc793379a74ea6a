// Usage of an app: users, tokens and errors a day, as a picture and as a table; counted a few times a minute, a row a day.
import { afterAll, beforeAll, expect, test } from '@jest/globals'
import { SYSTEM } from '../../../src/base/audit-events.ts'
import { clientUseRecorder, sweepUsageDays, usageOfDays } from '../../../src/core/clients/usage.ts'
import { setRole } from '../../../src/core/users/roles.ts'
import { many, one, run, sql } from '../../../src/db/pool.ts'
import { chartOf } from '../../../src/pages/shared/usage-chart.ts'
import {
  type App,
  type Page,
  type Person,
  type ServerFixture,
  startServerFixture,
} from '../../support/flow.ts'
import { untilPasses } from '../../support/patience.ts'

let server: ServerFixture
let jamie: Person
let ada: Person
beforeAll(async () => {
  server = await startServerFixture()
  jamie = await server.person('Jamie')
  ada = await server.person('Ada')
  await setRole(server.db, ada.id, 'admin', SYSTEM)
  await ada.account('/admin')
  await jamie.account()
})
afterAll(() => server.stop())

test('users, tokens and refused requests are counted, and said in words, in a table and in a picture', async () => {
  const app = await owned()
  const { refresh_token } = await app.connect(jamie)
  await app.refresh(refresh_token)
  await app.connect(ada)
  for (let i = 0; i < 2; i++) await app.post('/token', { grant_type: 'password' })
  await app.post('/introspect', {})
  await jamie.open((await app.begin({ redirect_uri: 'https://elsewhere.example/' })).url)
  // A person's no is no error.
  const robin = await server.person('Robin')
  await robin.press(await robin.signIn(await robin.open((await app.begin()).url)), 'Don’t allow')

  const page = await counted(app, { tokens: 3, refused: 4 })

  expect(page.text).toContain('Users 2 People whose decision gives it access now.')
  expect(page.text).toContain('Times it was given tokens 3 in 30 days, at most 3 a day')
  expect(page.text).toContain('Refused requests 4 in 30 days, at most 4 a day')
  const [tokens, errors] = [...page.html.matchAll(/<svg[^>]*preserveAspectRatio[\s\S]*?<\/svg>/g)].map(
    ([svg]) => svg,
  )
  for (const [svg, title, description] of [
    [
      tokens,
      'Times it was given tokens, a bar a day',
      /<desc id="tokens-desc">3 in 30 days; most on \d+ \w+: 3\.<\/desc>/,
    ],
    [
      errors,
      'Refused requests, a bar a day',
      /<desc id="errors-desc">4 in 30 days; most on \d+ \w+: 4\.<\/desc>/,
    ],
  ] as const) {
    expect(svg).toContain('role="img"')
    expect(svg).toContain(`${title}</title>`)
    expect(svg).toMatch(description)
    expect(svg!.match(/<rect/g)).toHaveLength(1)
  }
  expect(page.html).not.toContain('style=')
  expect(page.html.match(/<th scope="row">/g)).toHaveLength(30)
  const forAdmin = await ada.open(`/admin/clients/${app.id}/usage`)
  expect(forAdmin.text).toContain('Times it was given tokens 3 in 30 days')
  expect((await ada.open(`/admin/clients/${app.id}`)).html).toContain(`href="/admin/clients/${app.id}/usage"`)
})

test('an app that nobody has used has a page, too', async () => {
  const app = await owned()

  const page = await jamie.open(`/developer/apps/${app.id}/usage`)

  expect(page.text).toContain('Users 0')
  expect(page.html).toContain('None in 30 days.')
  expect(page.html).not.toContain('<rect')
})

test('several nodes add to one row; what an app that is gone was counted for is left out', async () => {
  const { db } = server
  const app = await owned()
  const nodes = Array.from({ length: 4 }, () =>
    clientUseRecorder(db, (error) => {
      throw error
    }),
  )
  for (const node of nodes) {
    for (let i = 0; i < 25; i++) node.issued(app.id)
    node.refusedFor(app.id)
    node.refusedFor('nobody')
  }

  await Promise.all(nodes.map((node) => node.close()))

  const rows = await many(
    db,
    sql`select tokens::int, refused::int, day = (now() at time zone 'utc')::date as is_today
        from client_usage_days where client_id = ${app.id}`,
  )
  expect(rows).toEqual([{ tokens: 100, refused: 4, is_today: true }])
  expect((await usageOfDays(db, app.id, 30)).map(({ tokens }) => tokens)).toEqual([...Array(29).fill(0), 100])
})

test('days are read by index, and those older than 90 go', async () => {
  const { db } = server
  const app = await owned()
  await run(
    db,
    sql`insert into client_usage_days (client_id, day, tokens)
        select ${app.id}, (now() at time zone 'utc')::date - n, n from generate_series(0, 120) as n`,
  )

  const month = await usageOfDays(db, app.id, 30)
  const taken = await sweepUsageDays(db)

  expect(month.map(({ tokens }) => tokens)).toEqual(Array.from({ length: 30 }, (_, i) => 29 - i))
  expect(taken).toBe(30)
  const { left } = await one<{ left: number }>(
    db,
    sql`select max((now() at time zone 'utc')::date - day) as left from client_usage_days where client_id = ${app.id}`,
  )
  expect(left).toBe(90)
})

test('a picture keeps to its size, and shows one among many', () => {
  const days = Array.from({ length: 30 }, (_, i) => ({
    day: `2026-05-${String(i + 1).padStart(2, '0')}`,
    count: 0,
  }))
  days[3]!.count = 1_000_000
  days[29]!.count = 1

  const { bars, description, most } = chartOf('tokens', 'Tokens', days)

  expect(bars).toHaveLength(2)
  expect(bars[0]).toEqual({ x: 60, y: 0, width: 15, height: 120 })
  expect(bars[1]).toEqual({ x: 580, y: 118, width: 15, height: 2 })
  expect(most).toBe('1,000,000')
  expect(description).toBe('1,000,001 in 30 days; most on 4 May: 1,000,000.')
})

async function owned(): Promise<App> {
  const app = await server.app()
  await run(server.db, sql`insert into client_owners (client_id, user_id) values (${app.id}, ${jamie.id})`)
  return app
}

/** The owner's page, once as much was counted; counting goes on every five seconds. */
async function counted(app: App, wanted: { tokens: number; refused: number }): Promise<Page> {
  await untilPasses(async () => expect((await usageOfDays(server.db, app.id, 1))[0]).toMatchObject(wanted))
  return jamie.open(`/developer/apps/${app.id}/usage`)
}
