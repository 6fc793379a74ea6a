// APIs, their scopes and how they want their tokens, as administrators keep them. Their secrets: admin-secrets.ts.
import { z } from 'zod'
import { APP_TYPES } from '../../core/clients/kinds.ts'
import { InvalidMetadata } from '../../core/clients/metadata.ts'
import { listSecrets } from '../../core/clients/secrets.ts'
import {
  type AppKind,
  createResource,
  listResources,
  type Resource,
  type ResourceScope,
  TOKEN_FORMATS,
  TOKEN_SECONDS,
  tokenSeconds,
} from '../../core/resources/store.ts'
import {
  addScope,
  changeResource,
  changeScope,
  introspectionClient,
  removeScope,
  renameResource,
  ScopeBeingRemoved,
} from '../../core/resources/update.ts'
import type { Pool } from '../../db/pool.ts'
import { NotFound } from '../../http/errors.ts'
import { readForm, sentText } from '../../http/form.ts'
import { seeOther, takeNotice } from '../../http/notice.ts'
import type { Render } from '../../http/render.ts'
import { when } from '../../http/time.ts'
import { actingUser, type SignedIn } from '../../protocol/guards.ts'
import { apiAt, apiPath } from './resource-path.ts'

const words = z.object({
  sentence: z.string().trim().default(''),
  detail: z.string().trim().default(''),
  dangerous: z
    .string()
    .optional()
    .transform((value) => value !== undefined),
  // None ticked: no limit.
  kinds: z.union([z.enum(APP_TYPES).transform((one) => [one]), z.array(z.enum(APP_TYPES))]).default([]),
})
const scopeForm = words.extend({ scope: z.string().trim().default('') })
const apiForm = scopeForm.extend({
  identifier: z.string().trim().default(''),
  name: z.string().trim().default(''),
})

const tokenForm = z.object({
  token_format: z.enum(TOKEN_FORMATS, 'Choose what its access tokens are.'),
  token_seconds: z
    .string()
    .trim()
    .regex(/^\d{0,9}$/, 'Access tokens live: give a number of seconds, e.g. 600, or nothing.')
    .transform((text) => (text === '' ? null : Number(text)))
    .default(null),
})
const FORMATS = [
  { value: 'opaque', label: 'Opaque: the API asks about each' },
  { value: 'jwt', label: 'JWT: the API reads them by itself' },
]
const KIND_WORDS = {
  web: 'Web',
  spa: 'Single-page',
  native: 'Native',
  device: 'Device',
  service: 'Service',
} as const

