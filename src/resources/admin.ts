// APIs and their scopes as administrators keep them, and the credentials with which an API looks at tokens.
import { z } from 'zod'
import { InvalidMetadata } from '../clients/metadata.ts'
import { listSecrets, rotateSecret } from '../clients/secrets.ts'
import type { Pool } from '../db/pool.ts'
import { actingUser, type SignedIn } from '../guards.ts'
import { NotFound } from '../web/errors.ts'
import { readForm, sentText } from '../web/form.ts'
import { seeOther, takeNotice } from '../web/notice.ts'
import type { Render } from '../web/render.ts'
import { when } from '../web/time.ts'
import { addScope, changeScope, introspectionClient, removeScope, renameResource } from './edit.ts'
import { createResource, listResources, type Resource, type ResourceScope } from './store.ts'

const OVERLAPS = [
  { value: '0', label: 'at once' },
  { value: '3600', label: 'in an hour' },
  { value: '86400', label: 'in a day' },
  { value: '604800', label: 'in a week' },
]

const words = z.object({
  sentence: z.string().trim().default(''),
  detail: z.string().trim().default(''),
  dangerous: z
    .string()
    .optional()
    .transform((value) => value !== undefined),
})
const scopeForm = words.extend({ scope: z.string().trim().default('') })
const apiForm = scopeForm.extend({
  identifier: z.string().trim().default(''),
  name: z.string().trim().default(''),
})

