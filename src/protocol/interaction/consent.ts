// Deciding about an app, where an authorization request stops for it.
import type { Context } from 'koa'
import { z } from 'zod'
import { digest } from '../../base/credentials.ts'
import { OPENID_SCOPES, openidWords } from '../../base/openid-scopes.ts'
import { isDocumentId } from '../../core/clients/document-url.ts'
import { hostOf } from '../../core/clients/presentation.ts'
import { type Consent, findConsent, giveConsent } from '../../core/grants/consents.ts'
import type { GrantedScopes } from '../../core/grants/store.ts'
import type { ResourceDirectory } from '../../core/resources/cache.ts'
import type { ResourceScope } from '../../core/resources/store.ts'
import { findUser } from '../../core/users/store.ts'
import type { Db, Pool } from '../../db/pool.ts'
import { actorOf } from '../../http/actor.ts'
import { NotFound } from '../../http/errors.ts'
import { readForm } from '../../http/form.ts'
import { when } from '../../http/time.ts'
import { deviceOf, otherDevice } from '../rules/device.ts'
import { all, split } from '../rules/grants.ts'
import type { Step } from './step.ts'

const KEEP = {
  always: 'Until I remove it',
  year: 'For a year',
  month: 'For 30 days',
  day: 'For a day',
} as const
const KEEP_DAYS = { always: null, year: 365, month: 30, day: 1 } as const

const form = z.object({
  scope: z.union([z.string().transform((one) => [one]), z.array(z.string())]).default([]),
  // Which of its looks, and which words, the page showed: see `changeMark`.
  seen: z.string().default(''),
  keep: z
    .enum(['as_before', ...(Object.keys(KEEP) as (keyof typeof KEEP)[])], 'Choose how long.')
    .default('always'),
  // Of the button that a press of Enter on a box presses.
  enter: z.string().optional(),
})

type Sent = Pick<z.output<typeof form>, 'scope' | 'keep'>

/** The page and the post of a consent. */
export function consent({ db, resources }: { db: Pool; resources: ResourceDirectory }) {
  return {
    /** Shows what the app asks for. @param sent what the person had chosen, which stays */
    async show(
      ctx: Context,
      step: Step,
      errors: Record<string, string> = {},
      status = 200,
      sent?: Sent,
    ): Promise<void> {
      const { asked, optional } = await readRequest(resources, step)
      const user = await findUser(db, step.user_id!)
      if (!user) throw new NotFound()
      const earlier = await findConsent(db, user.id, step.client_id)
      const decided = new Set(earlier && [...earlier.scopes, ...earlier.rejected_scopes])
      const allowed = new Set(earlier?.scopes)
      // What was allowed stays ticked, what was refused stays unticked; danger is never ticked in advance.
      const isTicked = ({ name, dangerous }: ResourceScope) =>
        sent?.scope.includes(name) ?? (decided.has(name) ? allowed.has(name) : !dangerous)
      step.show(
        ctx,
        'protocol/consent',
        {
          action: step.path('consent'),
          other_account_action: step.path('switch'),
          account: { email: user.email, name: user.name },
          sign_in_scopes: openidWords(new Set(asked.openid?.scope.split(' '))),
          scopes: optional.map((scope) => ({
            ...scope,
            is_new: earlier !== undefined && !decided.has(scope.name),
            checked: isTicked(scope),
          })),
          keep: keepOptions(earlier, sent?.keep),
          redirect_host: step.deviceCode ? undefined : hostOf(step.redirectUri),
          seen: changeMark(step, optional),
          was: earlier && lookedOtherwise(earlier, step),
          errors,
        },
        status,
      )
    },

    /** Stores the decision, and the interaction goes on with the grant it made. */
    async post(ctx: Context, step: Step): Promise<void> {
      const { values, errors } = readForm(ctx, form)
      if (errors) return this.show(ctx, step, { form: 'Choose again what the app may do.' }, 422)
      const { asked, optional } = await readRequest(resources, step)
      if (values.seen !== changeMark(step, optional)) {
        const form = 'The app, or what it asks for, has changed in the meantime. Look at it again.'
        return this.show(ctx, step, { form }, 422)
      }
      if (values.enter !== undefined) {
        const form = 'Nothing is decided yet: press “Allow” or “Don’t allow”.'
        return this.show(ctx, step, { form }, 422, values)
      }
      const ticked = optional.map(({ name }) => name).filter((name) => values.scope.includes(name))
      const allowed = new Set([...(asked.openid?.scope.split(' ') ?? []), ...ticked])
      if (allowed.size === 0) {
        const form = 'Tick at least one thing, or choose “Don’t allow”.'
        return this.show(ctx, step, { form }, 422, values)
      }
      const expires_at = await keptUntil(db, step, values.keep)
      const decide = (t: Db) =>
        giveConsent(
          t,
          {
            user_id: step.user_id!,
            client: {
              id: step.client_id,
              name: step.app?.name ?? step.client_id,
              host: hostSeen(step),
              logo_uri: step.app?.logo_uri,
            },
            scopes: [...allowed],
            rejected_scopes: all(asked).filter((scope) => !allowed.has(scope)),
            expires_at,
            granted: split(asked, allowed),
            device: step.deviceCode ? otherDevice(ctx) : deviceOf(ctx),
          },
          { ...actorOf(ctx), id: step.user_id },
        )
      await step.decide(ctx, async (t) => ({ consent: { grantId: await decide(t) } }))
    },
  }
}

