// The secrets with which an API asks about tokens, as administrators keep them: add one, replace all, end one.
import { InvalidMetadata } from '../clients/metadata.ts'
import { addNamedSecret, listSecrets, revokeSecret, rotateSecret } from '../clients/secrets.ts'
import type { Pool } from '../db/pool.ts'
import { actingUser, type SignedIn } from '../guards.ts'
import { NotFound } from '../web/errors.ts'
import { sentText } from '../web/form.ts'
import { seeOther, takeNotice } from '../web/notice.ts'
import { isUuid } from '../web/query.ts'
import type { Render } from '../web/render.ts'
import { apiAt, apiPath } from './address.ts'
import { introspectionClient } from './edit.ts'
import type { Resource } from './store.ts'

const OVERLAPS = [
  { value: '0', label: 'at once' },
  { value: '3600', label: 'in an hour' },
  { value: '86400', label: 'in a day' },
  { value: '604800', label: 'in a week' },
]

/** Forms of /admin/apis/:api/secret and /admin/apis/:api/secrets. */
export function resourceAdminSecrets({ db, render }: { db: Pool; render: Render }) {
  const getKeeper = async (ctx: SignedIn): Promise<{ api: Resource; client_id: string }> => {
    const api = await apiAt(db, String(ctx.params.api))
    const client_id = await introspectionClient(db, api.identifier)
    if (!client_id) throw new NotFound('This API has no credentials.')
    return { api, client_id }
  }
  const confirm = (ctx: SignedIn, api: Resource, page: object, errors: Errors = {}, status = 200): void =>
    render(
      ctx,
      'admin/confirm',
      { done: takeNotice(ctx), action: ctx.path, cancel_href: apiPath(api), danger: false, ...page, errors },
      status,
    )
  const showSecret = (ctx: SignedIn, keeper: Keeper, secret: string, note: string): void =>
    render(ctx, 'admin/secret', {
      heading: `A new secret for ${keeper.api.name}`,
      note,
      client_id: keeper.client_id,
      secret,
      next: { href: apiPath(keeper.api), label: `Go to ${keeper.api.name}` },
    })
  const getSecret = async (ctx: SignedIn, { client_id }: Keeper) => {
    const secret = (await listSecrets(db, client_id)).find(({ id }) => id === ctx.params.api_secret_id)
    if (!secret) throw new NotFound('That secret has ended.')
    return secret
  }

  return {
    add: {
      async show(ctx: SignedIn): Promise<void> {
        const { api } = await getKeeper(ctx)
        confirm(ctx, api, addPage(api))
      },
      async send(ctx: SignedIn): Promise<void> {
        const keeper = await getKeeper(ctx)
        const name = sentText(ctx, 'name')
        try {
          const secret = await addNamedSecret(db, keeper.client_id, name, actingUser(ctx))
          if (secret === undefined) throw new NotFound('This API has no credentials.')
          showSecret(ctx, keeper, secret, 'The secrets it had go on working.')
        } catch (error) {
          if (!(error instanceof InvalidMetadata)) throw error
          confirm(ctx, keeper.api, addPage(keeper.api, name), { name: `Name: ${error.problem}.` }, 422)
        }
      },
    },

    rotate: {
      async show(ctx: SignedIn): Promise<void> {
        const { api } = await getKeeper(ctx)
        confirm(ctx, api, rotatePage(api))
      },
      async send(ctx: SignedIn): Promise<void> {
        const keeper = await getKeeper(ctx)
        const { api, client_id } = keeper
        const overlap = OVERLAPS.find(({ value }) => value === sentText(ctx, 'overlap'))
        if (!overlap)
          return confirm(ctx, api, rotatePage(api), { overlap: 'Choose when the old ones end.' }, 422)
        const overlapSeconds = Number(overlap.value)
        try {
          const secret = await rotateSecret(db, client_id, actingUser(ctx), { overlapSeconds })
          if (secret === undefined) throw new NotFound('This API has no credentials.')
          showSecret(ctx, keeper, secret, `The secrets it had end ${overlap.label}.`)
        } catch (error) {
          if (!(error instanceof InvalidMetadata)) throw error
          confirm(ctx, api, rotatePage(api), { overlap: `The old secrets: ${error.problem}.` }, 422)
        }
      },
    },

    revoke: {
      async show(ctx: SignedIn): Promise<void> {
        const keeper = await getKeeper(ctx)
        const secret = await getSecret(ctx, keeper)
        confirm(ctx, keeper.api, {
          heading: `Revoke the secret ${secret.prefix}… of ${keeper.api.name}?`,
          will: ['Whoever asks about tokens with it is refused at once.'],
          will_not: ['Tokens are not touched.'],
          confirm_label: 'Revoke this secret',
          danger: true,
        })
      },
      async send(ctx: SignedIn): Promise<void> {
        const { api, client_id } = await getKeeper(ctx)
        const id = String(ctx.params.api_secret_id)
        const revoked = isUuid(id) && (await revokeSecret(db, client_id, id, actingUser(ctx)))
        if (!revoked) throw new NotFound('That secret has ended.')
        seeOther(ctx, apiPath(api), { heading: 'The secret is revoked.' })
      },
    },
  }
}

type Errors = Record<string, string>

interface Keeper {
  api: Resource
  client_id: string
}

function addPage(api: Resource, typed = ''): object {
  return {
    heading: `Add a secret to ${api.name}`,
    will: ['The next page shows the new secret, this once.'],
    will_not: ['The secrets it has go on working.'],
    confirm_label: 'Add the secret',
    field: {
      name: 'name',
      label: 'Name',
      hint: 'Where it is used, e.g. “server in Oslo”.',
      kind: 'text',
      value: typed,
    },
  }
}

function rotatePage(api: Resource): object {
  return {
    heading: `Give ${api.name} a new secret?`,
    will: ['The next page shows the new secret, this once.', 'The secrets it has end when you say.'],
    will_not: ['Tokens are not touched.'],
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