/** Handlers of /admin/apis and below. An API's identifier stands in the path as base64url: it is an address itself. */
export function resourceAdmin({ db, render }: { db: Pool; render: Render }) {
  const getApi = async (ctx: SignedIn): Promise<Resource> => {
    const identifier = Buffer.from(String(ctx.params.api), 'base64url').toString('utf8')
    const api = (await listResources(db)).find((each) => each.identifier === identifier)
    if (!api) throw new NotFound('There is no such API.')
    return api
  }
  const getScope = (api: Resource, ctx: SignedIn): ResourceScope => {
    const name = Buffer.from(String(ctx.params.scope), 'base64url').toString('utf8')
    const scope = api.scopes.find((each) => each.name === name)
    if (!scope) throw new NotFound('There is no such scope.')
    return scope
  }
  const show = async (ctx: SignedIn, errors: Errors = {}, status = 200): Promise<void> => {
    const api = await getApi(ctx)
    const path = pathOf(api)
    const client_id = await introspectionClient(db, api.identifier)
    const secrets = client_id ? await listSecrets(db, client_id) : []
    render(
      ctx,
      'resources/admin-show',
      {
        done: takeNotice(ctx),
        api,
        path,
        client_id,
        secrets: secrets.map((secret) => ({
          prefix: secret.prefix,
          created: when(secret.created_at),
          expires: secret.expires_at ? when(secret.expires_at) : undefined,
          last_used: secret.last_used_at ? when(secret.last_used_at) : undefined,
        })),
        scopes: api.scopes.map((scope) => {
          const scopePath = `${path}/scopes/${Buffer.from(scope.name).toString('base64url')}`
          return { ...scope, edit_href: scopePath, remove_href: `${scopePath}/remove` }
        }),
        errors,
      },
      status,
    )
  }
  const showNew = (ctx: SignedIn, errors: Errors = {}, status = 200): void =>
    render(
      ctx,
      'resources/admin-form',
      { done: takeNotice(ctx), values: typed(ctx), action: '/admin/apis/new', errors },
      status,
    )
  const showScope = (ctx: SignedIn, page: ScopePage, errors: Errors = {}, status = 200): void =>
    render(ctx, 'resources/admin-scope', { done: takeNotice(ctx), ...page, errors }, status)
  const showRename = (ctx: SignedIn, api: Resource, errors: Errors = {}, status = 200): void =>
    render(
      ctx,
      'admin/confirm',
      {
        done: takeNotice(ctx),
        heading: `Rename ${api.name}`,
        will: ['Administrators and developers see the new name.'],
        will_not: ['Its identifier stays: it is what tokens say they are for.'],
        confirm_label: 'Rename',
        danger: false,
        field: {
          name: 'name',
          label: 'Name',
          kind: 'text',
          value: ctx.method === 'POST' ? sentText(ctx, 'name') : api.name,
        },
        action: ctx.path,
        cancel_href: pathOf(api),
        errors,
      },
      status,
    )
  const showRotate = (ctx: SignedIn, api: Resource, errors: Errors = {}, status = 200): void =>
    render(
      ctx,
      'admin/confirm',
      {
        done: takeNotice(ctx),
        heading: `Give ${api.name} a new secret?`,
        will: ['The next page shows the new secret, this once.', 'The secret it has ends when you say.'],
        will_not: ['Tokens are not touched.'],
        confirm_label: 'Make a new secret',
        danger: false,
        field: {
          name: 'overlap',
          label: 'The old secret ends',
          kind: 'select',
          options: OVERLAPS,
          value: '86400',
        },
        action: ctx.path,
        cancel_href: pathOf(api),
        errors,
      },
      status,
    )

  return {
    async list(ctx: SignedIn): Promise<void> {
      const apis = await listResources(db)
      render(ctx, 'resources/admin-list', {
        done: takeNotice(ctx),
        apis: apis.map((api) => ({ ...api, href: pathOf(api) })),
      })
    },

    show: (ctx: SignedIn) => show(ctx),

    register: {
      show: (ctx: SignedIn) => showNew(ctx),
      async send(ctx: SignedIn): Promise<void> {
        const { values, errors } = readForm(ctx, apiForm)
        if (errors) return showNew(ctx, errors, 422)
        const { identifier, name, scope, sentence, detail, dangerous } = values
        try {
          const { resource, client, secret } = await createResource(
            db,
            { identifier, name, scopes: [{ name: scope, sentence, detail, dangerous }] },
            actingUser(ctx),
          )
          render(ctx, 'admin/secret', {
            heading: `${resource.name} is registered`,
            note: 'With these the API asks /introspect about the tokens it gets; they are good for nothing else.',
            client_id: client.id,
            secret,
            next: { href: pathOf(resource), label: `Go to ${resource.name}` },
          })
        } catch (error) {
          if (!(error instanceof InvalidMetadata)) throw error
          showNew(ctx, errorsOf(error), 422)
        }
      },
    },

    rename: {
      async show(ctx: SignedIn): Promise<void> {
        showRename(ctx, await getApi(ctx))
      },
      async send(ctx: SignedIn): Promise<void> {
        const api = await getApi(ctx)
        try {
          const name = sentText(ctx, 'name')
          await renameResource(db, api.identifier, name, actingUser(ctx))
          seeOther(ctx, pathOf(api), { heading: `The API is called ${name.trim()}.` })
        } catch (error) {
          if (!(error instanceof InvalidMetadata)) throw error
          showRename(ctx, api, errorsOf(error), 422)
        }
      },
    },

    addScope: {
      async show(ctx: SignedIn): Promise<void> {
        showScope(ctx, { api: await getApi(ctx), values: typed(ctx), action: ctx.path, ...back(ctx) })
      },
      async send(ctx: SignedIn): Promise<void> {
        const api = await getApi(ctx)
        const page = { api, values: typed(ctx), action: ctx.path, ...back(ctx) }
        const { values, errors } = readForm(ctx, scopeForm)
        if (errors) return showScope(ctx, page, errors, 422)
        const { scope, ...rest } = values
        try {
          await addScope(db, api.identifier, { name: scope, ...rest }, actingUser(ctx))
          seeOther(ctx, pathOf(api), { heading: `Apps may be allowed to ask for ${scope}.` })
        } catch (error) {
          if (!(error instanceof InvalidMetadata)) throw error
          showScope(ctx, page, errorsOf(error), 422)
        }
      },
    },

    editScope: {
      async show(ctx: SignedIn): Promise<void> {
        const api = await getApi(ctx)
        const scope = getScope(api, ctx)
        showScope(ctx, { api, scope, values: { ...typed(ctx), ...scope }, action: ctx.path, ...back(ctx) })
      },
      async send(ctx: SignedIn): Promise<void> {
        const api = await getApi(ctx)
        const scope = getScope(api, ctx)
        const page = { api, scope, values: typed(ctx), action: ctx.path, ...back(ctx) }
        const { values, errors } = readForm(ctx, words)
        if (errors) return showScope(ctx, page, errors, 422)
        try {
          const changed = await changeScope(db, api.identifier, scope.name, values, actingUser(ctx))
          if (changed === undefined) throw new NotFound('There is no such scope.')
          seeOther(ctx, pathOf(api), {
            heading: `${scope.name} ${changed ? 'was changed' : 'is as it was'}.`,
          })
        } catch (error) {
          if (!(error instanceof InvalidMetadata)) throw error
          showScope(ctx, page, errorsOf(error), 422)
        }
      },
    },

    removeScope: {
      async show(ctx: SignedIn): Promise<void> {
        const api = await getApi(ctx)
        showRemoveScope(ctx, api, getScope(api, ctx))
      },
      async send(ctx: SignedIn): Promise<void> {
        const api = await getApi(ctx)
        const scope = getScope(api, ctx)
        try {
          const clients = await removeScope(db, api.identifier, scope.name, actingUser(ctx))
          if (clients === undefined) throw new NotFound('There is no such scope.')
          const who = clients === 1 ? '1 app could' : `${clients.toLocaleString('en')} apps could`
          seeOther(ctx, pathOf(api), { heading: `${scope.name} is removed. ${who} ask for it.` })
        } catch (error) {
          if (!(error instanceof InvalidMetadata)) throw error
          showRemoveScope(ctx, api, scope, { form: `${error.problem}.` }, 422)
        }
      },
    },

    rotateSecret: {
      async show(ctx: SignedIn): Promise<void> {
        showRotate(ctx, await getApi(ctx))
      },
      async send(ctx: SignedIn): Promise<void> {
        const api = await getApi(ctx)
        const overlap = OVERLAPS.find(({ value }) => value === sentText(ctx, 'overlap'))
        if (!overlap) return showRotate(ctx, api, { overlap: 'Choose when the old one ends.' }, 422)
        const client_id = await introspectionClient(db, api.identifier)
        const secret =
          client_id &&
          (await rotateSecret(db, client_id, actingUser(ctx), { overlapSeconds: Number(overlap.value) }))
        if (!client_id || !secret) throw new NotFound('This API has no credentials.')
        render(ctx, 'admin/secret', {
          heading: `A new secret for ${api.name}`,
          note: `The secret it had ends ${overlap.label}.`,
          client_id,
          secret,
          next: { href: pathOf(api), label: `Go to ${api.name}` },
        })
      },
    },
  }

  function showRemoveScope(
    ctx: SignedIn,
    api: Resource,
    scope: ResourceScope,
    errors: Errors = {},
    status = 200,
  ) {
    render(
      ctx,
      'admin/confirm',
      {
        done: takeNotice(ctx),
        subject: { name: scope.name, detail: scope.sentence },
        heading: `Remove ${scope.name} from ${api.name}?`,
        will: [
          'No app can ask for it any more.',
          'Tokens that hold it lose it at their next refresh.',
          'The name stays taken: nobody else can use it, and this API can take it up again.',
        ],
        will_not: ['Access to the other scopes goes on.'],
        confirm_label: 'Remove this scope',
        danger: true,
        action: ctx.path,
        cancel_href: pathOf(api),
        errors,
      },
      status,
    )
  }
}

type Errors = Record<string, string>

interface ScopePage {
  api: Resource
  scope?: ResourceScope
  values: object
  action: string
  cancel_href: string
}

function pathOf(api: Pick<Resource, 'identifier'>): string {
  return `/admin/apis/${Buffer.from(api.identifier).toString('base64url')}`
}

function back(ctx: SignedIn): { cancel_href: string } {
  return { cancel_href: `/admin/apis/${String(ctx.params.api)}` }
}

function typed(ctx: SignedIn) {
  return {
    identifier: sentText(ctx, 'identifier', 2_000),
    name: sentText(ctx, 'name'),
    scope: sentText(ctx, 'scope'),
    sentence: sentText(ctx, 'sentence'),
    detail: sentText(ctx, 'detail', 1_000),
    dangerous: sentText(ctx, 'dangerous') !== '',
  }
}

const FIELDS: Record<string, [field: string, label: string]> = {
  identifier: ['identifier', 'Identifier'],
  name: ['name', 'Name'],
  scopes: ['scope', 'Scope'],
}

function errorsOf({ field, problem }: InvalidMetadata): Errors {
  const [name, label] = FIELDS[field] ?? ['form', field]
  return { [name]: `${label}: ${problem}.` }
}
