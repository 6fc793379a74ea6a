// What the developers' pages share: above all the check that an app is the developer's own. To others it does not exist.
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

/** What the developers' pages are made of. */
export interface DeveloperParts {
  db: Pool
  resources: ResourceDirectory
  render: Render
  mode: Config['developerRegistration']
}

/** Whether an administrator has to approve what developers register and change. */
export function policyOf({ mode }: Pick<DeveloperParts, 'mode'>): { approval: boolean } {
  return { approval: mode === 'approval' }
}

/** The message for an app that does not exist and for one of somebody else: it must not tell the two apart. */
export const NO_SUCH_APP = 'There is no such app, or it is not yours.'

/** The page of an app, or one below it. */
export function ownAppPath(id: string, below = ''): string {
  return `/developer/apps/${id}${below && `/${below}`}`
}

/** The app that an address names, if the person who is signed in looks after it. @throws NotFound */
export async function getOwnApp(db: Db, ctx: Context): Promise<Client> {
  const client = await findOwnApp(db, String(ctx.params.client_id), (ctx.state.user as { id: string }).id)
  if (!client) throw new NotFound(NO_SUCH_APP)
  return client
}

/** The locals of the head of an app's pages: what views/developer/layout.pug shows. */
export function headOf(ctx: Context, app: Client) {
  return {
    done: takeNotice(ctx),
    app: appView(app),
    state: stateOf(app),
    keeps_secrets: isConfidential(app.type),
    base: ownAppPath(app.id),
  }
}
