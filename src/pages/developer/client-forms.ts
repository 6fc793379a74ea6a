// Registering an app and changing one, as its developer: the same rules and the same form as at the other doors.

import { labelOf } from '../../core/clients/fields.ts'
import { InvalidMetadata } from '../../core/clients/metadata.ts'
import { MOST_APPS, TooManyApps } from '../../core/clients/owners.ts'
import { findChange, valuesOf as valuesOfChange } from '../../core/clients/pending-changes.ts'
import type { Client } from '../../core/clients/store.ts'
import { VersionConflict } from '../../core/clients/update.ts'
import { changeOwnApp, createOwnApp, type OwnInput } from '../../core/ownership/developer-clients.ts'
import { NotFound } from '../../http/errors.ts'
import { readForm } from '../../http/form.ts'
import { seeOther, takeNotice } from '../../http/notice.ts'
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
import { type DeveloperParts, getOwnApp } from './own-client.ts'

const newForm = newAppForm('developer')
const editForm = editAppForm('developer')

type Errors = Record<string, string>

/** Forms of /developer/apps/new and /developer/apps/:client_id/edit. */
export function developerForms({ db, resources, render, mode }: DeveloperParts) {
  const reception = { approval: mode === 'approval' }
  const registrations = throttle(db, {
    name: 'register-own',
    attempts: 20,
    seconds: 60 * 60,
    message: 'You have registered many apps within an hour.',
  })
  const show = async (ctx: SignedIn, page: FormPage, errors: Errors = {}, status = 200): Promise<void> =>
    render(
      ctx,
      'developer/client-form',
      {
        done: takeNotice(ctx),
        ...page,
        errors,
        waits: reception.approval,
        fields: formRows('developer', { values: page.values, errors }, page.app?.type),
        apis: await scopeChoices(resources, page.values.scopes, 'developer'),
      },
      status,
    )
  const showNew = (ctx: SignedIn, values: AppValues, errors?: Errors, status?: number): Promise<void> =>
    show(ctx, { values, action: '/developer/apps/new', cancel_href: '/developer' }, errors, status)
  const showEdit = (
    ctx: SignedIn,
    app: Client,
    page: { values: AppValues; version: number },
    errors?: Errors,
    status?: number,
  ): Promise<void> => {
    const base = `/developer/apps/${app.id}`
    const about = {
      name: app.name,
      type: app.type,
      decided: (app.state === 'active' && reception.approval) || app.verified_at !== null || app.first_party,
    }
    const { values, version } = page
    return show(
      ctx,
      // Not "version": every page knows the server's under that name.
      { app: about, seen_version: version, values, action: `${base}/edit`, cancel_href: base },
      errors,
      status,
    )
  }
  /** What waits is in the form, too: sending it unchanged must not take it back. */
  const withWaiting = async (app: Client): Promise<Client> => {
    const change = await findChange(db, app.id)
    return change && !change.rejected_at
      ? { ...app, ...(valuesOfChange(change.changes) as Partial<Client>) }
      : app
  }

  return {
    register: {
      show: (ctx: SignedIn) => showNew(ctx, noValues()),

      async send(ctx: SignedIn): Promise<void> {
        const { values, errors } = readForm(ctx, newForm)
        if (errors) return showNew(ctx, sentValues(ctx), errors, 422)
        const input = { ...changeOf(values, 'developer', values.type), type: values.type } as OwnInput
        const by = actingUser(ctx)
        await registrations.count(by.id)
        try {
          const { client, secret } = await createOwnApp(db, input, reception, by)
          const path = `/developer/apps/${client.id}`
          const next = client.state === 'pending' ? ' It waits for approval.' : ''
          if (secret === undefined) {
            return seeOther(ctx, path, { heading: `${client.name} is registered.${next}` })
          }
          render(ctx, 'developer/secret', {
            heading: `${client.name} is registered`,
            note: next.trim(),
            client_id: client.id,
            secret,
            next: { href: path, label: `Go to ${client.name}` },
          })
        } catch (error) {
          await registrations.forgive(by.id)
          if (error instanceof TooManyApps) return showNew(ctx, sentValues(ctx), { form: TOO_MANY }, 422)
          if (!(error instanceof InvalidMetadata)) throw error
          return showNew(ctx, sentValues(ctx), errorsOf(error), 422)
        }
      },
    },

    edit: {
      async show(ctx: SignedIn): Promise<void> {
        const app = await getOwnApp(db, ctx)
        return showEdit(ctx, app, { values: appValues(await withWaiting(app)), version: app.version })
      },

      async send(ctx: SignedIn): Promise<void> {
        const app = await getOwnApp(db, ctx)
        const { values, errors } = readForm(ctx, editForm)
        if (errors) {
          return showEdit(ctx, app, { values: sentValues(ctx), version: app.version }, errors, 422)
        }
        const { version } = values
        const change = changeOf(values, 'developer', app.type)
        try {
          const changed = await changeOwnApp(db, app.id, change, version, reception, actingUser(ctx))
          if (!changed) throw new NotFound('There is no such app, or it is not yours.')
          const { client, held } = changed
          const fields = held.map(({ field }) => labelOf(field)).join(', ')
          const same = client.version === version
          seeOther(ctx, `/developer/apps/${app.id}`, {
            heading: same ? `${client.name} is as it was.` : `${client.name} was changed.`,
            lines:
              held.length > 0 ? [`Waits for approval: ${fields}. Until then the app goes on as it was.`] : [],
          })
        } catch (error) {
          if (error instanceof VersionConflict) {
            const stands = await withWaiting(error.client)
            const page = { values: sentValues(ctx), version: error.client.version }
            return showEdit(ctx, error.client, page, { form: conflictText(stands, change) }, 409)
          }
          if (!(error instanceof InvalidMetadata)) throw error
          // What was seen stays what was seen: the hidden version must not move on with the page.
          return showEdit(ctx, app, { values: sentValues(ctx), version }, errorsOf(error), 422)
        }
      },
    },
  }
}

const TOO_MANY = `You look after ${MOST_APPS} apps already, and nobody may look after more. Delete one that is not used, or leave it to its other owners.`

interface FormPage {
  app?: { name: string; type: Client['type']; decided: boolean }
  seen_version?: number
  values: AppValues
  action: string
  cancel_href: string
}
