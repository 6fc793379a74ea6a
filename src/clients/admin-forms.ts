// Registering an app and changing one, as an administrator: the same rules as at every other door.
import { z } from 'zod'
import type { Pool } from '../db/pool.ts'
import { actingUser, type SignedIn } from '../guards.ts'
import type { ResourceDirectory } from '../resources/directory.ts'
import { NotFound } from '../web/errors.ts'
import { readForm, sentText } from '../web/form.ts'
import { seeOther, takeNotice } from '../web/notice.ts'
import type { Render } from '../web/render.ts'
import { type ClientChange, updateClient, VersionConflict } from './edit.ts'
import { APP_TYPES, ID_TOKEN_ALGS, InvalidMetadata, OPENID_SCOPES } from './metadata.ts'
import { type Client, createClient, findClient } from './store.ts'

const lines = z
  .string()
  .default('')
  .transform((text) => text.split(/\r?\n/).map((line) => line.trim()))
  .transform((entries) => entries.filter(Boolean))
const ticked = z.union([z.string().transform((one) => [one]), z.array(z.string())]).default([])

const form = z.object({
  name: z.string().default(''),
  // Forms send line ends as two characters.
  description: z
    .string()
    .default('')
    .transform((text) => text.replaceAll('\r\n', '\n')),
  homepage_uri: z.string().trim().default(''),
  logo_uri: z.string().trim().default(''),
  policy_uri: z.string().trim().default(''),
  tos_uri: z.string().trim().default(''),
  redirect_uris: lines,
  post_logout_redirect_uris: lines,
  scope: ticked,
  first_party: z.string().optional(),
  pkce_required: z.string().optional(),
  id_token_signed_response_alg: z.enum(ID_TOKEN_ALGS).default('RS256'),
})
const newForm = form.extend({ type: z.enum(APP_TYPES, 'Choose what it runs as.') })
const editForm = form.extend({
  version: z
    .string()
    .regex(/^\d{1,9}$/)
    .transform(Number),
})

const LABELS: Record<string, string> = {
  name: 'Name',
  type: 'Kind',
  description: 'Description',
  homepage_uri: 'Web page',
  logo_uri: 'Logo',
  policy_uri: 'Privacy policy',
  tos_uri: 'Terms',
  redirect_uris: 'Redirect URIs',
  post_logout_redirect_uris: 'After signing out',
  scopes: 'Scopes',
  first_party: 'First party',
  pkce_required: 'PKCE',
}
const KINDS = [
  { value: 'web', label: 'Web: an app with a server' },
  { value: 'spa', label: 'Single-page: an app in the browser only' },
  { value: 'native', label: 'Native: an app on a phone or a computer' },
  { value: 'service', label: 'Service: a program without people' },
]
const MOST_TEXT = 25_000

/** Forms of /admin/apps/new and /admin/apps/:client_id/edit. */
export function clientAdminForms({
  db,
  resources,
  render,
}: {
  db: Pool
  resources: ResourceDirectory
  render: Render
}) {
  const show = async (ctx: SignedIn, page: FormPage, errors: Errors = {}, status = 200): Promise<void> => {
    const scopes = new Set(page.values.scopes)
    const apis = [
      { name: 'OpenID', scopes: OPENID_SCOPES.map((name) => ({ name, sentence: '', dangerous: false })) },
      ...(await resources.all()),
    ]
    render(
      ctx,
      'clients/admin-form',
      {
        done: takeNotice(ctx),
        ...page,
        errors,
        kinds: KINDS,
        algs: ID_TOKEN_ALGS.map((alg) => ({ value: alg, label: alg })),
        apis: apis.map((api) => ({
          name: api.name,
          scopes: api.scopes.map((scope) => ({ ...scope, checked: scopes.has(scope.name) })),
        })),
      },
      status,
    )
  }
  const showNew = (ctx: SignedIn, values: Values, errors?: Errors, status?: number): Promise<void> =>
    show(ctx, { values, action: '/admin/apps/new', cancel_href: '/admin/apps' }, errors, status)
  const showEdit = (ctx: SignedIn, app: Client, values: Values, errors?: Errors, status?: number) =>
    show(
      ctx,
      {
        app: { name: app.name, type: app.type },
        // Not "version": every page knows the server's under that name.
        seen_version: app.version,
        values,
        action: `/admin/apps/${encodeURIComponent(app.id)}/edit`,
        cancel_href: `/admin/apps/${encodeURIComponent(app.id)}`,
      },
      errors,
      status,
    )
  const getApp = async (ctx: SignedIn): Promise<Client> => {
    const client = await findClient(db, String(ctx.params.client_id))
    if (!client || client.type === 'resource_server') throw new NotFound('There is no such app.')
    return client
  }

  return {
    register: {
      show: (ctx: SignedIn) => showNew(ctx, NOTHING),

      async send(ctx: SignedIn): Promise<void> {
        const { values, errors } = readForm(ctx, newForm)
        if (errors) return showNew(ctx, sent(ctx), errors, 422)
        const { type, ...rest } = values
        try {
          const input = { ...changeOf(rest, type), name: rest.name, type }
          const { client, secret } = await createClient(db, input, actingUser(ctx))
          const path = `/admin/apps/${encodeURIComponent(client.id)}`
          if (secret === undefined) return seeOther(ctx, path, { heading: `${client.name} is registered.` })
          render(ctx, 'admin/secret', {
            heading: `${client.name} is registered`,
            client_id: client.id,
            secret,
            next: { href: path, label: `Go to ${client.name}` },
          })
        } catch (error) {
          if (!(error instanceof InvalidMetadata)) throw error
          return showNew(ctx, sent(ctx), errorsOf(error), 422)
        }
      },
    },

    edit: {
      async show(ctx: SignedIn): Promise<void> {
        const client = await getApp(ctx)
        return showEdit(ctx, client, valuesOf(client))
      },

      async send(ctx: SignedIn): Promise<void> {
        const client = await getApp(ctx)
        const { values, errors } = readForm(ctx, editForm)
        if (errors) return showEdit(ctx, client, sent(ctx), errors, 422)
        const { version, ...rest } = values
        try {
          const change = changeOf(rest, client.type)
          const changed = await updateClient(db, client.id, change, actingUser(ctx), version)
          if (!changed) throw new NotFound('There is no such app.')
          const heading =
            changed.version === version
              ? `${changed.name} is as it was.`
              : `${changed.name} was changed. It holds from the next request on.`
          return seeOther(ctx, `/admin/apps/${encodeURIComponent(client.id)}`, { heading })
        } catch (error) {
          if (error instanceof VersionConflict) {
            return showEdit(ctx, error.client, sent(ctx), { form: conflict(error.client, rest) }, 409)
          }
          if (!(error instanceof InvalidMetadata)) throw error
          // What was seen stays what was seen: the hidden version must not move on with the page.
          return showEdit(ctx, { ...client, version }, sent(ctx), errorsOf(error), 422)
        }
      },
    },
  }
}