function hostSeen({ client_id, redirectUri, deviceCode, app }: Step): string {
  if (deviceCode) return app?.host ?? ''
  return isDocumentId(client_id) ? hostOf(client_id) : hostOf(redirectUri)
}

function keepOptions(earlier: Consent | undefined, chosen?: Sent['keep']) {
  const before = earlier?.expires_at && `As before: until ${when(earlier.expires_at).text}`
  const options = { ...(before ? { as_before: before } : {}), ...KEEP }
  const selected = chosen ?? (before ? 'as_before' : 'always')
  return Object.entries(options).map(([value, label]) => ({ value, label, selected: value === selected }))
}

// A decision is about what the page showed; an app that has changed since then, or a scope that means something else, is shown again.
function changeMark({ brandingChangedAt }: Step, optional: ResourceScope[]): string {
  const words = optional.map(({ name, sentence, detail, dangerous }) => [name, sentence, detail, dangerous])
  return digest(JSON.stringify([brandingChangedAt?.getTime(), words])).toString('base64url')
}

function lookedOtherwise(
  earlier: Consent,
  { brandingChangedAt }: Step,
): { name: string; host: string } | undefined {
  if (!brandingChangedAt || earlier.updated_at >= brandingChangedAt) return undefined
  return { name: earlier.client_name, host: earlier.client_host }
}

// An end that was chosen earlier stays unless the person chooses another now.
async function keptUntil(db: Db, step: Step, keep: keyof typeof KEEP | 'as_before'): Promise<Date | null> {
  if (keep === 'as_before') return (await findConsent(db, step.user_id!, step.client_id))?.expires_at ?? null
  const days = KEEP_DAYS[keep]
  return days === null ? null : new Date(Date.now() + days * 86_400_000)
}

// The provider has checked the request and named the APIs it is about; scopes outside of them have no effect.
async function readRequest(
  resources: ResourceDirectory,
  step: Step,
): Promise<{ asked: GrantedScopes; optional: ResourceScope[] }> {
  const { scope, resource } = step.params as { scope?: string; resource?: string | string[] }
  const requested = new Set(scope?.split(' ').filter(Boolean))
  const openid = OPENID_SCOPES.filter((name) => requested.has(name))
  const optional: ResourceScope[] = []
  const asked: Record<string, string> = {}
  for (const identifier of new Set([resource ?? []].flat())) {
    const api = await resources.find(identifier)
    const scopes = api?.scopes.filter(({ name }) => requested.has(name) && step.mayAskFor(name)) ?? []
    if (scopes.length > 0) asked[identifier] = scopes.map(({ name }) => name).join(' ')
    optional.push(...scopes)
  }
  return {
    asked: { ...(openid.length > 0 ? { openid: { scope: openid.join(' ') } } : {}), resources: asked },
    optional,
  }
}
