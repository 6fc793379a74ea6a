// The scopes of an API: administrators add, change and remove them.
import { InvalidMetadata } from '../../core/clients/metadata.ts'
import type { Resource, ResourceScope } from '../../core/resources/store.ts'
import { addScope, changeScope, removeScope, ScopeBeingRemoved } from '../../core/resources/update.ts'
import { NotFound } from '../../http/errors.ts'
import { type FormErrors, readForm } from '../../http/form.ts'
import { seeOther, takeNotice } from '../../http/notice.ts'
import { actingUser, type SignedIn } from '../../protocol/guards.ts'
import { type Confirmation, confirmPages } from '../shared/confirm-page.ts'
import {
  cancelLink,
  errorsOf,
  kindChoices,
  type ResourceParts,
  scopeFields,
  scopeForm,
  sentValues,
} from './resource-fields.ts'
import { apiAt, apiPath } from './resource-path.ts'

/** A scope that can be removed. One without a sentence is being removed already: the job has failed, and can continue. */
type Removable = Pick<ResourceScope, 'name'> & Partial<Pick<ResourceScope, 'sentence'>>

interface ScopePage {
  api: Resource
  scope?: ResourceScope
  values: { kinds: string[] }
  action: string
  cancel_href: string
}

/** Forms of /admin/apis/:api/scopes. */
export function resourceScopeForms(parts: ResourceParts) {
  return { ...editingForms(parts), removeScope: removeForm(parts) }
}

function editingForms({ db, render }: ResourceParts) {
  const showScope = (ctx: SignedIn, page: ScopePage, errors: FormErrors = {}, status = 200): void =>
    render(
      ctx,
      'admin/resource-scope',
      { done: takeNotice(ctx), ...page, kinds: kindChoices(page.values.kinds), errors },
      status,
    )
  return {
    addScope: {
      async show(ctx: SignedIn): Promise<void> {
        showScope(ctx, {
          api: await apiAt(db, String(ctx.params.api)),
          values: sentValues(ctx),
          action: ctx.path,
          ...cancelLink(ctx),
        })
      },
      async send(ctx: SignedIn): Promise<void> {
        const api = await apiAt(db, String(ctx.params.api))
        const page = { api, values: sentValues(ctx), action: ctx.path, ...cancelLink(ctx) }
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
        const api = await apiAt(db, String(ctx.params.api))
        const scope = getScope(api, ctx)
        showScope(ctx, {
          api,
          scope,
          values: { ...sentValues(ctx), ...scope, kinds: scope.kinds ?? [] },
          action: ctx.path,
          ...cancelLink(ctx),
        })
      },
      async send(ctx: SignedIn): Promise<void> {
        const api = await apiAt(db, String(ctx.params.api))
        const scope = getScope(api, ctx)
        const page = { api, scope, values: sentValues(ctx), action: ctx.path, ...cancelLink(ctx) }
        const { values, errors } = readForm(ctx, scopeFields)
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
  }
}

function removeForm({ db, render }: ResourceParts) {
  const confirm = confirmPages(render, 'admin')
  return {
    async show(ctx: SignedIn): Promise<void> {
      const api = await apiAt(db, String(ctx.params.api))
      confirm(ctx, removePage(getRemovable(api, ctx), api))
    },
    async send(ctx: SignedIn): Promise<void> {
      const api = await apiAt(db, String(ctx.params.api))
      const scope = getRemovable(api, ctx)
      try {
        const job = await removeScope(db, api.identifier, scope.name, actingUser(ctx))
        if (!job) throw new NotFound('There is no such scope.')
        const heading =
          scope.sentence === undefined ? `Removing ${scope.name} goes on.` : `${scope.name} is removed.`
        seeOther(ctx, apiPath(api), { heading })
      } catch (error) {
        if (!(error instanceof InvalidMetadata)) throw error
        confirm(ctx, removePage(scope, api), { form: `${error.problem}.` })
      }
    },
  }
}

function getScope(api: Resource, ctx: SignedIn): ResourceScope {
  const name = scopeName(ctx)
  const scope = api.scopes.find((each) => each.name === name)
  if (!scope) throw new NotFound('There is no such scope.')
  return scope
}

function getRemovable(api: Resource, ctx: SignedIn): Removable {
  const name = scopeName(ctx)
  const failed = api.being_removed.find((each) => each.has_failed && each.name === name)
  return failed ?? getScope(api, ctx)
}

function scopeName(ctx: SignedIn): string {
  return Buffer.from(String(ctx.params.scope), 'base64url').toString('utf8')
}

function removePage(scope: Removable, api: Resource): Confirmation {
  const page = scope.sentence === undefined ? continuing(scope, api) : removing(scope, api)
  return { ...page, danger: true, cancel_href: apiPath(api) }
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

function continuing({ name }: Removable, api: Resource) {
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