type Errors = Record<string, string>

interface Values {
  type: string
  name: string
  description: string
  homepage_uri: string
  logo_uri: string
  policy_uri: string
  tos_uri: string
  redirect_uris: string
  post_logout_redirect_uris: string
  scopes: string[]
  first_party: boolean
  pkce_required: boolean
  id_token_signed_response_alg: string
}

interface FormPage {
  app?: { name: string; type: string }
  seen_version?: number
  values: Values
  action: string
  cancel_href: string
}

const NOTHING: Values = {
  type: 'web',
  name: '',
  description: '',
  homepage_uri: '',
  logo_uri: '',
  policy_uri: '',
  tos_uri: '',
  redirect_uris: '',
  post_logout_redirect_uris: '',
  scopes: [...OPENID_SCOPES],
  first_party: false,
  pkce_required: true,
  id_token_signed_response_alg: 'RS256',
}

function changeOf(values: Omit<z.output<typeof form>, 'version'>, type: Client['type']): ClientChange {
  const { scope, first_party, pkce_required, ...rest } = values
  return {
    ...rest,
    scopes: scope,
    first_party: first_party !== undefined,
    // Only a web app has the choice; the form of another does not offer it.
    pkce_required: pkce_required !== undefined || type !== 'web',
  }
}

function valuesOf(client: Client): Values {
  return {
    ...client,
    homepage_uri: client.homepage_uri ?? '',
    logo_uri: client.logo_uri ?? '',
    policy_uri: client.policy_uri ?? '',
    tos_uri: client.tos_uri ?? '',
    redirect_uris: client.redirect_uris.join('\n'),
    post_logout_redirect_uris: client.post_logout_redirect_uris.join('\n'),
  }
}

/** The form as it was sent, to be shown again. */
function sent(ctx: SignedIn): Values {
  const text = (field: string) => sentText(ctx, field, MOST_TEXT)
  const { scope } = (ctx.request.body ?? {}) as { scope?: unknown }
  return {
    type: text('type'),
    name: text('name'),
    description: text('description'),
    homepage_uri: text('homepage_uri'),
    logo_uri: text('logo_uri'),
    policy_uri: text('policy_uri'),
    tos_uri: text('tos_uri'),
    redirect_uris: text('redirect_uris'),
    post_logout_redirect_uris: text('post_logout_redirect_uris'),
    scopes: [scope ?? []].flat().map(String),
    first_party: text('first_party') !== '',
    pkce_required: text('pkce_required') !== '',
    id_token_signed_response_alg: text('id_token_signed_response_alg'),
  }
}

function errorsOf({ field, problem }: InvalidMetadata): Errors {
  // The entries of a list are named by their place: redirect_uris.0
  const [name = 'form'] = field.split('.')
  return { [name in LABELS ? name : 'form']: `${LABELS[name] ?? name}: ${problem}.` }
}

function conflict(now: Client, typed: Omit<z.output<typeof editForm>, 'version'>): string {
  const stands = valuesOf(now)
  const theirs = changeOf(typed, now.type)
  const different = Object.keys(theirs).filter((field) => {
    const mine = theirs[field as keyof ClientChange]
    const text = Array.isArray(mine) && field !== 'scopes' ? mine.join('\n') : mine
    return JSON.stringify(text) !== JSON.stringify(stands[field as keyof Values])
  })
  const names = different.map((field) => LABELS[field] ?? field).join(', ')
  return `Somebody else changed this app meanwhile. What you typed is kept below and was not saved; it differs from what stands now in: ${names || 'nothing'}. Send it again to overwrite that.`
}
