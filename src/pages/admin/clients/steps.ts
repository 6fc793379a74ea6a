// Steps that an administrator takes with an app. A page says what will happen, and its button does it.
import type { Actor } from '../../../base/audit-events.ts'
import { digest } from '../../../base/credentials.ts'
import { VERSION } from '../../../base/ids.ts'
import { fieldsSetBy, labelOf } from '../../../core/clients/fields.ts'
import { InvalidMetadata } from '../../../core/clients/metadata.ts'
import { findOwners } from '../../../core/clients/owners.ts'
import { appView } from '../../../core/clients/presentation.ts'
import type { Client } from '../../../core/clients/store.ts'
import { VersionConflict } from '../../../core/clients/update.ts'
import type { Pool } from '../../../db/pool.ts'
import { type FormErrors, sentText } from '../../../http/form.ts'
import { type Notice, seeOther } from '../../../http/notice.ts'
import type { Render } from '../../../http/render.ts'
import { actingUser, type SignedIn } from '../../../protocol/guards.ts'
import { textsOf } from '../../shared/client-facts.ts'
import {
  type Confirmation,
  type ConfirmationField,
  confirmPages,
  type Fact,
} from '../../shared/confirm-page.ts'

import { appPath, getApp } from './path.ts'

/** What the page of a step says, what the step does, and what the next page says. */
export interface Step {
  heading(app: Client): string
  will(app: Client): string[]
  will_not?(app: Client): string[]
  label: string
  danger?: boolean
  field?(app: Client): ConfirmationField
  /** Whether the administrator vouches for what the page shows. Such a step is taken only for the version that it showed. */
  vouches?: boolean
  /** @param version that the page showed. @throws InvalidMetadata that names the step's field; VersionConflict */
  run(app: Client, typed: string, by: Actor, version: number): Promise<StepResult>
}

/** The notice for the next page, which is the app's unless `to` names another. */
export interface StepResult {
  notice: Notice
  to?: string
}

/** What steps are made of. */
export interface StepParts {
  db: Pool
  render: Render
}

/** The form of a step. */
export function stepForm({ db, render }: StepParts, step: Step) {
  const confirm = confirmPages(render, 'admin')
  const show = async (
    ctx: SignedIn,
    app: Client,
    errors: FormErrors = {},
    status = 200,
    typed?: string,
  ): Promise<void> => confirm(ctx, await pageOf(db, step, app, typed), errors, status)
  return {
    show: async (ctx: SignedIn): Promise<void> => show(ctx, await getApp(db, ctx)),
    async send(ctx: SignedIn): Promise<void> {
      const app = await getApp(db, ctx)
      const field = step.field?.(app)
      const typed = field ? sentText(ctx, field.name, 2_000) : ''
      try {
        const { notice, to = appPath(app.id) } = await step.run(
          app,
          typed,
          actingUser(ctx),
          shownVersion(ctx),
        )
        seeOther(ctx, to, notice)
      } catch (error) {
        if (error instanceof VersionConflict) {
          const form = conflictText(ctx, await factsOf(db, error.client))
          return show(ctx, error.client, { form }, 409)
        }
        if (!(error instanceof InvalidMetadata) || error.field !== field?.name) throw error
        return show(ctx, app, { [field.name]: `${field.label}: ${error.problem}.` }, 422, typed)
      }
    },
  }
}

async function pageOf(db: Pool, step: Step, app: Client, typed?: string): Promise<Confirmation> {
  const field = step.field?.(app)
  const facts = step.vouches ? await factsOf(db, app) : []
  return {
    app: appView(app),
    heading: step.heading(app),
    will: step.will(app),
    will_not: step.will_not?.(app),
    confirm_label: step.label,
    danger: step.danger,
    cancel_href: appPath(app.id),
    field: field && { ...field, value: typed ?? field.value },
    ...(step.vouches && {
      hidden: { version: String(app.version), seen: digestsOf(facts) },
      facts: facts.filter(({ lines }) => lines.length > 0),
    }),
  }
}

// 0, which no app has, where the form names no version.
function shownVersion(ctx: SignedIn): number {
  const text = sentText(ctx, 'version', 10)
  return VERSION.test(text) ? Number(text) : 0
}

async function factsOf(db: Pool, app: Client): Promise<Fact[]> {
  const owners = await findOwners(db, app.id)
  return [
    ...fieldsSetBy('developer').map((field) => ({ label: labelOf(field), lines: textsOf(app, field) })),
    { label: 'Owners', lines: owners.map(({ name, email }) => `${name} (${email})`) },
  ]
}

// A digest of each fact that the page showed, so that the next page can say which of them changed. Only the version decides whether
// the step is taken.
function digestsOf(facts: Fact[]): string {
  return facts
    .map(({ lines }) => digest(JSON.stringify(lines)).toString('base64url').slice(0, DIGEST_LENGTH))
    .join('')
}

const DIGEST_LENGTH = 6

function conflictText(ctx: SignedIn, facts: Fact[]): string {
  const [before, now] = [sentText(ctx, 'seen', 200), digestsOf(facts)]
  const at = (text: string, i: number) => text.slice(i * DIGEST_LENGTH, (i + 1) * DIGEST_LENGTH)
  const changed = facts.filter((_, i) => at(before, i) !== at(now, i)).map(({ label }) => label)
  const what = before && changed.length > 0 ? `: ${changed.join(', ')}` : ''
  return `It was changed since you looked at it${what}. This is how it stands now.`
}
