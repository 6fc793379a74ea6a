// Apps with access, as their owner sees and removes them.

import { openidWords } from '../../base/openid-scopes.ts'
import { type AppView, appView } from '../../core/clients/presentation.ts'
import {
  type AppWithAccess,
  listApps,
  type Receipt,
  revokeAllApps,
  revokeApp,
  revokeDevice,
} from '../../core/grants/account-apps.ts'
import type { ResourceDirectory } from '../../core/resources/cache.ts'
import type { Pool } from '../../db/pool.ts'
import { actorOf } from '../../http/actor.ts'
import { NotFound } from '../../http/errors.ts'
import { type Notice, seeOther, takeNotice } from '../../http/notice.ts'
import type { Render } from '../../http/render.ts'
import { when } from '../../http/time.ts'
import type { SignedIn } from '../../protocol/guards.ts'
import { currentDeviceId } from '../../protocol/rules/device.ts'

const UNUSED_DAYS = 90
const GONE = 'That app has no access to your account.'
const GONE_THERE = 'That app has no access on that device.'
const NONE = 'No app has access to your account.'
const KEEPS = (name: string) => `${name} keeps what it has copied already. Ask it to delete that.`

/** Handlers of /account/apps and below. */
export function appPages({
  db,
  resources,
  render,
}: {
  db: Pool
  resources: ResourceDirectory
  render: Render
}) {
  const find = async (ctx: SignedIn): Promise<AppWithAccess | undefined> => {
    const [app] = await listApps(db, ctx.state.user.id, String(ctx.params.client_id))
    return app
  }
  const show = async (ctx: SignedIn, done?: Notice, status?: number): Promise<void> => {
    const apps = await listApps(db, ctx.state.user.id)
    const shown = await Promise.all(apps.map((app) => viewOf(app, currentDeviceId(ctx))))
    const remove_all_href = shown.length > 1 ? '/account/apps/remove-all' : undefined
    render(ctx, 'account/apps', { apps: shown, remove_all_href, done }, status)
  }
  // Removed in another tab, or by the first of two clicks: the list says how it stands.
  const showGone = (ctx: SignedIn, heading: string): Promise<void> => {
    if (ctx.accepts('json', 'html') !== 'html') throw new NotFound(heading)
    return show(ctx, { heading }, 404)
  }
  const confirm = (ctx: SignedIn, page: Confirmation): void =>
    render(ctx, 'account/remove', { ...page, action: ctx.path, cancel_href: '/account/apps' })
  const by = (ctx: SignedIn) => ({ ...actorOf(ctx), id: ctx.state.user.id })

  return {
    list: (ctx: SignedIn) => show(ctx, takeNotice(ctx)),

    async confirmRemove(ctx: SignedIn): Promise<void> {
      const app = await find(ctx)
      if (!app) return showGone(ctx, GONE)
      const name = app.client_name
      confirm(ctx, {
        heading: `Remove access for ${name}?`,
        app: brandingOf(app),
        will: [
          `${name} can no longer use your account, from the moment you press the button.`,
          ...(app.devices.length > 1 ? [`This ends its access on all ${app.devices.length} devices.`] : []),
          'To use it again, you will have to allow it again.',
        ],
        will_not: [KEEPS(name), `Your account at ${name}, if you have one there, stays.`],
        confirm_label: 'Remove access',
      })
    },

    async remove(ctx: SignedIn): Promise<void> {
      const receipt = await revokeApp(db, ctx.state.user.id, String(ctx.params.client_id), by(ctx))
      if (!receipt) return showGone(ctx, GONE)
      const { client_name: name } = receipt
      seeOther(ctx, '/account/apps', {
        heading: `${name} has no access any more.`,
        lines: [ended(receipt), KEEPS(name)],
      })
    },

    async confirmRemoveDevice(ctx: SignedIn): Promise<void> {
      const app = await find(ctx)
      const device = app?.devices.find(({ device_id }) => device_id === ctx.params.device)
      if (!app || !device) return showGone(ctx, GONE_THERE)
      confirm(ctx, {
        heading: `Remove access for ${app.client_name} on ${device.name}?`,
        app: brandingOf(app),
        will: [
          `${app.client_name} can no longer use your account on ${device.name}, from the moment you press the button.`,
        ],
        will_not: [
          app.devices.length > 1
            ? 'On your other devices it goes on.'
            : 'What you allowed stays remembered: signing in to the app again needs no new decision.',
        ],
        confirm_label: 'Remove this device',
      })
    },

    async removeDevice(ctx: SignedIn): Promise<void> {
      const app = await find(ctx)
      const receipt =
        app && (await revokeDevice(db, ctx.state.user.id, app.client_id, String(ctx.params.device), by(ctx)))
      if (!app || !receipt) return showGone(ctx, GONE_THERE)
      seeOther(ctx, '/account/apps', {
        heading: `${app.client_name} has no access on ${receipt.device} any more.`,
      })
    },

    async confirmRemoveAll(ctx: SignedIn): Promise<void> {
      const apps = await listApps(db, ctx.state.user.id)
      if (apps.length === 0) return showGone(ctx, NONE)
      confirm(ctx, {
        heading: `Remove access for all ${apps.length} apps?`,
        will: apps.map(({ client_name }) => `${client_name} can no longer use your account.`),
        will_not: ['The apps keep what they have copied already.', 'You stay signed in here.'],
        confirm_label: 'Remove all',
      })
    },

    async removeAll(ctx: SignedIn): Promise<void> {
      const receipts = await revokeAllApps(db, ctx.state.user.id, by(ctx))
      if (receipts.length === 0) return showGone(ctx, NONE)
      seeOther(ctx, '/account/apps', {
        heading: 'No app has access to your account any more.',
        lines: receipts
          .map((receipt) => `${receipt.client_name}: ${lowerFirst(ended(receipt))}`)
          .slice(0, 20),
      })
    },
  }

  async function viewOf(app: AppWithAccess, currentDevice: string | undefined) {
    const path = `/account/apps/${encodeURIComponent(app.client_id)}`
    const lastUsed = app.last_used_at ?? app.allowed_at
    return {
      app: brandingOf(app),
      sentences: await sentencesOf(app.scopes),
      allowed: when(app.allowed_at),
      last_used: when(lastUsed),
      ends: app.ends_at ? when(app.ends_at) : undefined,
      unused: unusedFor(lastUsed),
      remove_href: `${path}/remove`,
      devices: app.devices.map((device) => ({
        id: device.device_id,
        label: device.name,
        last_used: when(device.last_used_at),
        current: device.device_id === currentDevice,
        remove_href: `${path}/devices/${device.device_id}/remove`,
      })),
    }
  }

  async function sentencesOf(scopes: string[]): Promise<string[]> {
    const openid = openidWords(new Set(scopes)).map(
      ({ sentence, detail }) => `${sentence}: ${lowerFirst(detail)}`,
    )
    const found = await Promise.all(scopes.map((scope) => resources.findScope(scope)))
    return [...openid, ...found.flatMap((scope) => scope?.sentence ?? [])]
  }
}

/** What the confirmation page says; it says exactly what will happen. */
interface Confirmation {
  heading: string
  app?: ReturnType<typeof appView>
  will: string[]
  will_not: string[]
  confirm_label: string
}

function brandingOf(app: AppWithAccess): AppView {
  return appView({ ...app, id: app.client_id, name: app.client_name }, undefined, app.client_host)
}

function ended({ devices }: Receipt): string {
  if (devices === 0) return 'It was not in use on any device.'
  return devices === 1 ? 'Its access ended on 1 device.' : `Its access ended on ${devices} devices.`
}

function unusedFor(lastUsed: Date): string | undefined {
  const days = Math.floor((Date.now() - lastUsed.getTime()) / 86_400_000)
  if (days < UNUSED_DAYS) return undefined
  return `Unused for ${Math.floor(days / 30)} months`
}

function lowerFirst(text: string): string {
  return text.charAt(0).toLowerCase() + text.slice(1)
}
