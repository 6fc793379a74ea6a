// The refused requests of an app with the reasons, and how much it is used: for its owners, and for administrators.
import { countUsers } from '../../core/clients/search.ts'
import type { Client } from '../../core/clients/store.ts'
import { usageOfDays } from '../../core/clients/usage.ts'
import { listRejectedRequests, MOST_KEPT } from '../../core/diagnostics/store.ts'
import type { Pool } from '../../db/pool.ts'
import type { Render } from '../../http/render.ts'
import type { SignedIn } from '../../protocol/guards.ts'
import { fixOf } from './fixes.ts'
import { countText } from './labels.ts'
import { rejectedRequestViews } from './rejected-request-view.ts'
import { chartOf, dayInWords, HEIGHT, WIDTH } from './usage-chart.ts'

const DAYS = 30
const MOST_USERS = 50_000

/** The pages of refused requests and of usage. @returns functions that show one of them in the view of an audience */
export function insight({ db, render }: { db: Pool; render: Render }) {
  /** @param fixes where the fix of a refused request can be made; absent: nowhere on these pages */
  const errors = async (
    ctx: SignedIn,
    client: Client,
    view: string,
    place: object,
    fixes?: (rejection_id: string) => string,
  ): Promise<void> => {
    const rows = await listRejectedRequests(db, client.id)
    render(ctx, view, {
      ...place,
      rejectedRequests: rejectedRequestViews(rows, (row) => {
        const fix = fixes && fixOf(client, row)
        return fix && { label: fix.label, href: fixes(row.id) }
      }),
      most: MOST_KEPT,
    })
  }
  const usage = async (ctx: SignedIn, client: Client, view: string, place: object): Promise<void> => {
    const [users, days] = await Promise.all([
      countUsers(db, client.id, MOST_USERS),
      usageOfDays(db, client.id, DAYS),
    ])
    const only = (name: 'tokens' | 'refused') => days.map((day) => ({ day: day.day, count: day[name] }))
    render(ctx, view, {
      ...place,
      users: countText(users, MOST_USERS),
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
  return { errors, usage }
}
