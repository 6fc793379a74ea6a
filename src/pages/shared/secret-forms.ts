// The forms that add, replace and end secrets, whoever keeps them: a developer, an administrator, an API. What differs between
// them, the page that uses them hands in.

import { InvalidMetadata } from '../../core/clients/metadata.ts'
import { addNamedSecret, listSecrets, revokeSecret, rotateSecret } from '../../core/clients/secrets.ts'
import type { Pool } from '../../db/pool.ts'
import { NotFound } from '../../http/errors.ts'
import { sentText } from '../../http/form.ts'
import { seeOther } from '../../http/notice.ts'
import { isUuid } from '../../http/query.ts'
import { actingUser, type SignedIn } from '../../protocol/guards.ts'

/** Whose secrets they are, and where to go on. */
export interface Keeper {
  name: string
  client_id: string
  back: string
}

/** What one place has of its own. */
export interface SecretPlace<K extends Keeper> {
  db: Pool
  /** @throws NotFound for what keeps no secret, or is not theirs */
  getKeeper(ctx: SignedIn): Promise<K>
  confirm(ctx: SignedIn, keeper: K, page: object, errors?: Record<string, string>): void
  /** Shows a secret this once. */
  reveal(ctx: SignedIn, keeper: K, secret: { heading: string; secret: string; note: string }): void
  /** What the address calls the secret that is revoked; `secret_id` unless said. */
  parameter?: string
  /** What revoking and replacing do, and what they leave alone. */
  words: { revoked: string; stays: string }
}

const OVERLAPS = [
  { value: '0', label: 'at once' },
  { value: '3600', label: 'in an hour' },
  { value: '86400', label: 'in a day' },
  { value: '604800', label: 'in 7 days' },
  { value: '2592000', label: 'in 30 days' },
]
const GONE = 'There is nothing that keeps this secret any more.'

/** The forms to add a secret, to replace all with a new one, and to revoke one. */
export function secretForms<K extends Keeper>(place: SecretPlace<K>) {
  const { db, getKeeper, confirm, reveal, words, parameter = 'secret_id' } = place
  const show = (ctx: SignedIn, keeper: K, secret: string, note: string): void =>
    reveal(ctx, keeper, { heading: `A new secret for ${keeper.name}`, secret, note })
  const idOf = (ctx: SignedIn): string => String(ctx.params[parameter])

  return {
    add: {
      async show(ctx: SignedIn): Promise<void> {
        const keeper = await getKeeper(ctx)
        confirm(ctx, keeper, addPage(keeper))
      },
      async send(ctx: SignedIn): Promise<void> {
        const keeper = await getKeeper(ctx)
        const name = sentText(ctx, 'name')
        try {
          const secret = await addNamedSecret(db, keeper.client_id, name, actingUser(ctx))
          if (secret === undefined) throw new NotFound(GONE)
          show(ctx, keeper, secret, 'The secrets it had go on working.')
        } catch (error) {
          if (!(error instanceof InvalidMetadata)) throw error
          confirm(ctx, keeper, addPage(keeper, name), { name: `Name: ${error.problem}.` })
        }
      },
    },

    rotate: {
      async show(ctx: SignedIn): Promise<void> {
        const keeper = await getKeeper(ctx)
        confirm(ctx, keeper, rotatePage(keeper, words.stays))
      },
      async send(ctx: SignedIn): Promise<void> {
        const keeper = await getKeeper(ctx)
        const page = rotatePage(keeper, words.stays)
        const overlap = OVERLAPS.find(({ value }) => value === sentText(ctx, 'overlap'))
        if (!overlap) return confirm(ctx, keeper, page, { overlap: 'Choose when the old ones end.' })
        const overlapSeconds = Number(overlap.value)
        try {
          const secret = await rotateSecret(db, keeper.client_id, actingUser(ctx), { overlapSeconds })
          if (secret === undefined) throw new NotFound(GONE)
          show(ctx, keeper, secret, `The secrets it had end ${overlap.label}.`)
        } catch (error) {
          if (!(error instanceof InvalidMetadata)) throw error
          confirm(ctx, keeper, page, { overlap: `The old secrets: ${error.problem}.` })
        }
      },
    },

    revoke: {
      async show(ctx: SignedIn): Promise<void> {
        const keeper = await getKeeper(ctx)
        const secret = (await listSecrets(db, keeper.client_id)).find(({ id }) => id === idOf(ctx))
        if (!secret) throw new NotFound('That secret has ended.')
        confirm(ctx, keeper, {
          heading: `Revoke the secret ${secret.prefix}… of ${keeper.name}?`,
          will: [words.revoked],
          will_not: [words.stays],
          confirm_label: 'Revoke this secret',
          danger: true,
        })
      },
      async send(ctx: SignedIn): Promise<void> {
        const keeper = await getKeeper(ctx)
        const id = idOf(ctx)
        const revoked = isUuid(id) && (await revokeSecret(db, keeper.client_id, id, actingUser(ctx)))
        if (!revoked) throw new NotFound('That secret has ended.')
        seeOther(ctx, keeper.back, { heading: 'The secret is revoked.' })
      },
    },
  }
}

/** The words for the secrets of apps. */
export const OF_APPS = {
  revoked: 'Whoever authenticates with it is refused at once.',
  stays: 'Tokens that were given already live on until they expire.',
}

function addPage({ name }: Keeper, typed = '') {
  return {
    heading: `Add a secret to ${name}`,
    will: ['The next page shows the new secret, this once.'],
    will_not: ['The secrets it has go on working.'],
    confirm_label: 'Add the secret',
    danger: false,
    field: {
      name: 'name',
      label: 'Name',
      hint: 'Where it is used, e.g. “web server 2”.',
      kind: 'text',
      value: typed,
    },
  }
}

function rotatePage({ name }: Keeper, stays: string) {
  return {
    heading: `Give ${name} a new secret?`,
    will: [
      'The next page shows the new secret, this once.',
      'The secrets it has end when you say: choose as long as you need to put the new one everywhere.',
    ],
    will_not: [stays],
    confirm_label: 'Make a new secret',
    danger: false,
    field: {
      name: 'overlap',
      label: 'The old secrets end',
      kind: 'select',
      options: OVERLAPS,
      value: '86400',
    },
  }
}
