// What happened to an account, for its owner. base/audit-events.ts has the sentence of each event.
import { sentenceOf } from '../../base/audit-events.ts'
import { type AuditRow, listEvents } from '../../core/audit/store.ts'
import { clientNames } from '../../core/clients/store.ts'
import type { Db } from '../../db/pool.ts'
import { pageOf, queryEventId, withQuery } from '../../http/query.ts'
import type { Render } from '../../http/render.ts'
import { when } from '../../http/time.ts'
import type { SignedIn } from '../../protocol/guards.ts'
import { deviceName } from '../../protocol/rules/device.ts'

const PAGE = 30

/** Handlers of /account/activity. */
export function activityPages({ db, render }: { db: Db; render: Render }) {
  return {
    async list(ctx: SignedIn): Promise<void> {
      const before = queryEventId(ctx, 'before')
      const found = await listEvents(db, { user_id: ctx.state.user.id, before, limit: PAGE + 1 })
      const { rows, next_href } = pageOf(found, PAGE, ({ id }) =>
        withQuery('/account/activity', { before: id }),
      )
      const names = await clientNames(
        db,
        rows.flatMap(({ client_id }) => client_id ?? []),
      )
      const events = rows.map((row) => ({
        ...sentenceOf(row, names.get(row.client_id ?? '') ?? 'an app that is gone'),
        ...circumstances(row),
      }))
      render(ctx, 'account/activity', { events, older_href: next_href })
    },
  }
}

function circumstances(row: AuditRow) {
  return {
    at: when(row.at),
    from: row.ip ?? undefined,
    device: row.actor_type === 'user' && row.user_agent ? deviceName(row.user_agent) : undefined,
  }
}
