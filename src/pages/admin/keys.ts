// The signing keys, and the form with which administrators rotate them now.
import type { Secrets } from '../../base/secrets.ts'
import { justRotated, listKeys, RETIRED_DAYS, rotateKeys, type SigningKey } from '../../core/keys/store.ts'
import type { Pool } from '../../db/pool.ts'
import { sentText } from '../../http/form.ts'
import { seeOther, takeNotice } from '../../http/notice.ts'
import type { Render } from '../../http/render.ts'
import { when } from '../../http/time.ts'
import { actingUser, type SignedIn } from '../../protocol/guards.ts'
import { type Confirmation, confirmPages } from '../shared/confirm-page.ts'
import { KEY_STATE_LABELS } from '../shared/labels.ts'

const TOO_SOON =
  'They were rotated within the last minute: some who verify may not know the next keys yet, and refuse what they sign.'
const DAY_MS = 86_400_000
const ORDER = { current: 0, next: 1, retired: 2 } as const

/** Handlers of /admin/keys. @param rotationDays 0 where keys do not rotate by themselves */
export function keyAdmin({
  db,
  secrets,
  rotationDays,
  render,
}: {
  db: Pool
  secrets: Secrets
  rotationDays: number
  render: Render
}) {
  const confirm = confirmPages(render, 'admin')
  return {
    async list(ctx: SignedIn): Promise<void> {
      const keys = (await listKeys(db)).sort((a, b) => ORDER[a.state] - ORDER[b.state])
      render(ctx, 'admin/keys', {
        done: takeNotice(ctx),
        rotation_days: rotationDays,
        retired_days: RETIRED_DAYS,
        keys: keys.map((key) => keyView(key, rotationDays)),
      })
    },

    rotate: {
      async show(ctx: SignedIn): Promise<void> {
        confirm(ctx, rotatePage((await justRotated(db)) !== undefined))
      },
      async send(ctx: SignedIn): Promise<void> {
        if (sentText(ctx, 'again') !== 'yes' && (await justRotated(db))) {
          return seeOther(ctx, '/admin/keys/rotate', {
            heading: 'Nothing was rotated.',
            lines: [TOO_SOON],
            tone: 'warning',
          })
        }
        await rotateKeys(db, secrets, actingUser(ctx))
        seeOther(ctx, '/admin/keys', { heading: 'The next keys sign from now on.' })
      },
    },
  }
}

function rotatePage(isTooSoon: boolean): Confirmation {
  return {
    heading: 'Rotate the signing keys now?',
    will: [
      'The next keys sign from now on, on all nodes. They have been published already.',
      ...(isTooSoon ? [TOO_SOON] : []),
      `The keys that signed stay published for ${RETIRED_DAYS} days.`,
    ],
    will_not: ['Nobody is signed out, and no token becomes invalid.'],
    confirm_label: isTooSoon ? 'Rotate all the same' : 'Rotate now',
    danger: isTooSoon,
    // Only a form that showed the warning may rotate so soon again. One that is sent twice, or after somebody else's, is refused.
    hidden: { again: isTooSoon ? 'yes' : undefined },
    cancel_href: '/admin/keys',
  }
}

function keyView(key: SigningKey, rotationDays: number) {
  const since = key.activated_at ?? key.created_at
  const after = (date: Date, days: number) => when(new Date(date.getTime() + days * DAY_MS))
  return {
    kid: key.kid,
    alg: key.alg,
    state: key.state,
    state_text: KEY_STATE_LABELS[key.state],
    created: when(key.created_at),
    activated: when(key.activated_at),
    retired: when(key.retired_at),
    published_until: key.retired_at ? after(key.retired_at, RETIRED_DAYS) : undefined,
    rotates: key.state === 'current' && rotationDays > 0 ? after(since, rotationDays) : undefined,
  }
}
