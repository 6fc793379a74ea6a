// APIs: the list, the page of one, registering and renaming. Scopes, tokens and secrets have files of their own.

import { z } from 'zod'
import { InvalidMetadata } from '../../core/clients/metadata.ts'
import { listSecrets } from '../../core/clients/secrets.ts'
import { createResource, listResources, type Resource, tokenSeconds } from '../../core/resources/store.ts'
import { introspectionClient, renameResource } from '../../core/resources/update.ts'
import { type FormErrors, readForm, sentText } from '../../http/form.ts'
import { seeOther, takeNotice } from '../../http/notice.ts'
import { actingUser, type SignedIn } from '../../protocol/guards.ts'
import { type Confirmation, confirmPages } from '../shared/confirm-page.ts'
import { KIND_LABELS, secretView } from '../shared/labels.ts'
import { secretPages } from '../shared/secret-page.ts'
import {
  errorsOf,
  kindChoices,
  type ResourceParts,
  scopeForm,
  scopePath,
  seconds,
  sentValues,
} from './resource-fields.ts'
import { apiAt, apiPath } from './resource-path.ts'
import { resourceScopeForms } from './resource-scopes.ts'
import { resourceTokenForm } from './resource-tokens.ts'

const apiForm = scopeForm.extend({
  identifier: z.string().trim().default(''),
  name: z.string().trim().default(''),
})

/** Handlers of /admin/apis and below. */
export function resourceAdmin(parts: ResourceParts) {
  return {
    ...resourcePages(parts),
    register: registerForm(parts),
    rename: renameForm(parts),
    tokens: resourceTokenForm(parts),
    ...resourceScopeForms(parts),
  }
}

function resourcePages({ db, render, standardSeconds }: ResourceParts) {
  return {
    async list(ctx: SignedIn): Promise<void> {
      const apis = await listResources(db)
      render(ctx, 'admin/resources', {
        done: takeNotice(ctx),
        apis: apis.map((api) => ({ ...api, href: apiPath(api) })),
      })
    },

    async show(ctx: SignedIn): Promise<void> {
      const api = await apiAt(db, String(ctx.params.api))
      const path = apiPath(api)
      const client_id = await introspectionClient(db, api.identifier)
      const secrets = client_id ? await listSecrets(db, client_id) : []
      render(ctx, 'admin/resource', {
        done: takeNotice(ctx),
        api,
        path,
        client_id,
        is_jwt: api.token_format === 'jwt',
        lifetime: seconds(tokenSeconds(api, standardSeconds)),
        is_standard: api.token_seconds === null,
        secrets: secrets.map((secret) => secretView(secret, path)),
        scopes: api.scopes.map((scope) => ({
          ...scope,
          kinds: scope.kinds?.map((kind) => KIND_LABELS[kind]),
          edit_href: scopePath(path, scope),
          remove_href: `${scopePath(path, scope)}/remove`,
        })),
        being_removed: api.being_removed.map((scope) => ({
          name: scope.name,
          href: `/admin/jobs/${scope.job_id}`,
          again_href: scope.has_failed ? `${scopePath(path, scope)}/remove` : undefined,
        })),
        errors: {},
      })
    },
  }
}

function registerForm({ db, render }: ResourceParts) {
  const showSecret = secretPages(render, 'admin')
  const showNew = (ctx: SignedIn, errors: FormErrors = {}, status = 200): void =>
    render(
      ctx,
      'admin/resource-form',
      {
        done: takeNotice(ctx),
        kinds: kindChoices(sentValues(ctx).kinds),
        values: sentValues(ctx),
        action: '/admin/apis/new',
        errors,
      },
      status,
    )
  return {
    show: (ctx: SignedIn) => showNew(ctx),
    async send(ctx: SignedIn): Promise<void> {
      const { values, errors } = readForm(ctx, apiForm)
      if (errors) return showNew(ctx, errors, 422)
      const { identifier, name, scope, ...fields } = values
      try {
        const { resource, client, secret } = await createResource(
          db,
          { identifier, name, scopes: [{ name: scope, ...fields }] },
          actingUser(ctx),
        )
        showSecret(ctx, {
          heading: `${resource.name} is registered`,
          note: 'With these the API asks /introspect about the tokens it gets; they are good for nothing else.',
          id: client.id,
          secret,
          next: { href: apiPath(resource), label: `Go to ${resource.name}` },
        })
      } catch (error) {
        if (!(error instanceof InvalidMetadata)) throw error
        showNew(ctx, errorsOf(error), 422)
      }
    },
  }
}

function renameForm({ db, render }: ResourceParts) {
  const confirm = confirmPages(render, 'admin')
  const getApi = (ctx: SignedIn): Promise<Resource> => apiAt(db, String(ctx.params.api))
  return {
    async show(ctx: SignedIn): Promise<void> {
      const api = await getApi(ctx)
      confirm(ctx, renamePage(api, api.name))
    },
    async send(ctx: SignedIn): Promise<void> {
      const api = await getApi(ctx)
      const name = sentText(ctx, 'name')
      try {
        await renameResource(db, api.identifier, name, actingUser(ctx))
        seeOther(ctx, apiPath(api), { heading: `The API is called ${name.trim()}.` })
      } catch (error) {
        if (!(error instanceof InvalidMetadata)) throw error
        confirm(ctx, renamePage(api, name), errorsOf(error))
      }
    },
  }
}

function renamePage(api: Resource, typed: string): Confirmation {
  return {
    heading: `Rename ${api.name}`,
    will: ['Administrators and developers see the new name.'],
    will_not: ['Its identifier stays: it is what tokens say they are for.'],
    confirm_label: 'Rename',
    field: { name: 'name', label: 'Name', kind: 'text', value: typed },
    cancel_href: apiPath(api),
  }
}
