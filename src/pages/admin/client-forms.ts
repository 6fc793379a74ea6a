// Registering an app and changing one, as an administrator: the same rules as at every other door.
import { z } from 'zod'
import { ID_TOKEN_ALGS } from '../../core/clients/fields.ts'
import { InvalidMetadata } from '../../core/clients/metadata.ts'
import { type Client, createClient, findClient } from '../../core/clients/store.ts'
import { type ClientChange, updateClient, VersionConflict } from '../../core/clients/update.ts'
import type { ResourceDirectory } from '../../core/resources/cache.ts'
import type { Pool } from '../../db/pool.ts'
import { NotFound } from '../../http/errors.ts'
import { readForm } from '../../http/form.ts'
import { seeOther, takeNotice } from '../../http/notice.ts'
import type { Render } from '../../http/render.ts'
import { actingUser, type SignedIn } from '../../protocol/guards.ts'
import {
  type AppValues,
  appForm,
  appValues,
  conflictText,
  errorsOf,
  KINDS,
  kindField,
  longText,
  NO_VALUES,
  scopeChoices,
  sentValues,
  versionField,
} from '../shared/client-form.ts'

const form = appForm.extend({
  logo_uri: z.string().trim().default(''),
  first_party: z.string().optional(),
  pkce_required: z.string().optional(),
  id_token_signed_response_alg: z.enum(ID_TOKEN_ALGS).default('RS256'),
})
const newForm = form.extend(kindField)
const editForm = form.extend(versionField)

/** Forms of /admin/clients/new and /admin/clients/:client_id/edit. */
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
    render(
      ctx,
      'admin/client-form',
      {
        done: takeNotice(ctx),
        ...page,
        errors,
        kinds: KINDS,
        algs: ID_TOKEN_ALGS.map((alg) => ({ value: alg, label: alg })),
        apis: await scopeChoices(resources, page.values.scopes, page.app?.registered_by ?? 'admin'),
      },
      status,
    )
  }
  const showNew = (ctx: SignedIn, values: Values, errors?: Errors, status?: number): Promise<void> =>
    show(ctx, { values, action: '/admin/clients/new', cancel_href: '/admin/clients' }, errors, status)
  const showEdit = (ctx: SignedIn, app: Client, values: Values, errors?: Errors, status?: number) =>
    show(
      ctx,
      {
        app: { name: app.name, type: app.type, registered_by: app.registered_by },
        // Not "version": every page knows the server's under that name.
        seen_version: app.version,
        values,
        action: `/admin/clients/${encodeURIComponent(app.id)}/edit`,
        cancel_href: `/admin/clients/${encodeURIComponent(app.id)}`,
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
          const path = `/admin/clients/${encodeURIComponent(client.id)}`
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
          return seeOther(ctx, `/admin/clients/${encodeURIComponent(client.id)}`, { heading })
        } catch (error) {
          if (error instanceof VersionConflict) {
            return showEdit(
              ctx,
              error.client,
              sent(ctx),
              { form: conflictText(valuesOf(error.client), changeOf(rest, client.type)) },
              409,
            )
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

interface Values extends AppValues {
  logo_uri: string
  first_party: boolean
  pkce_required: boolean
  id_token_signed_response_alg: string
}

interface FormPage {
  app?: Pick<Client, 'name' | 'type' | 'registered_by'>
  seen_version?: number
  values: Values
  action: string
  cancel_href: string
}

const NOTHING: Values = {
  ...NO_VALUES,
  logo_uri: '',
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
  return { ...client, ...appValues(client), logo_uri: client.logo_uri ?? '' }
}

/** The form as it was sent, to be shown again. */
function sent(ctx: SignedIn): Values {
  return {
    ...sentValues(ctx),
    logo_uri: longText(ctx, 'logo_uri'),
    first_party: longText(ctx, 'first_party') !== '',
    pkce_required: longText(ctx, 'pkce_required') !== '',
    id_token_signed_response_alg: longText(ctx, 'id_token_signed_response_alg'),
  }
}
