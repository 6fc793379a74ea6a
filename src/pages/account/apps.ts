// The apps that have access to an account, as its owner sees and removes them.
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
import { NotFound } from '../../http/errors.ts'
import { type Notice, seeOther, takeNotice } from '../../http/notice.ts'
import type { Render } from '../../http/render.ts'
import { when } from '../../http/time.ts'
import { actingUser, type SignedIn } from '../../protocol/guards.ts'
import { currentDeviceId } from '../../protocol/rules/device.ts'
import { type Confirm, confirmPages } from '../shared/confirm-page.ts'

const LIST = '/account/apps'
const UNUSED_DAYS = 90
const ENDS_ACCESS = { danger: true, cancel_href: LIST }
const GONE = 'That app has no access to your account.'
const GONE_ON_DEVICE = 'That app has no access on that device.'
const NO_APPS = 'No app has access to your account.'

/** What these pages are made of. */
interface AppsParts {
  db: Pool
  resources: ResourceDirectory
  render: Render
}

/** Handlers of /account/apps and below. */
export function appPages(parts: AppsParts) {
  const list = listPages(parts)
  const confirm = confirmPages(parts.render, 'account')
  return {
    list: (ctx: SignedIn) => list.show(ctx, takeNotice(ctx)),
    ...removeApp(parts.db, list, confirm),
    ...removeDevice(parts.db, list, confirm),
    ...removeAll(parts.db, list, confirm),
  }
}

interface ListPages {
  show(ctx: SignedIn, done?: Notice, status?: number): Promise<void>
  /** Shows the present list where the access has ended already: in another tab, or by the first of two clicks. */
  showGone(ctx: SignedIn, heading: string): Promise<void>
}

function listPages({ db, resources, render }: AppsParts): ListPages {
  const show = async (ctx: SignedIn, done?: Notice, status?: number): Promise<void> => {
    const apps = await listApps(db, ctx.state.user.id)
    const views = await Promise.all(apps.map((app) => viewOf(app, resources, currentDeviceId(ctx))))
    const remove_all_href = views.length > 1 ? `${LIST}/remove-all` : undefined
    render(ctx, 'account/apps', { apps: views, remove_all_href, done }, status)
  }
  return {
    show,
    async showGone(ctx, heading) {
      if (ctx.accepts('json', 'html') !== 'html') throw new NotFound(heading)
      await show(ctx, { heading }, 404)
    },
  }
}

function removeApp(db: Pool, { showGone }: ListPages, confirm: Confirm) {
  return {
    async confirmRemove(ctx: SignedIn): Promise<void> {
      const app = await findApp(db, ctx)
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
        stays: [keepsCopies(name), `Your account at ${name}, if you have one there, stays.`],
        confirm_label: 'Remove access',
        ...ENDS_ACCESS,
      })
    },

    async remove(ctx: SignedIn): Promise<void> {
      const receipt = await revokeApp(db, ctx.state.user.id, String(ctx.params.client_id), actingUser(ctx))
      if (!receipt) return showGone(ctx, GONE)
      const { client_name: name } = receipt
      seeOther(ctx, LIST, {
        heading: `${name} has no access any more.`,
        lines: [ended(receipt), keepsCopies(name)],
      })
    },
  }
}

function removeDevice(db: Pool, { showGone }: ListPages, confirm: Confirm) {
  return {
    async confirmRemoveDevice(ctx: SignedIn): Promise<void> {
      const app = await findApp(db, ctx)
      const device = app?.devices.find(({ device_id }) => device_id === ctx.params.device)
      if (!app || !device) return showGone(ctx, GONE_ON_DEVICE)
      const { client_name: name, devices } = app
      confirm(ctx, {
        heading: `Remove access for ${name} on ${device.name}?`,
        app: brandingOf(app),
        will: [
          `${name} can no longer use your account on ${device.name}, from the moment you press the button.`,
        ],
        stays: [
          devices.length > 1
            ? 'On your other devices it goes on.'
            : 'What you allowed stays remembered: signing in to the app again needs no new decision.',
        ],
        confirm_label: 'Remove this device',
        ...ENDS_ACCESS,
      })
    },

    async removeDevice(ctx: SignedIn): Promise<void> {
      const app = await findApp(db, ctx)
      const device = String(ctx.params.device)
      const receipt =
        app && (await revokeDevice(db, ctx.state.user.id, app.client_id, device, actingUser(ctx)))
      if (!app || !receipt) return showGone(ctx, GONE_ON_DEVICE)
      seeOther(ctx, LIST, { heading: `${app.client_name} has no access on ${receipt.device} any more.` })
    },
  }
}

function removeAll(db: Pool, { showGone }: ListPages, confirm: Confirm) {
  return {
    async confirmRemoveAll(ctx: SignedIn): Promise<void> {
      const apps = await listApps(db, ctx.state.user.id)
      if (apps.length === 0) return showGone(ctx, NO_APPS)
      confirm(ctx, {
        heading: `Remove access for all ${apps.length} apps?`,
        will: apps.map(({ client_name }) => `${client_name} can no longer use your account.`),
        stays: ['The apps keep what they have copied already.', 'You stay signed in here.'],
        confirm_label: 'Remove all',
        ...ENDS_ACCESS,
      })
    },

    async removeAll(ctx: SignedIn): Promise<void> {
      const receipts = await revokeAllApps(db, ctx.state.user.id, actingUser(ctx))
      if (receipts.length === 0) return showGone(ctx, NO_APPS)
      const lines = receipts.map((receipt) => `${receipt.client_name}: ${lowerFirst(ended(receipt))}`)
      seeOther(ctx, LIST, {
        heading: 'No app has access to your account any more.',
        lines: lines.slice(0, 20),
      })
    },
  }
}

async function findApp(db: Pool, ctx: SignedIn): Promise<AppWithAccess | undefined> {
  const [app] = await listApps(db, ctx.state.user.id, String(ctx.params.client_id))
  return app
}

async function viewOf(app: AppWithAccess, resources: ResourceDirectory, currentDevice: string | undefined) {
  const path = `${LIST}/${encodeURIComponent(app.client_id)}`
  const lastUsed = app.last_used_at ?? app.allowed_at
  return {
    app: brandingOf(app),
    sentences: await sentencesOf(app.scopes, resources),
    allowed: when(app.allowed_at),
    last_used: when(lastUsed),
    ends: when(app.ends_at),
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

async function sentencesOf(scopes: string[], resources: ResourceDirectory): Promise<string[]> {
  const openid = openidWords(new Set(scopes)).map(
    ({ sentence, detail }) => `${sentence}: ${lowerFirst(detail)}`,
  )
  const found = await Promise.all(scopes.map((scope) => resources.findScope(scope)))
  return [...openid, ...found.flatMap((scope) => scope?.sentence ?? [])]
}

function brandingOf(app: AppWithAccess): AppView {
  return appView({ ...app, id: app.client_id, name: app.client_name }, undefined, app.client_host)
}

function keepsCopies(name: string): string {
  return `${name} keeps what it has copied already. Ask it to delete that.`
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
