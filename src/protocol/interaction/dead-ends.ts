// Pages of an authorization request that cannot go on: it is over, or its app waits for approval.
import type { Context } from 'koa'
import type { ClientDirectory, Registration } from '../../core/clients/cache.ts'
import { mayUse } from '../../core/clients/owners.ts'
import { appView } from '../../core/clients/presentation.ts'
import type { RejectedRequestRecorder } from '../../core/diagnostics/store.ts'
import { findUser } from '../../core/users/store.ts'
import type { Pool } from '../../db/pool.ts'
import type { Render } from '../../http/render.ts'
import { placeOf } from '../../http/throttle.ts'
import { throughStorage } from '../storage/errors.ts'
import { findState } from '../storage/state.ts'
import type { Step } from './step.ts'

/** What these pages are made of. */
export interface DeadEndParts {
  db: Pool
  render: Render
  clients: ClientDirectory
  rejectedRequests: RejectedRequestRecorder
}

/** Makes these pages. */
export function deadEnds({ db, render, clients, rejectedRequests }: DeadEndParts) {
  return { showOver, isWaiting, showWaiting, showPending }

  /** Says that the request is over (back button, second tab), and what to do. */
  async function showOver(ctx: Context): Promise<void> {
    const over = await throughStorage(() => findState(db, 'decision', String(ctx.params.uid)))
    const { client_id = '' } = (over?.payload ?? {}) as { client_id?: string }
    const client = await clients.find(client_id)
    const app = client && appView(client)
    const home = client?.homepage_uri
    render(
      ctx,
      'message',
      {
        tone: 'info',
        heading: over?.consumed ? 'You have finished here' : 'This page has expired',
        text: app
          ? `To use ${app.name}, go back to it. If it does not know you, start again from there.`
          : 'Go back to the app you came from and start again from there.',
        link: home ? { href: home, label: `Go to ${app?.name}` } : undefined,
        links: [{ href: '/account', label: 'Go to your account' }],
      },
      over?.consumed ? 200 : 410,
    )
  }

  /** Whether the app is not approved yet: its owners may try it out, nobody else is asked about it. */
  async function isWaiting(step: Step): Promise<boolean> {
    const client = await clients.find(step.client_id)
    return client !== undefined && !(await mayUse(db, client, step.user_id!))
  }

  function notePending(ctx: Context, client_id: string): void {
    rejectedRequests.note({
      client_id,
      kind: 'app_pending',
      endpoint: '/auth',
      error: 'not_approved',
      authenticated: false,
      place: placeOf(ctx.ip),
    })
  }

  /** Says to somebody who is signed in that the app is not approved yet. */
  async function showWaiting(ctx: Context, step: Step): Promise<void> {
    notePending(ctx, step.client_id)
    const user = await findUser(db, step.user_id!)
    const locals = {
      email: user?.email,
      other_account_action: step.path('switch'),
      for_device: step.deviceCode !== undefined,
    }
    step.show(ctx, 'protocol/waiting', locals, 403)
  }

  /** Says so of an app that has no owner who could try it out meanwhile. */
  function showPending(ctx: Context, client: Registration): void {
    const { name, host } = appView(client)
    notePending(ctx, client.id)
    render(
      ctx,
      'message',
      {
        tone: 'info',
        heading: `${name} cannot be used yet`,
        text: `This app (${host}) registered itself and waits until an administrator approves it. Try again later.`,
        links: [{ href: '/account', label: 'Go to your account' }],
      },
      403,
    )
  }
}