/** Handlers of /admin/apis and below. @param standardSeconds how long an access token lives where the API does not say */
export function resourceAdmin({
  db,
  standardSeconds,
  render,
}: {
  db: Pool
  standardSeconds: number
  render: Render
}) {
  const getApi = (ctx: SignedIn): Promise<Resource> => apiAt(db, String(ctx.params.api))
  const getScope = (api: Resource, ctx: SignedIn): ResourceScope => {
    const name = scopeName(ctx)
    const scope = api.scopes.find((each) => each.name === name)
    if (!scope) throw new NotFound('There is no such scope.')
    return scope
  }
  const getRemovable = (api: Resource, ctx: SignedIn): Removable => {
    const name = scopeName(ctx)
    const failed = api.being_removed.find((each) => each.has_failed && each.name === name)
    return failed ?? getScope(api, ctx)
  }
  const show = async (ctx: SignedIn, errors: Errors = {}, status = 200): Promise<void> => {
    const api = await getApi(ctx)
    const path = apiPath(api)
    const client_id = await introspectionClient(db, api.identifier)
    const secrets = client_id ? await listSecrets(db, client_id) : []
    render(
      ctx,
      'admin/resource',
      {
        done: takeNotice(ctx),
        api,
        path,
        client_id,
        is_jwt: api.token_format === 'jwt',
        lifetime: seconds(tokenSeconds(api, standardSeconds)),
        is_standard: api.token_seconds === null,
        secrets: secrets.map((secret) => ({
          name: secret.name || 'No name',
          prefix: secret.prefix,
          revoke_href: `${path}/secrets/${secret.id}/revoke`,
          created: when(secret.created_at),
          expires: secret.expires_at ? when(secret.expires_at) : undefined,
          last_used: secret.last_used_at ? when(secret.last_used_at) : undefined,
        })),
        scopes: api.scopes.map((scope) => {
          return {
            ...scope,
            kinds: scope.kinds?.map((kind) => KIND_WORDS[kind]),
            edit_href: scopePath(path, scope),
            remove_href: `${scopePath(path, scope)}/remove`,
          }
        }),
        being_removed: api.being_removed.map((scope) => ({
          name: scope.name,
          href: `/admin/jobs/${scope.job_id}`,
          again_href: scope.has_failed ? `${scopePath(path, scope)}/remove` : undefined,
        })),
        errors,
      },
      status,
    )
  }
  const showNew = (ctx: SignedIn, errors: Errors = {}, status = 200): void =>
    render(
      ctx,
      'admin/resource-form',
      {
        done: takeNotice(ctx),
        kinds: kindChoices(typed(ctx).kinds),
        values: typed(ctx),
        action: '/admin/apis/new',
        errors,
      },
      status,
    )
  const showScope = (ctx: SignedIn, page: ScopePage, errors: Errors = {}, status = 200): void =>
    render(
      ctx,
      'admin/resource-scope',
      { done: takeNotice(ctx), ...page, kinds: kindChoices(page.values.kinds), errors },
      status,
    )
  const showTokens = (
    ctx: SignedIn,
    api: Resource,
    values: object,
    errors: Errors = {},
    status = 200,
  ): void =>
    render(
      ctx,
      'admin/resource-tokens',
      {
        done: takeNotice(ctx),
        api,
        formats: FORMATS,
        values,
        bounds: TOKEN_SECONDS,
        standard: seconds(standardSeconds),
        standard_jwt: seconds(tokenSeconds({ token_format: 'jwt', token_seconds: null }, standardSeconds)),
        action: ctx.path,
        ...back(ctx),
        errors,
      },
      status,
    )
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
        cancel_href: apiPath(api),
        errors,
      },
      status,
    )
  return {
    async list(ctx: SignedIn): Promise<void> {
      const apis = await listResources(db)
      render(ctx, 'admin/resources', {
        done: takeNotice(ctx),
        apis: apis.map((api) => ({ ...api, href: apiPath(api) })),
      })
    },

    show: (ctx: SignedIn) => show(ctx),

    register: {
      show: (ctx: SignedIn) => showNew(ctx),
      async send(ctx: SignedIn): Promise<void> {
        const { values, errors } = readForm(ctx, apiForm)
        if (errors) return showNew(ctx, errors, 422)
        const { identifier, name, scope, sentence, detail, dangerous, kinds } = values
        try {
          const { resource, client, secret } = await createResource(
            db,
            { identifier, name, scopes: [{ name: scope, sentence, detail, dangerous, kinds }] },
            actingUser(ctx),
          )
          render(ctx, 'admin/secret', {
            heading: `${resource.name} is registered`,
            note: 'With these the API asks /introspect about the tokens it gets; they are good for nothing else.',
            client_id: client.id,
            secret,
            next: { href: apiPath(resource), label: `Go to ${resource.name}` },
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
          seeOther(ctx, apiPath(api), { heading: `The API is called ${name.trim()}.` })
        } catch (error) {
          if (!(error instanceof InvalidMetadata)) throw error
          showRename(ctx, api, errorsOf(error), 422)
        }
      },
    },

    tokens: {
      async show(ctx: SignedIn): Promise<void> {
        const api = await getApi(ctx)
        showTokens(ctx, api, { ...api, token_seconds: api.token_seconds ?? '' })
      },
      async send(ctx: SignedIn): Promise<void> {
        const api = await getApi(ctx)
        const sent = {
          token_format: sentText(ctx, 'token_format'),
          token_seconds: sentText(ctx, 'token_seconds'),
        }
        const { values, errors } = readForm(ctx, tokenForm)
        if (errors) return showTokens(ctx, api, sent, errors, 422)
        try {
          const changed = await changeResource(db, api.identifier, values, actingUser(ctx))
          if (changed === undefined) throw new NotFound('There is no such API.')
          const heading = changed
            ? 'It holds from the next token on.'
            : `The tokens of ${api.name} are as they were.`
          seeOther(ctx, apiPath(api), { heading })
        } catch (error) {
          if (!(error instanceof InvalidMetadata)) throw error
          showTokens(ctx, api, sent, errorsOf(error), 422)
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
          seeOther(ctx, apiPath(api), { heading: `Apps may be allowed to ask for ${scope}.` })
        } catch (error) {
          if (error instanceof ScopeBeingRemoved) {
            return showScope(ctx, page, { scope: error.message }, error.status)
          }
          if (!(error instanceof InvalidMetadata)) throw error
          showScope(ctx, page, errorsOf(error), 422)
        }
      },
    },

    editScope: {
      async show(ctx: SignedIn): Promise<void> {
        const api = await getApi(ctx)
        const scope = getScope(api, ctx)
        showScope(ctx, {
          api,
          scope,
          values: { ...typed(ctx), ...scope, kinds: scope.kinds ?? [] },
          action: ctx.path,
          ...back(ctx),
        })
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
          seeOther(ctx, apiPath(api), {
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
        showRemoveScope(ctx, api, getRemovable(api, ctx))
      },
      async send(ctx: SignedIn): Promise<void> {
        const api = await getApi(ctx)
        const scope = getRemovable(api, ctx)
        try {
          const job = await removeScope(db, api.identifier, scope.name, actingUser(ctx))
          if (!job) throw new NotFound('There is no such scope.')
          const heading =
            scope.sentence === undefined ? `Removing ${scope.name} goes on.` : `${scope.name} is removed.`
          seeOther(ctx, apiPath(api), { heading })
        } catch (error) {
          if (!(error instanceof InvalidMetadata)) throw error
          showRemoveScope(ctx, api, scope, { form: `${error.problem}.` }, 422)
        }
      },
    },
  }

  function showRemoveScope(
    ctx: SignedIn,
    api: Resource,
    scope: Removable,
    errors: Errors = {},
    status = 200,
  ) {
    render(
      ctx,
      'admin/confirm',
      {
        done: takeNotice(ctx),
        ...(scope.sentence === undefined ? goingOn(scope, api) : removing(scope, api)),
        danger: true,
        action: ctx.path,
        cancel_href: apiPath(api),
        errors,
      },
      status,
    )
  }
}

function removing({ name, sentence }: Removable, api: Resource) {
  return {
    subject: { name, detail: sentence },
    heading: `Remove ${name} from ${api.name}?`,
    will: [
      'No app can ask for it any more.',
      api.token_format === 'jwt'
        ? 'No token is given with it any more; those that the API reads by itself hold it until they end.'
        : 'No token holds it any more.',
      'Apps and decisions lose it in the background.',
      'The name stays taken: nobody else can use it, and this API can take it up again after that.',
    ],
    will_not: ['Access to the other scopes goes on.'],
    confirm_label: 'Remove this scope',
  }
}

function goingOn({ name }: Removable, api: Resource) {
  return {
    heading: `Go on removing ${name} from ${api.name}?`,
    will: [
      'Apps and decisions that still name it lose it in the background, from where that stopped.',
      'Once that is done, this API can take the scope up again.',
    ],
    will_not: [
      'It does not come back meanwhile: no app can ask for it.',
      'Access to the other scopes goes on.',
    ],
    confirm_label: 'Go on',
  }
}

type Errors = Record<string, string>

/** A scope that can be removed; without a sentence: its removal has failed, and can go on. */
type Removable = Pick<ResourceScope, 'name'> & Partial<Pick<ResourceScope, 'sentence'>>

function scopeName(ctx: SignedIn): string {
  return Buffer.from(String(ctx.params.scope), 'base64url').toString('utf8')
}

function scopePath(path: string, { name }: Pick<ResourceScope, 'name'>): string {
  return `${path}/scopes/${Buffer.from(name).toString('base64url')}`
}

interface ScopePage {
  api: Resource
  scope?: ResourceScope
  values: { kinds: string[] }
  action: string
  cancel_href: string
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
    kinds: [((ctx.request.body ?? {}) as { kinds?: unknown }).kinds ?? []].flat().map(String),
  }
}

const FIELDS: Record<string, [field: string, label: string]> = {
  identifier: ['identifier', 'Identifier'],
  name: ['name', 'Name'],
  scopes: ['scope', 'Scope'],
  token_seconds: ['token_seconds', 'Access tokens live'],
}

function errorsOf({ field, problem }: InvalidMetadata): Errors {
  const [name, label] = FIELDS[field] ?? ['form', field]
  return { [name]: `${label}: ${problem}.` }
}

function kindChoices(ticked: string[]): { value: AppKind; label: string; checked: boolean }[] {
  return APP_TYPES.map((kind) => ({ value: kind, label: KIND_WORDS[kind], checked: ticked.includes(kind) }))
}

function seconds(count: number): string {
  return count % 60 === 0 && count >= 120 ? `${count / 60} minutes` : `${count} seconds`
}
