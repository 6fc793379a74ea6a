// Registering an app and editing one, as its developer: the same rules and the same form as at the other surfaces.

import { labelOf } from '../../core/clients/fields.ts'
import { InvalidMetadata } from '../../core/clients/metadata.ts'
import { MOST_APPS, TooManyApps } from '../../core/clients/owners.ts'
import { findChange, valuesOf as valuesOfChange } from '../../core/clients/pending-changes.ts'
import type { Client } from '../../core/clients/store.ts'
import { VersionConflict } from '../../core/clients/update.ts'
import { changeOwnApp, createOwnApp, type OwnInput } from '../../core/ownership/developer-clients.ts'
import type { Db } from '../../db/pool.ts'
import { NotFound } from '../../http/errors.ts'
import { type FormErrors, readForm, statusOf } from '../../http/form.ts'
import { type Notice, seeOther, takeNotice } from '../../http/notice.ts'
import { throttle } from '../../http/throttle.ts'
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
import { secretPages } from '../shared/secret-page.ts'
import { type DeveloperParts, getOwnApp, NO_SUCH_APP, ownAppPath, policyOf } from './own-client.ts'

const newClient = newAppForm('developer')
const editedClient = editAppForm('developer')

interface FormPage {
  app?: { name: string; type: Client['type']; decided: boolean }
  seen_version?: number
  values: AppValues
  action: string
  cancel_href: string
}

/** Forms of /developer/apps/new and /developer/apps/:client_id/edit. */
export function developerForms(parts: DeveloperParts) {
  return { register: registerForm(parts), edit: editForm(parts) }
}

function registerForm(parts: DeveloperParts) {
  const { db, render } = parts
  const showSecret = secretPages(render, 'account')
  const registrations = throttle(db, {
    name: 'register-own',
    attempts: 20,
    seconds: 60 * 60,
    message: 'You have registered many apps within an hour.',
  })
  const show = (ctx: SignedIn, values: AppValues, errors?: FormErrors): Promise<void> =>
    showForm(parts, ctx, { values, action: '/developer/apps/new', cancel_href: '/developer' }, errors)
  return {
    show: (ctx: SignedIn) => show(ctx, noValues()),

    async send(ctx: SignedIn): Promise<void> {
      const { values, errors } = readForm(ctx, newClient)
      if (errors) return show(ctx, sentValues(ctx), errors)
      const input = { ...changeOf(values, 'developer', values.type), type: values.type } as OwnInput
      const by = actingUser(ctx)
      await registrations.count(by.id)
      try {
        const { client, secret } = await createOwnApp(db, input, policyOf(parts), by)
        const path = ownAppPath(client.id)
        const heading = `${client.name} is registered`
        const waits = client.state === 'pending' ? 'It waits for approval.' : ''
        if (secret === undefined) return seeOther(ctx, path, { heading: `${heading}. ${waits}`.trim() })
        const next = { href: path, label: `Go to ${client.name}` }
        showSecret(ctx, { heading, note: waits, id: client.id, secret, next })
      } catch (error) {
        await registrations.forgive(by.id)
        if (error instanceof TooManyApps) return show(ctx, sentValues(ctx), { form: TOO_MANY })
        if (!(error instanceof InvalidMetadata)) throw error
        return show(ctx, sentValues(ctx), errorsOf(error))
      }
    },
  }
}

function editForm(parts: DeveloperParts) {
  const { db } = parts
  const show = (
    ctx: SignedIn,
    app: Client,
    form: { values: AppValues; version: number },
    errors?: FormErrors,
    status?: number,
  ): Promise<void> => showForm(parts, ctx, editPage(app, form, policyOf(parts)), errors, status)
  return {
    async show(ctx: SignedIn): Promise<void> {
      const app = await getOwnApp(db, ctx)
      return show(ctx, app, { values: appValues(await withWaitingChange(db, app)), version: app.version })
    },

    async send(ctx: SignedIn): Promise<void> {
      const app = await getOwnApp(db, ctx)
      const { values, errors } = readForm(ctx, editedClient)
      if (errors) return show(ctx, app, { values: sentValues(ctx), version: app.version }, errors)
      const { version } = values
      const change = changeOf(values, 'developer', app.type)
      try {
        const changed = await changeOwnApp(db, app.id, change, version, policyOf(parts), actingUser(ctx))
        if (!changed) throw new NotFound(NO_SUCH_APP)
        seeOther(ctx, ownAppPath(app.id), changedNotice(changed, version))
      } catch (error) {
        if (error instanceof VersionConflict) {
          const form = conflictText(await withWaitingChange(db, error.client), change)
          const { version } = error.client
          return show(ctx, error.client, { values: sentValues(ctx), version }, { form }, 409)
        }
        if (!(error instanceof InvalidMetadata)) throw error
        // Keep the version that the person saw. With a newer one the form would overwrite changes that the person has not seen.
        return show(ctx, app, { values: sentValues(ctx), version }, errorsOf(error))
      }
    },
  }
}

const TOO_MANY = `You look after ${MOST_APPS} apps already, and nobody may look after more. Delete one that is not used, or leave it to its other owners.`

/** The app with the change that waits. The form shows that, so that sending it unchanged does not withdraw the change. */
async function withWaitingChange(db: Db, app: Client): Promise<Client> {
  const change = await findChange(db, app.id)
  return change && !change.rejected_at
    ? { ...app, ...(valuesOfChange(change.changes) as Partial<Client>) }
    : app
}

function changedNotice(
  { client, held }: { client: Client; held: readonly { field: string }[] },
  version: number,
): Notice {
  const fields = held.map(({ field }) => labelOf(field)).join(', ')
  return {
    heading: client.version === version ? `${client.name} is as it was.` : `${client.name} was changed.`,
    lines: held.length > 0 ? [`Waits for approval: ${fields}. Until then the app goes on as it was.`] : [],
  }
}

function editPage(
  app: Client,
  { values, version }: { values: AppValues; version: number },
  { approval }: { approval: boolean },
): FormPage {
  const { id, name, type, state, verified_at, first_party } = app
  const decided = (state === 'active' && approval) || verified_at !== null || first_party
  return {
    app: { name, type, decided },
    // The local `version` is the server's, on every page.
    seen_version: version,
    values,
    action: ownAppPath(id, 'edit'),
    cancel_href: ownAppPath(id),
  }
}

async function showForm(
  parts: DeveloperParts,
  ctx: SignedIn,
  page: FormPage,
  errors: FormErrors = {},
  status = statusOf(errors),
): Promise<void> {
  const locals = {
    done: takeNotice(ctx),
    ...page,
    errors,
    waits: policyOf(parts).approval,
    fields: formRows('developer', { values: page.values, errors }, page.app?.type),
    apis: await scopeChoices(parts.resources, page.values.scopes, 'developer'),
  }
  parts.render(ctx, 'developer/client-form', locals, status)
}
