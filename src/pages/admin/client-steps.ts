// Pages of the console that say what will happen to an app, and do it when the button is pressed: one step each.
import type { Actor } from '../../base/audit-events.ts'
import { digest } from '../../base/credentials.ts'
import { fieldsSetBy, labelOf } from '../../core/clients/fields.ts'
import { InvalidMetadata } from '../../core/clients/metadata.ts'
import { findOwners } from '../../core/clients/owners.ts'
import { appView } from '../../core/clients/presentation.ts'
import { type Client, findClient } from '../../core/clients/store.ts'
import { VersionConflict } from '../../core/clients/update.ts'
import type { Pool } from '../../db/pool.ts'
import { NotFound } from '../../http/errors.ts'
import { sentText } from '../../http/form.ts'
import { type Notice, seeOther, takeNotice } from '../../http/notice.ts'
import type { Render } from '../../http/render.ts'
import { actingUser, type SignedIn } from '../../protocol/guards.ts'

/** What a step says before, does, and says afterwards. */
export interface Step {
  heading(app: Client): string
  will(app: Client): string[]
  will_not?(app: Client): string[]
  label: string
  danger?: boolean
  /** Something to be typed: a reason, a name; or chosen. */
  field?(app: Client): Field
  /** What it vouches for is shown, and is what it is done to. */
  vouches?: boolean
  /** @param version what was seen. @throws InvalidMetadata with the field's name, VersionConflict */
  run(app: Client, typed: string, by: Actor, version: number): Promise<{ notice: Notice; to?: string }>
}

interface Field {
  name: string
  label: string
  hint?: string
  kind: 'text' | 'area' | 'select'
  options?: { value: string; label: string }[]
  value?: string
}

/** What a page of a step says. */
interface Confirmation {
  heading: string
  will: string[]
  will_not: string[]
  confirm_label: string
  danger: boolean
  field?: Field
  hidden?: Record<string, string>
  facts?: Fact[]
}

/** What steps stand on. */
export interface StepParts {
  db: Pool
  render: Render
}

/** The app that an address names. @throws NotFound, also for the credentials of an API */
export async function getApp(db: Pool, ctx: SignedIn): Promise<Client> {
  const client = await findClient(db, String(ctx.params.client_id))
  if (!client || client.type === 'resource_server') throw new NotFound('There is no such app.')
  return client
}

/** The page of an app on the console. */
export function appPath({ id }: { id: string }): string {
  return `/admin/clients/${encodeURIComponent(id)}`
}

/** What came of a step that somebody else may have taken already. */
export function told(changed: boolean, heading: string, lines: string[] = []): { notice: Notice } {
  return {
    notice: changed
      ? { heading, lines }
      : { heading: 'Nothing was changed: it stood like that already.', tone: 'warning' },
  }
}

/** The form of a step. */
export function stepForm({ db, render }: StepParts, step: Step) {
  const show = async (
    ctx: SignedIn,
    app: Client,
    errors: Record<string, string> = {},
    status = 200,
    typed?: string,
  ): Promise<void> => {
    const page = {
      done: takeNotice(ctx),
      app: appView(app),
      action: ctx.path,
      cancel_href: appPath(app),
      ...(await pageOf(db, step, app, typed)),
      errors,
    }
    render(ctx, 'admin/confirm', page, status)
  }
  return {
    show: async (ctx: SignedIn): Promise<void> => show(ctx, await getApp(db, ctx)),
    async send(ctx: SignedIn): Promise<void> {
      const app = await getApp(db, ctx)
      const field = step.field?.(app)
      const typed = field ? sentText(ctx, field.name, 2_000) : ''
      try {
        const { notice, to = appPath(app) } = await step.run(app, typed, actingUser(ctx), seenVersion(ctx))
        seeOther(ctx, to, notice)
      } catch (error) {
        if (error instanceof VersionConflict) {
          const form = movedOn(ctx, await factsOf(db, error.client))
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
    heading: step.heading(app),
    will: step.will(app),
    will_not: step.will_not?.(app) ?? [],
    confirm_label: step.label,
    danger: step.danger ?? false,
    field: field && { ...field, value: typed ?? field.value },
    ...(step.vouches && {
      hidden: { version: String(app.version), seen: seenOf(facts) },
      facts: facts.filter(({ lines }) => lines.length > 0),
    }),
  }
}

// A form that does not say what was seen has seen nothing.
function seenVersion(ctx: SignedIn): number {
  const text = sentText(ctx, 'version', 10)
  return /^\d{1,9}$/.test(text) ? Number(text) : 0
}

interface Fact {
  label: string
  lines: string[]
}

async function factsOf(db: Pool, app: Client): Promise<Fact[]> {
  const owners = await findOwners(db, app.id)
  return [
    ...fieldsSetBy('developer').map((field) => ({
      label: labelOf(field),
      lines: [app[field] ?? []].flat().filter(Boolean),
    })),
    { label: 'Owners', lines: owners.map(({ name, email }) => `${name} (${email})`) },
  ]
}

// What was on the page, so that the next one can say what became another. It decides nothing: the version does.
function seenOf(facts: Fact[]): string {
  return facts
    .map(({ lines }) => digest(JSON.stringify(lines)).toString('base64url').slice(0, SEEN_LENGTH))
    .join('')
}

const SEEN_LENGTH = 6

function movedOn(ctx: SignedIn, facts: Fact[]): string {
  const [before, now] = [sentText(ctx, 'seen', 200), seenOf(facts)]
  const at = (text: string, i: number) => text.slice(i * SEEN_LENGTH, (i + 1) * SEEN_LENGTH)
  const changed = facts.filter((_, i) => at(before, i) !== at(now, i)).map(({ label }) => label)
  const what = before && changed.length > 0 ? `: ${changed.join(', ')}` : ''
  return `It was changed since you looked at it${what}. This is how it stands now.`
}
