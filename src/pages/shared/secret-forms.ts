// The forms that add, replace and revoke the secrets of an app or an API, for developers and administrators. The caller passes what
// differs between them.
import { isUuid } from '../../base/ids.ts'
import { InvalidMetadata } from '../../core/clients/metadata.ts'
import type { AppView } from '../../core/clients/presentation.ts'
import { addNamedSecret, listSecrets, revokeSecret, rotateSecret } from '../../core/clients/secrets.ts'
import type { Pool } from '../../db/pool.ts'
import { NotFound } from '../../http/errors.ts'
import { sentText } from '../../http/form.ts'
import { seeOther } from '../../http/notice.ts'
import { actingUser, type SignedIn } from '../../protocol/guards.ts'
import type { Confirm, Confirmation } from './confirm-page.ts'
import type { SecretPage, ShowSecret } from './secret-page.ts'

/** Whose secrets they are, and the link to the page to go back to. */
export interface SecretHolder {
  name: string
  client_id: string
  back: { href: string; label: string }
  /** Shown on the pages, where it is an app. */
  app?: AppView
}

/** What differs between the places that have these forms. */
export interface SecretFormParts {
  db: Pool
  /** @throws NotFound where the app or API has no secrets, or is somebody else's */
  getHolder(ctx: SignedIn): Promise<SecretHolder>
  confirm: Confirm
  reveal: ShowSecret
  /** The parameter of the address that names the secret to revoke; `secret_id` by default. */
  parameter?: string
  /** What revoking does, and what neither revoking nor replacing touches. */
  effects: { revoked: string; untouched: string }
}

const OVERLAPS = [
  { value: '0', label: 'at once' },
  { value: '3600', label: 'in an hour' },
  { value: '86400', label: 'in a day' },
  { value: '604800', label: 'in 7 days' },
  { value: '2592000', label: 'in 30 days' },
]
const GONE = 'There is nothing that keeps this secret any more.'

/** The forms to add a secret, to replace all of them with a new one, and to revoke one. */
export function secretForms(parts: SecretFormParts) {
  return { add: addForm(parts), rotate: rotateForm(parts), revoke: revokeForm(parts) }
}

function addForm({ db, getHolder, confirm, reveal }: SecretFormParts) {
  return {
    async show(ctx: SignedIn): Promise<void> {
      confirm(ctx, addPage(await getHolder(ctx)))
    },
    async send(ctx: SignedIn): Promise<void> {
      const holder = await getHolder(ctx)
      const name = sentText(ctx, 'name')
      try {
        const secret = await addNamedSecret(db, holder.client_id, name, actingUser(ctx))
        if (secret === undefined) throw new NotFound(GONE)
        reveal(ctx, newSecretPage(holder, secret, 'The secrets it had go on working.'))
      } catch (error) {
        if (!(error instanceof InvalidMetadata)) throw error
        confirm(ctx, addPage(holder, name), { name: `Name: ${error.problem}.` })
      }
    },
  }
}

function rotateForm({ db, getHolder, confirm, reveal, effects }: SecretFormParts) {
  return {
    async show(ctx: SignedIn): Promise<void> {
      confirm(ctx, rotatePage(await getHolder(ctx), effects.untouched))
    },
    async send(ctx: SignedIn): Promise<void> {
      const holder = await getHolder(ctx)
      const page = rotatePage(holder, effects.untouched)
      const overlap = OVERLAPS.find(({ value }) => value === sentText(ctx, 'overlap'))
      if (!overlap) return confirm(ctx, page, { overlap: 'Choose when the old ones end.' })
      const overlapSeconds = Number(overlap.value)
      try {
        const secret = await rotateSecret(db, holder.client_id, actingUser(ctx), { overlapSeconds })
        if (secret === undefined) throw new NotFound(GONE)
        reveal(ctx, newSecretPage(holder, secret, `The secrets it had end ${overlap.label}.`))
      } catch (error) {
        if (!(error instanceof InvalidMetadata)) throw error
        confirm(ctx, page, { overlap: `The old secrets: ${error.problem}.` })
      }
    },
  }
}

function revokeForm({ db, getHolder, confirm, effects, parameter = 'secret_id' }: SecretFormParts) {
  return {
    async show(ctx: SignedIn): Promise<void> {
      const holder = await getHolder(ctx)
      const secret = (await listSecrets(db, holder.client_id)).find(({ id }) => id === ctx.params[parameter])
      if (!secret) throw new NotFound('That secret has ended.')
      confirm(ctx, {
        app: holder.app,
        heading: `Revoke the secret ${secret.prefix}… of ${holder.name}?`,
        will: [effects.revoked],
        will_not: [effects.untouched],
        confirm_label: 'Revoke this secret',
        danger: true,
        cancel_href: holder.back.href,
      })
    },
    async send(ctx: SignedIn): Promise<void> {
      const holder = await getHolder(ctx)
      const id = String(ctx.params[parameter])
      const revoked = isUuid(id) && (await revokeSecret(db, holder.client_id, id, actingUser(ctx)))
      if (!revoked) throw new NotFound('That secret has ended.')
      seeOther(ctx, holder.back.href, { heading: 'The secret is revoked.' })
    },
  }
}

/** The effects where the secrets are those of an app. */
export const EFFECTS_FOR_APPS = {
  revoked: 'Whoever authenticates with it is refused at once.',
  untouched: 'Tokens that were given already live on until they expire.',
}

function newSecretPage({ name, client_id, back }: SecretHolder, secret: string, note: string): SecretPage {
  return { heading: `A new secret for ${name}`, note, id: client_id, secret, next: back }
}

function addPage({ name, app, back }: SecretHolder, typed = ''): Confirmation {
  return {
    app,
    heading: `Add a secret to ${name}`,
    will: ['The next page shows the new secret, this once.'],
    will_not: ['The secrets it has go on working.'],
    confirm_label: 'Add the secret',
    cancel_href: back.href,
    field: {
      name: 'name',
      label: 'Name',
      hint: 'Where it is used, e.g. “web server 2”.',
      kind: 'text',
      value: typed,
    },
  }
}

function rotatePage({ name, app, back }: SecretHolder, untouched: string): Confirmation {
  return {
    app,
    heading: `Give ${name} a new secret?`,
    will: [
      'The next page shows the new secret, this once.',
      'The secrets it has end when you say: choose as long as you need to put the new one everywhere.',
    ],
    will_not: [untouched],
    confirm_label: 'Make a new secret',
    cancel_href: back.href,
    field: {
      name: 'overlap',
      label: 'The old secrets end',
      kind: 'select',
      options: OVERLAPS,
      value: '86400',
    },
  }
}
