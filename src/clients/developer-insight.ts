// What became of an app's requests: why they were refused, and how much it is used. For its owners, and for administrators.
import type { Pool } from '../db/pool.ts'
import type { SignedIn } from '../guards.ts'
import { NotFound } from '../web/errors.ts'
import type { Render } from '../web/render.ts'
import { refusalView } from './refusal-view.ts'
import { listRefusals, MOST_KEPT } from './refusals.ts'
import { countUsers } from './search.ts'
import { type Client, findClient } from './store.ts'
import { chartOf, dayInWords, HEIGHT, WIDTH } from './usage-chart.ts'
import { usageOfDays } from './use.ts'
import { frameOf, getOwnApp } from './yours.ts'

const DAYS = 30
const MOST_USERS = 50_000

/** Handlers of /developer/apps/:client_id/errors and /usage, and of the same below /admin. */
export function developerInsight({ db, render }: { db: Pool; render: Render }) {
  const errors = async (ctx: SignedIn, client: Client, view: string, place: object): Promise<void> => {
    const refusals = await listRefusals(db, client.id)
    render(ctx, view, { ...place, refusals: refusals.map(refusalView), most: MOST_KEPT })
  }
  const usage = async (ctx: SignedIn, client: Client, view: string, place: object): Promise<void> => {
    const [users, days] = await Promise.all([
      countUsers(db, client.id, MOST_USERS),
      usageOfDays(db, client.id, DAYS),
    ])
    const only = (name: 'tokens' | 'refused') => days.map((day) => ({ day: day.day, count: day[name] }))
    render(ctx, view, {
      ...place,
      users: users < MOST_USERS ? users.toLocaleString('en') : `${MOST_USERS.toLocaleString('en')} or more`,
      charts: [
        chartOf('tokens', 'Times it was given tokens', only('tokens')),
        chartOf('errors', 'Refused requests', only('refused')),
      ],
      size: { width: WIDTH, height: HEIGHT },
      first: dayInWords(days[0]!.day),
      last: dayInWords(days.at(-1)!.day),
      days: days.toReversed().map(({ day, tokens, refused }) => ({
        day,
        text: dayInWords(day),
        tokens: tokens.toLocaleString('en'),
        refused: refused.toLocaleString('en'),
      })),
    })
  }
  return {
    async errors(ctx: SignedIn): Promise<void> {
      const client = await getOwnApp(db, ctx)
      await errors(ctx, client, 'clients/developer-errors', frameOf(ctx, client))
    },

    async usage(ctx: SignedIn): Promise<void> {
      const client = await getOwnApp(db, ctx)
      await usage(ctx, client, 'clients/developer-usage', frameOf(ctx, client))
    },

    async errorsForAdmin(ctx: SignedIn): Promise<void> {
      const client = await getApp(db, ctx)
      await errors(ctx, client, 'clients/admin-errors', placeOf(client))
    },

    async usageForAdmin(ctx: SignedIn): Promise<void> {
      const client = await getApp(db, ctx)
      await usage(ctx, client, 'clients/admin-usage', placeOf(client))
    },
  }
}

/** The app that an address names. @throws NotFound for an API's credentials, too. */
async function getApp(db: Pool, ctx: SignedIn): Promise<Client> {
  const client = await findClient(db, String(ctx.params.client_id))
  if (!client || client.type === 'resource_server') throw new NotFound('There is no such app.')
  return client
}

function placeOf({ id, name }: Client) {
  const path = `/admin/apps/${encodeURIComponent(id)}`
  return { app_name: name, app_href: path, errors_href: `${path}/errors`, usage_href: `${path}/usage` }
}
