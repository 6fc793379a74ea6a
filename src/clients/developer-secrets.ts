// The secrets of a developer's app: named, several at once, shown once, replaced with an overlap that the owner chooses.
import { actingUser, type SignedIn } from '../guards.ts'
import { NotFound } from '../web/errors.ts'
import { sentText } from '../web/form.ts'
import { seeOther, takeNotice } from '../web/notice.ts'
import { isUuid } from '../web/query.ts'
import { InvalidMetadata } from './metadata.ts'
import { addNamedSecret, listSecrets, revokeSecret, rotateSecret } from './secrets.ts'
import { type Client, isConfidential } from './store.ts'
import { appView } from './view.ts'
import { secretView, stateOf } from './words.ts'
import { type DeveloperParts, getOwnApp } from './yours.ts'

const OVERLAPS = [
  { value: '0', label: 'at once' },
  { value: '3600', label: 'in an hour' },
  { value: '86400', label: 'in a day' },
  { value: '604800', label: 'in 7 days' },
]

/** Handlers of /developer/apps/:client_id/secrets and below. */
export function developerSecrets({ db, render }: DeveloperParts) {
  const getKeeper = async (ctx: SignedIn): Promise<Client> => {
    const app = await getOwnApp(db, ctx)
    if (!isConfidential(app.type)) throw new NotFound('This kind of app keeps no secret.')
    return app
  }
  const pathOf = (app: Client): string => `/developer/apps/${app.id}/secrets`
  const confirm = (ctx: SignedIn, app: Client, page: object, errors: Record<string, string> = {}): void =>
    render(
      ctx,
      'clients/developer-confirm',
      {
        done: takeNotice(ctx),
        app: appView(app),
        action: ctx.path,
        cancel_href: pathOf(app),
        danger: false,
        ...page,
        errors,
      },
      Object.keys(errors).length > 0 ? 422 : 200,
    )
  const showSecret = (ctx: SignedIn, app: Client, secret: string, note: string): void =>
    render(ctx, 'clients/developer-secret', {
      heading: `A new secret for ${app.name}`,
      client_id: app.id,
      secret,
      note,
      next: { href: pathOf(app), label: `Go to the secrets of ${app.name}` },
    })

  return {
    async list(ctx: SignedIn): Promise<void> {
      const app = await getKeeper(ctx)
      const secrets = await listSecrets(db, app.id)
      render(ctx, 'clients/developer-secrets', {
        done: takeNotice(ctx),
        app: appView(app),
        state: stateOf(app),
        keeps_secrets: true,
        base: `/developer/apps/${app.id}`,
        secrets: secrets.map((secret) => secretView(secret, `/developer/apps/${app.id}`)),
      })
    },

    add: {
      async show(ctx: SignedIn): Promise<void> {
        const app = await getKeeper(ctx)
        confirm(ctx, app, addPage(app))
      },
      async send(ctx: SignedIn): Promise<void> {
        const app = await getKeeper(ctx)
        const name = sentText(ctx, 'name')
        try {
          const secret = await addNamedSecret(db, app.id, name, actingUser(ctx))
          if (secret === undefined) throw new NotFound('There is no such app.')
          showSecret(ctx, app, secret, 'The secrets it had go on working.')
        } catch (error) {
          if (!(error instanceof InvalidMetadata)) throw error
          confirm(ctx, app, addPage(app, name), { name: `Name: ${error.problem}.` })
        }
      },
    },

    rotate: {
      async show(ctx: SignedIn): Promise<void> {
        const app = await getKeeper(ctx)
        confirm(ctx, app, rotatePage(app))
      },
      async send(ctx: SignedIn): Promise<void> {
        const app = await getKeeper(ctx)
        const overlap = OVERLAPS.find(({ value }) => value === sentText(ctx, 'overlap'))
        if (!overlap) return confirm(ctx, app, rotatePage(app), { overlap: 'Choose when the old ones end.' })
        const overlapSeconds = Number(overlap.value)
        try {
          const secret = await rotateSecret(db, app.id, actingUser(ctx), { overlapSeconds })
          if (secret === undefined) throw new NotFound('There is no such app.')
          showSecret(ctx, app, secret, `The secrets it had end ${overlap.label}.`)
        } catch (error) {
          if (!(error instanceof InvalidMetadata)) throw error
          confirm(ctx, app, rotatePage(app), { overlap: `The old secrets: ${error.problem}.` })
        }
      },
    },

    revoke: {
      async show(ctx: SignedIn): Promise<void> {
        const app = await getKeeper(ctx)
        const secret = (await listSecrets(db, app.id)).find(({ id }) => id === ctx.params.secret_id)
        if (!secret) throw new NotFound('That secret has ended.')
        confirm(ctx, app, {
          heading: `Revoke the secret ${secret.prefix}… of ${app.name}?`,
          will: ['Whoever authenticates with it is refused at once.'],
          will_not: ['Tokens that were given already live on until they expire.'],
          confirm_label: 'Revoke this secret',
          danger: true,
        })
      },
      async send(ctx: SignedIn): Promise<void> {
        const app = await getKeeper(ctx)
        const id = String(ctx.params.secret_id)
        const revoked = isUuid(id) && (await revokeSecret(db, app.id, id, actingUser(ctx)))
        if (!revoked) throw new NotFound('That secret has ended.')
        seeOther(ctx, pathOf(app), { heading: 'The secret is revoked.' })
      },
    },
  }
}

function addPage(app: Client, typed = '') {
  return {
    heading: `Add a secret to ${app.name}`,
    will: ['The next page shows the new secret, this once.'],
    will_not: ['The secrets it has go on working.'],
    confirm_label: 'Add the secret',
    field: {
      name: 'name',
      label: 'Name',
      hint: 'Where it is used, e.g. “web server 2”.',
      kind: 'text',
      value: typed,
    },
  }
}

function rotatePage(app: Client) {
  return {
    heading: `Give ${app.name} a new secret?`,
    will: [
      'The next page shows the new secret, this once.',
      'The secrets it has end when you say: choose as long as you need to put the new one everywhere.',
    ],
    will_not: ['Tokens that were given already live on until they expire.'],
    confirm_label: 'Make a new secret',
    field: {
      name: 'overlap',
      label: 'The old secrets end',
      kind: 'select',
      options: OVERLAPS,
      value: '86400',
    },
  }
}
