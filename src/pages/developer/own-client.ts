// What the developers' pages share, first of all the check on every row: an app that is not yours does not exist.
import type { Context } from 'koa'
import type { Config } from '../../base/config.ts'
import { isConfidential } from '../../core/clients/kinds.ts'
import { findOwnApp } from '../../core/clients/owners.ts'
import { appView } from '../../core/clients/presentation.ts'
import type { Client } from '../../core/clients/store.ts'
import type { ResourceDirectory } from '../../core/resources/cache.ts'
import type { Db, Pool } from '../../db/pool.ts'
import { NotFound } from '../../http/errors.ts'
import { takeNotice } from '../../http/notice.ts'
import type { Render } from '../../http/render.ts'
import { stateOf } from '../shared/labels.ts'

/** What the developers' pages stand on. */
export interface DeveloperParts {
  db: Pool
  resources: ResourceDirectory
  render: Render
  mode: Config['developerRegistration']
}

/** The app that an address names, if the person who is signed in looks after it. @throws NotFound */
export async function getOwnApp(db: Db, ctx: Context): Promise<Client> {
  const client = await findOwnApp(db, String(ctx.params.client_id), (ctx.state.user as { id: string }).id)
  if (!client) throw new NotFound('There is no such app, or it is not yours.')
  return client
}

/** What the head of an app's pages shows: the locals of views/developer/layout.pug. */
export function frameOf(ctx: Context, app: Client) {
  return {
    done: takeNotice(ctx),
    app: appView(app),
    state: stateOf(app),
    keeps_secrets: isConfidential(app.type),
    base: `/developer/apps/${app.id}`,
  }
}
