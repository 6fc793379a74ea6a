// What administrators decide about one app: each is a page that says what will happen, and its button.
import type { Actor } from '../../base/audit-events.ts'
import { digest } from '../../base/credentials.ts'
import { isDocumentId } from '../../core/clients/document-url.ts'
import { fieldsSetBy, labelOf } from '../../core/clients/fields.ts'
import { InvalidMetadata } from '../../core/clients/metadata.ts'
import { findOwners } from '../../core/clients/owners.ts'
import { appView } from '../../core/clients/presentation.ts'
import { approveClient, rejectClient, unverifyClient, verifyClient } from '../../core/clients/review.ts'
import { addNamedSecret, listSecrets, revokeSecret, rotateSecret } from '../../core/clients/secrets.ts'
import {
  type Client,
  deleteClient,
  findClient,
  isConfidential,
  resumeClient,
  suspendClient,
} from '../../core/clients/store.ts'
import { VersionConflict } from '../../core/clients/update.ts'
import { endAllAccess } from '../../core/grants/revoke.ts'
import {
  findBlockedDocument,
  listBlockedDocuments,
  unblockDocument,
} from '../../core/registration/metadata-documents.ts'
import type { Pool } from '../../db/pool.ts'
import { NotFound } from '../../http/errors.ts'
import { sentText } from '../../http/form.ts'
import { type Notice, seeOther, takeNotice } from '../../http/notice.ts'
import { isUuid, pageOf as pageOfRows, queryText, withQuery } from '../../http/query.ts'
import type { Render } from '../../http/render.ts'
import { when } from '../../http/time.ts'
import { actingUser, type SignedIn } from '../../protocol/guards.ts'

