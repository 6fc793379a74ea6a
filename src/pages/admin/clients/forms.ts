// Registering an app and editing one, as an administrator: the same rules as at every other surface.
import { createClient } from '../../../core/clients/create.ts'
import type { ClientInput } from '../../../core/clients/fields.ts'
import { InvalidMetadata } from '../../../core/clients/metadata.ts'
import type { Client } from '../../../core/clients/store.ts'
import { updateClient, VersionConflict } from '../../../core/clients/update.ts'
import type { ResourceDirectory } from '../../../core/resources/cache.ts'
import type { Pool } from '../../../db/pool.ts'
import { NotFound } from '../../../http/errors.ts'
import { type FormErrors, readForm, statusOf } from '../../../http/form.ts'
import { seeOther, takeNotice } from '../../../http/notice.ts'
import type { Render } from '../../../http/render.ts'
import { actingUser, type SignedIn } from '../../../protocol/guards.ts'
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
} from '../../shared/client-form.ts'
import { scopeChoices } from '../../shared/scope-choices.ts'
import { secretPages } from '../../shared/secret-page.ts'
import { appPath, getApp } from './path.ts'

const newClient = newAppForm('admin')
const editedClient = editAppForm('admin')

interface FormParts {
  db: Pool
  resources: ResourceDirectory
  render: Render
}

interface FormPage {
  app?: Pick<Client, 'name' | 'type' | 'registered_by'>
  seen_version?: number
  values: AppValues
  action: string
  cancel_href: string
}

/** Forms of /admin/clients/new and /admin/clients/:client_id/edit. */
export function clientAdminForms(parts: FormParts) {
  return { register: registerForm(parts), edit: editForm(parts) }
}

function registerForm(parts: FormParts) {
  const { db, render } = parts
  const showSecret = secretPages(render, 'admin')
  const show = (ctx: SignedIn, values: AppValues, errors?: FormErrors): Promise<void> =>
    showForm(parts, ctx, { values, action: '/admin/clients/new', cancel_href: '/admin/clients' }, errors)
  return {
    show: (ctx: SignedIn) => show(ctx, noValues()),

    async send(ctx: SignedIn): Promise<void> {
      const { values, errors } = readForm(ctx, newClient)
      if (errors) return show(ctx, sentValues(ctx), errors)
      const { type } = values
      try {
        const input = { ...changeOf(values, 'admin', type), type } as ClientInput
        const { client, secret } = await createClient(db, input, actingUser(ctx))
        const heading = `${client.name} is registered`
        if (secret === undefined) return seeOther(ctx, appPath(client.id), { heading: `${heading}.` })
        const next = { href: appPath(client.id), label: `Go to ${client.name}` }
        showSecret(ctx, { heading, id: client.id, secret, next })
      } catch (error) {
        if (!(error instanceof InvalidMetadata)) throw error
        return show(ctx, sentValues(ctx), errorsOf(error))
      }
    },
  }
}

function editForm(parts: FormParts) {
  const { db } = parts
  const show = (
    ctx: SignedIn,
    app: Client,
    values: AppValues,
    errors?: FormErrors,
    status?: number,
  ): Promise<void> => showForm(parts, ctx, editPage(app, values), errors, status)
  return {
    async show(ctx: SignedIn): Promise<void> {
      const client = await getApp(db, ctx)
      return show(ctx, client, appValues(client))
    },

    async send(ctx: SignedIn): Promise<void> {
      const client = await getApp(db, ctx)
      const { values, errors } = readForm(ctx, editedClient)
      if (errors) return show(ctx, client, sentValues(ctx), errors)
      const { version } = values
      const change = changeOf(values, 'admin', client.type)
      try {
        const changed = await updateClient(db, client.id, change, actingUser(ctx), version)
        if (!changed) throw new NotFound('There is no such app.')
        const heading =
          changed.version === version
            ? `${changed.name} is as it was.`
            : `${changed.name} was changed. It holds from the next request on.`
        return seeOther(ctx, appPath(client.id), { heading })
      } catch (error) {
        if (error instanceof VersionConflict) {
          const form = conflictText(error.client, change)
          return show(ctx, error.client, sentValues(ctx), { form }, 409)
        }
        if (!(error instanceof InvalidMetadata)) throw error
        // Keep the version that the person saw. With a newer one the form would overwrite changes that the person has not seen.
        return show(ctx, { ...client, version }, sentValues(ctx), errorsOf(error))
      }
    },
  }
}

function editPage({ id, name, type, registered_by, version }: Client, values: AppValues): FormPage {
  return {
    app: { name, type, registered_by },
    // The local `version` is the server's, on every page.
    seen_version: version,
    values,
    action: `${appPath(id)}/edit`,
    cancel_href: appPath(id),
  }
}

async function showForm(
  { resources, render }: FormParts,
  ctx: SignedIn,
  page: FormPage,
  errors: FormErrors = {},
  status = statusOf(errors),
): Promise<void> {
  const locals = {
    done: takeNotice(ctx),
    ...page,
    errors,
    fields: formRows('admin', { values: page.values, errors }, page.app?.type),
    apis: await scopeChoices(resources, page.values.scopes, page.app?.registered_by ?? 'admin'),
  }
  render(ctx, 'admin/client-form', locals, status)
}
