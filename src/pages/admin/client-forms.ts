// Registering an app and changing one, as an administrator: the same rules as at every other door.

import { createClient } from '../../core/clients/create.ts'
import type { ClientInput } from '../../core/clients/fields.ts'
import { InvalidMetadata } from '../../core/clients/metadata.ts'
import { type Client, findClient } from '../../core/clients/store.ts'
import { updateClient, VersionConflict } from '../../core/clients/update.ts'
import type { ResourceDirectory } from '../../core/resources/cache.ts'
import type { Pool } from '../../db/pool.ts'
import { NotFound } from '../../http/errors.ts'
import { readForm } from '../../http/form.ts'
import { seeOther, takeNotice } from '../../http/notice.ts'
import type { Render } from '../../http/render.ts'
import { actingUser, type SignedIn } from '../../protocol/guards.ts'
import {
  type AppValues,
  appValues,
  changeOf,
  conflictText,
  editAppForm,
  errorsOf,
  formRows,
  newAppForm,
  noValues,
  sentValues,
} from '../shared/client-form.ts'
import { scopeChoices } from '../shared/scope-choices.ts'

const newForm = newAppForm('admin')
const editForm = editAppForm('admin')

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
        fields: formRows('admin', { values: page.values, errors }, page.app?.type),
        apis: await scopeChoices(resources, page.values.scopes, page.app?.registered_by ?? 'admin'),
      },
      status,
    )
  }
  const showNew = (ctx: SignedIn, values: AppValues, errors?: Errors, status?: number): Promise<void> =>
    show(ctx, { values, action: '/admin/clients/new', cancel_href: '/admin/clients' }, errors, status)
  const showEdit = (ctx: SignedIn, app: Client, values: AppValues, errors?: Errors, status?: number) =>
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
      show: (ctx: SignedIn) => showNew(ctx, noValues()),

      async send(ctx: SignedIn): Promise<void> {
        const { values, errors } = readForm(ctx, newForm)
        if (errors) return showNew(ctx, sentValues(ctx), errors, 422)
        const { type } = values
        try {
          const input = { ...changeOf(values, 'admin', type), type } as ClientInput
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
          return showNew(ctx, sentValues(ctx), errorsOf(error), 422)
        }
      },
    },

    edit: {
      async show(ctx: SignedIn): Promise<void> {
        const client = await getApp(ctx)
        return showEdit(ctx, client, appValues(client))
      },

      async send(ctx: SignedIn): Promise<void> {
        const client = await getApp(ctx)
        const { values, errors } = readForm(ctx, editForm)
        if (errors) return showEdit(ctx, client, sentValues(ctx), errors, 422)
        const { version } = values
        const change = changeOf(values, 'admin', client.type)
        try {
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
              sentValues(ctx),
              { form: conflictText(error.client, change) },
              409,
            )
          }
          if (!(error instanceof InvalidMetadata)) throw error
          // What was seen stays what was seen: the hidden version must not move on with the page.
          return showEdit(ctx, { ...client, version }, sentValues(ctx), errorsOf(error), 422)
        }
      },
    },
  }
}

type Errors = Record<string, string>

interface FormPage {
  app?: Pick<Client, 'name' | 'type' | 'registered_by'>
  seen_version?: number
  values: AppValues
  action: string
  cancel_href: string
}
