// The tokens with which apps may register themselves (RFC 7591), as administrators make, list and revoke them.

import { z } from 'zod'
import { isUuid } from '../../base/ids.ts'
import { OPENID_SCOPES } from '../../base/openid-scopes.ts'
import { InvalidMetadata } from '../../core/clients/metadata.ts'
import {
  createRegistrationToken,
  findRegistrationToken,
  listRegistrationTokens,
  MOST,
  type RegistrationToken,
  revokeRegistrationToken,
  tokenState,
} from '../../core/registration/initial-access-tokens.ts'
import type { ResourceDirectory } from '../../core/resources/cache.ts'
import type { Pool } from '../../db/pool.ts'
import { NotFound } from '../../http/errors.ts'
import { type FormErrors, readForm, sentText, statusOf } from '../../http/form.ts'
import { seeOther, takeNotice } from '../../http/notice.ts'
import { pageOf, queryPlace, withQuery } from '../../http/query.ts'
import type { Render } from '../../http/render.ts'
import { when } from '../../http/time.ts'
import { actingUser, type SignedIn } from '../../protocol/guards.ts'
import { confirmPages } from '../shared/confirm-page.ts'
import { TOKEN_STATE_LABELS } from '../shared/labels.ts'
import { scopeChoices } from '../shared/scope-choices.ts'
import { secretPages } from '../shared/secret-page.ts'

const PAGE = 25
const PATH = '/admin/registration-tokens'

const upTo = (most: number, label: string) =>
  z
    .string()
    .trim()
    .refine(
      (text) => /^\d{1,6}$/.test(text) && Number(text) >= 1 && Number(text) <= most,
      `${label}: give a number from 1 to ${most.toLocaleString('en')}.`,
    )
    .transform(Number)
const form = z.object({
  name: z.string().trim().default(''),
  uses: upTo(MOST.uses, 'Apps'),
  days: upTo(MOST.days, 'Days'),
  scope: z.union([z.string().transform((one) => [one]), z.array(z.string())]).default([]),
  client_credentials: z.string().optional(),
})

interface TokenParts {
  db: Pool
  resources: ResourceDirectory
  render: Render
  /** Whether apps may register themselves now. While they may not, the tokens are useless. */
  mayRegister: boolean
}

/** Handlers of /admin/registration-tokens. */
export function registrationTokenAdmin(parts: TokenParts) {
  const { db, render, mayRegister } = parts
  return {
    async list(ctx: SignedIn): Promise<void> {
      const after = queryPlace(ctx, 'after')
      const found = await listRegistrationTokens(db, { limit: PAGE + 1, after })
      const { rows, next_href } = pageOf(found, PAGE, ({ cursor }) => withQuery(PATH, { after: cursor }))
      render(ctx, 'admin/initial-access-tokens', {
        done: takeNotice(ctx),
        may_register: mayRegister,
        tokens: rows.map(tokenView),
        next_href,
      })
    },

    create: createForm(parts),
    revoke: revokeForm(parts),
  }
}

function createForm({ db, resources, render, mayRegister }: TokenParts) {
  const showSecret = secretPages(render, 'admin')
  const show = async (ctx: SignedIn, values: Values, errors: FormErrors = {}): Promise<void> => {
    const locals = {
      done: takeNotice(ctx),
      values,
      most: MOST,
      may_register: mayRegister,
      apis: await scopeChoices(resources, values.scopes, 'itself'),
      errors,
    }
    render(ctx, 'admin/initial-access-token-form', locals, statusOf(errors))
  }
  return {
    show: (ctx: SignedIn) => show(ctx, NOTHING),
    async send(ctx: SignedIn): Promise<void> {
      const { values, errors } = readForm(ctx, form)
      if (errors) return show(ctx, sent(ctx), errors)
      const { name, uses: maxUses, days, scope: scopes } = values
      const client_credentials = values.client_credentials !== undefined
      try {
        const wanted = { name, scopes, client_credentials, maxUses, days }
        const { token, value } = await createRegistrationToken(db, wanted, actingUser(ctx))
        showSecret(ctx, {
          heading: 'A new registration token',
          note: mayRegister ? USE_OF_TOKEN : 'It is good for nothing while DYNAMIC_REGISTRATION is off.',
          id: token.id,
          id_label: 'Id',
          secret: value,
          secret_label: 'Token',
          next: { href: PATH, label: 'Go to the tokens' },
        })
      } catch (error) {
        if (!(error instanceof InvalidMetadata)) throw error
        const label = error.field === 'name' ? 'Whom it is for' : 'Scopes'
        return show(ctx, sent(ctx), { [error.field]: `${label}: ${error.problem}.` })
      }
    },
  }
}

const USE_OF_TOKEN =
  'Give it to whoever is to register apps. They send it to /register as a bearer token (RFC 7591).'

function revokeForm({ db, render }: TokenParts) {
  const confirm = confirmPages(render, 'admin')
  const getToken = async (ctx: SignedIn): Promise<RegistrationToken> => {
    const id = String(ctx.params.token_id)
    const token = isUuid(id) ? await findRegistrationToken(db, id) : undefined
    if (!token) throw new NotFound('There is no such token.')
    return token
  }
  return {
    async show(ctx: SignedIn): Promise<void> {
      const token = await getToken(ctx)
      confirm(ctx, {
        subject: { name: token.name || 'No name', detail: `${token.prefix}…` },
        heading: 'Revoke this registration token?',
        will: ['Nobody registers an app with it any more.'],
        will_not: ['Apps that were registered with it stay.'],
        confirm_label: 'Revoke this token',
        danger: true,
        cancel_href: PATH,
      })
    },
    async send(ctx: SignedIn): Promise<void> {
      const token = await getToken(ctx)
      const changed = await revokeRegistrationToken(db, token.id, actingUser(ctx))
      seeOther(ctx, PATH, {
        heading: changed ? 'The token is revoked.' : 'It was revoked already.',
        tone: changed ? 'good' : 'warning',
      })
    },
  }
}

interface Values {
  name: string
  uses: string
  days: string
  scopes: string[]
  client_credentials: boolean
}

const NOTHING: Values = {
  name: '',
  uses: '1',
  days: '7',
  scopes: [...OPENID_SCOPES],
  client_credentials: false,
}

function sent(ctx: SignedIn): Values {
  const { scope } = (ctx.request.body ?? {}) as { scope?: unknown }
  return {
    name: sentText(ctx, 'name'),
    uses: sentText(ctx, 'uses'),
    days: sentText(ctx, 'days'),
    scopes: [scope ?? []].flat().map(String),
    client_credentials: sentText(ctx, 'client_credentials') !== '',
  }
}

function tokenView(token: RegistrationToken) {
  const state = tokenState(token)
  return {
    name: token.name || 'No name',
    prefix: token.prefix,
    is_live: state === 'live',
    state_text: TOKEN_STATE_LABELS[state],
    used: `${token.uses.toLocaleString('en')} of ${token.max_uses.toLocaleString('en')}`,
    scopes: token.scopes,
    client_credentials: token.client_credentials,
    expires: when(token.expires_at),
    revoke_href: `${PATH}/${token.id}/revoke`,
  }
}