/** What a step says before, does, and says afterwards. */
interface Step {
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

const PAGE = 25

const OVERLAPS = [
  { value: '0', label: 'at once' },
  { value: '3600', label: 'in an hour' },
  { value: '86400', label: 'in a day' },
  { value: '604800', label: 'in a week' },
  { value: '2592000', label: 'in 30 days' },
]

const TELLS_OWNERS = { will: ['Its owners are told by mail.'], will_not: [] }
const MAIL_IS_OFF = { will: [], will_not: ['Mail is off: its owners are not told. Tell them yourself.'] }

/** Forms of /admin/clients/:client_id/…: decisions and secrets. */
export function clientAdminSteps(parts: { db: Pool; render: Render; mailIsOn: boolean }) {
  const { db, render, mailIsOn } = parts
  const tells = mailIsOn ? TELLS_OWNERS : MAIL_IS_OFF
  const getApp = async (ctx: SignedIn): Promise<Client> => {
    const client = await findClient(db, String(ctx.params.client_id))
    if (!client || client.type === 'resource_server') throw new NotFound('There is no such app.')
    return client
  }
  const confirm = (
    ctx: SignedIn,
    app: Client,
    page: Confirmation,
    errors: Record<string, string> = {},
    status = 200,
  ): void =>
    render(
      ctx,
      'admin/confirm',
      {
        done: takeNotice(ctx),
        app: appView(app),
        action: ctx.path,
        cancel_href: `/admin/clients/${encodeURIComponent(app.id)}`,
        ...page,
        errors,
      },
      status,
    )
  const pageOf = async (step: Step, app: Client, typed?: string): Promise<Confirmation> => {
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
  const form = (step: Step) => ({
    async show(ctx: SignedIn): Promise<void> {
      const app = await getApp(ctx)
      confirm(ctx, app, await pageOf(step, app))
    },
    async send(ctx: SignedIn): Promise<void> {
      const app = await getApp(ctx)
      const field = step.field?.(app)
      const typed = field ? sentText(ctx, field.name, 2_000) : ''
      try {
        const { notice, to = `/admin/clients/${encodeURIComponent(app.id)}` } = await step.run(
          app,
          typed,
          actingUser(ctx),
          seenVersion(ctx),
        )
        seeOther(ctx, to, notice)
      } catch (error) {
        if (error instanceof VersionConflict) {
          const form = movedOn(ctx, await factsOf(db, error.client))
          return confirm(ctx, error.client, await pageOf(step, error.client), { form }, 409)
        }
        if (!(error instanceof InvalidMetadata) || error.field !== field?.name) throw error
        const errors = { [field.name]: `${field.label}: ${error.problem}.` }
        confirm(ctx, app, await pageOf(step, app, typed), errors, 422)
      }
    },
  })
  /** For changes that somebody else may have made already. */
  const told = (changed: boolean, heading: string, lines: string[] = []): { notice: Notice } => ({
    notice: changed
      ? { heading, lines }
      : { heading: 'Nothing was changed: it stood like that already.', tone: 'warning' },
  })
  const showSecret = (ctx: SignedIn, app: Client, secret: string, note: string): void =>
    render(ctx, 'admin/secret', {
      heading: `A new secret for ${app.name}`,
      client_id: app.id,
      secret,
      note,
      next: { href: `/admin/clients/${encodeURIComponent(app.id)}`, label: `Go to ${app.name}` },
    })
  const getAway = async (ctx: SignedIn) => {
    const app = await findBlockedDocument(db, String(ctx.params.blocked_id))
    if (!app) throw new NotFound('There is no such app.')
    return app
  }
  const getKeeper = async (ctx: SignedIn): Promise<Client> => {
    const app = await getApp(ctx)
    if (!isConfidential(app.type)) throw new NotFound('This kind of app keeps no secret.')
    return app
  }

  return {
    approve: form({
      heading: ({ name }) => `Approve ${name}?`,
      will: ({ name }) => [`Everybody can use ${name}, from the moment you press the button.`, ...tells.will],
      will_not: () => ['It is not marked as verified: that is a decision of its own.', ...tells.will_not],
      label: 'Approve',
      vouches: true,
      run: async (app, _, by, version) =>
        told(await approveClient(db, app.id, by, version), `${app.name} is approved. Everybody can use it.`),
    }),

    reject: form({
      heading: ({ name }) => `Reject ${name}?`,
      will: ({ name }) => [
        `Nobody can use ${name}, not even its owners.`,
        'What its owners tried out with it ends at once.',
        ...tells.will,
      ],
      will_not: () => ['It is not deleted: you can approve it later.', ...tells.will_not],
      label: 'Reject',
      danger: true,
      field: () => ({
        name: 'reason',
        label: 'Reason',
        hint: 'In words for its owners: what is wrong, and what would mend it.',
        kind: 'area',
      }),
      run: async (app, reason, by) =>
        told(await rejectClient(db, app.id, reason, by), `${app.name} is rejected.`),
    }),

    verify: form({
      heading: ({ name }) => `Mark ${name} as verified?`,
      will: () => [
        'The consent page says “Verified”: that you know who is behind it.',
        'It is about its owners of today, and falls when the last of them leaves.',
      ],
      label: 'Mark as verified',
      vouches: true,
      run: async (app, _, by, version) =>
        told(await verifyClient(db, app.id, by, version), `${app.name} is verified.`),
    }),

    unverify: form({
      heading: ({ name }) => `Take “Verified” from ${name}?`,
      will: () => ['The consent page says “Not verified”, with a warning.'],
      will_not: () => ['People who allowed it are not asked again.'],
      label: 'Take it away',
      run: async (app, _, by) =>
        told(await unverifyClient(db, app.id, by), `${app.name} is no longer verified.`),
    }),

    suspend: form({
      heading: ({ name }) => `Suspend ${name}?`,
      will: ({ name }) => [
        `Every token of ${name} is dead at once, and nobody can sign in to it.`,
        'You can resume it at any time.',
      ],
      will_not: () => ['What people decided about it stays remembered.'],
      label: 'Suspend',
      danger: true,
      run: async (app, _, by) =>
        told(await suspendClient(db, app.id, by), `${app.name} is suspended. Its tokens are dead.`),
    }),

    resume: form({
      heading: ({ name }) => `Let ${name} work again?`,
      will: () => ['People can sign in to it again.', 'Tokens that have not expired meanwhile live again.'],
      label: 'Resume',
      run: async (app, _, by) => told(await resumeClient(db, app.id, by), `${app.name} works again.`),
    }),

    endAccess: form({
      heading: ({ name }) => `End all access of ${name}?`,
      will: ({ name }) => [
        `Everybody who uses ${name} has to allow it again. It begins at once; with very many people it takes a while.`,
        'The next page shows how far it has come. You need not wait there.',
      ],
      will_not: () => ['People can allow it again. To prevent that, suspend it first.'],
      label: 'End all access',
      danger: true,
      async run(app, _, by) {
        const job = await endAllAccess(db, { client_id: app.id }, by)
        return { to: `/admin/jobs/${job.id}`, notice: { heading: `Ending all access of ${app.name}.` } }
      },
    }),

    remove: form({
      heading: ({ name }) => `Delete ${name}?`,
      will: ({ id }) => [
        'Its tokens are dead at once.',
        isDocumentId(id)
          ? 'It stays away: the document at its id is not read any more, until you let it come back.'
          : 'Nothing brings it back.',
      ],
      will_not: () => ['What happened stays in the audit log.'],
      label: 'Delete for good',
      danger: true,
      field: ({ name }) => ({
        name: 'confirm',
        label: 'Name of the app',
        hint: `Type ${name} to confirm.`,
        kind: 'text',
      }),
      async run(app, typed, by) {
        if (typed.trim().normalize('NFC') !== app.name.normalize('NFC')) {
          throw new InvalidMetadata('confirm', `type ${app.name}`)
        }
        const changed = await deleteClient(db, app.id, by)
        return { ...told(changed, `${app.name} is deleted. Its tokens are dead.`), to: '/admin/clients' }
      },
    }),

    /** Apps that would come back by themselves, and may not. */
    async listBlocked(ctx: SignedIn): Promise<void> {
      // An id that is an address has up to 500 characters.
      const after = queryText(ctx, 'after', 520)
      const found = await listBlockedDocuments(db, { limit: PAGE + 1, after })
      const { rows, next_href } = pageOfRows(found, PAGE, ({ cursor }) =>
        withQuery('/admin/clients/blocked', { after: cursor }),
      )
      const apps = rows.map(({ client_id, name, refused_at }) => ({
        id: client_id,
        name,
        deleted: when(refused_at),
        unblock_href: `/admin/clients/${encodeURIComponent(client_id)}/unblock`,
      }))
      render(ctx, 'admin/blocked-clients', { done: takeNotice(ctx), apps, next_href })
    },

    unblock: {
      async show(ctx: SignedIn): Promise<void> {
        const { client_id, name } = await getAway(ctx)
        render(ctx, 'admin/confirm', {
          done: takeNotice(ctx),
          heading: `Let ${name} come back?`,
          action: ctx.path,
          cancel_href: '/admin/clients/blocked',
          subject: { name, detail: client_id },
          will: [
            'Its document is read again when somebody uses it, and it is registered as one that nobody knows.',
            'What people allowed before it was deleted is ended. Until that is done it stays away.',
          ],
          will_not: ['It is not verified, whatever it was before.'],
          confirm_label: 'Let it come back',
          danger: false,
          errors: {},
        })
      },
      async send(ctx: SignedIn): Promise<void> {
        const { client_id, name } = await getAway(ctx)
        const changed = await unblockDocument(db, client_id, actingUser(ctx))
        const { notice } = told(changed, `${name} may come back.`)
        seeOther(ctx, '/admin/clients/blocked', notice)
      },
    },

    addSecret: {
      async show(ctx: SignedIn): Promise<void> {
        const app = await getKeeper(ctx)
        confirm(ctx, app, newSecretPage(app))
      },
      async send(ctx: SignedIn): Promise<void> {
        const app = await getKeeper(ctx)
        const name = sentText(ctx, 'name')
        try {
          const secret = await addNamedSecret(db, app.id, name, actingUser(ctx))
          if (secret === undefined) throw new NotFound('There is no such app.')
          showSecret(ctx, app, secret, 'The secrets it had go on working.')
        } catch (error) {
          if (!(error instanceof InvalidMetadata)) throw error
          confirm(ctx, app, newSecretPage(app, name), { name: `Name: ${error.problem}.` }, 422)
        }
      },
    },

    rotateSecret: {
      async show(ctx: SignedIn): Promise<void> {
        const app = await getKeeper(ctx)
        confirm(ctx, app, rotatePage(app))
      },
      async send(ctx: SignedIn): Promise<void> {
        const app = await getKeeper(ctx)
        const overlap = OVERLAPS.find(({ value }) => value === sentText(ctx, 'overlap'))
        if (!overlap)
          return confirm(ctx, app, rotatePage(app), { overlap: 'Choose when the old ones end.' }, 422)
        const overlapSeconds = Number(overlap.value)
        try {
          const secret = await rotateSecret(db, app.id, actingUser(ctx), { overlapSeconds })
          if (secret === undefined) throw new NotFound('There is no such app.')
          showSecret(ctx, app, secret, `The secrets it had end ${overlap.label}.`)
        } catch (error) {
          if (!(error instanceof InvalidMetadata)) throw error
          confirm(ctx, app, rotatePage(app), { overlap: `The old secrets: ${error.problem}.` }, 422)
        }
      },
    },

    revokeSecret: {
      async show(ctx: SignedIn): Promise<void> {
        const app = await getKeeper(ctx)
        const secret = (await listSecrets(db, app.id)).find(({ id }) => id === ctx.params.secret_id)
        if (!secret) throw new NotFound('That secret has ended.')
        confirm(ctx, app, {
          heading: `Revoke the secret ${secret.prefix}… of ${app.name}?`,
          will: ['Whoever authenticates with it is refused at once.'],
          will_not: ['Tokens that were given already live on until they expire.'],
          confirm_label: 'Revoke this secret',
          danger: true,
        })
      },
      async send(ctx: SignedIn): Promise<void> {
        const app = await getKeeper(ctx)
        const id = String(ctx.params.secret_id)
        const revoked = isUuid(id) && (await revokeSecret(db, app.id, id, actingUser(ctx)))
        if (!revoked) throw new NotFound('That secret has ended.')
        seeOther(ctx, `/admin/clients/${encodeURIComponent(app.id)}`, { heading: 'The secret is revoked.' })
      },
    },
  }
}

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

function newSecretPage(app: Client, typed = ''): Confirmation {
  return {
    heading: `Add a secret to ${app.name}`,
    will: ['The next page shows the new secret, this once.'],
    will_not: ['The secrets it has go on working.'],
    confirm_label: 'Add the secret',
    danger: false,
    field: {
      name: 'name',
      label: 'Name',
      hint: 'Where it is used, e.g. “web server 2”.',
      kind: 'text',
      value: typed,
    },
  }
}

function rotatePage(app: Client): Confirmation {
  return {
    heading: `Give ${app.name} a new secret?`,
    will: ['The next page shows the new secret, this once.', 'The secrets it has end when you say.'],
    will_not: ['Tokens that were given already live on until they expire.'],
    confirm_label: 'Make a new secret',
    danger: false,
    field: {
      name: 'overlap',
      label: 'The old secrets end',
      kind: 'select',
      options: OVERLAPS,
      value: '86400',
    },
  }
}
