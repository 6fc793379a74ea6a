// What administrators decide about one app, a step each.
import { isDocumentId } from '../../../core/clients/document-url.ts'
import { deleteClient, resumeClient, suspendClient } from '../../../core/clients/lifecycle.ts'
import { InvalidMetadata } from '../../../core/clients/metadata.ts'
import { approveClient, rejectClient, unverifyClient, verifyClient } from '../../../core/clients/review.ts'
import { endAllAccess } from '../../../core/grants/revoke.ts'
import type { Pool } from '../../../db/pool.ts'
import { outcome } from '../../shared/confirm-page.ts'
import { type Step, type StepParts, stepForm } from './steps.ts'

const TELLS_OWNERS = { will: ['Its owners are told by mail.'], will_not: [] }
const MAIL_IS_OFF = { will: [], will_not: ['Mail is off: its owners are not told. Tell them yourself.'] }

/** Forms of the decisions below /admin/clients/:client_id. */
export function clientAdminSteps(parts: StepParts & { mailIsOn: boolean }) {
  const { db, mailIsOn } = parts
  const { approve, reject, verify, unverify } = reviewSteps(db, mailIsOn ? TELLS_OWNERS : MAIL_IS_OFF)
  const { suspend, resume, endAccess, remove } = lifeSteps(db)
  const form = (step: Step) => stepForm(parts, step)
  return {
    approve: form(approve),
    reject: form(reject),
    verify: form(verify),
    unverify: form(unverify),
    suspend: form(suspend),
    resume: form(resume),
    endAccess: form(endAccess),
    remove: form(remove),
  }
}

// Whether people may use the app, and what the consent page says of it.
function reviewSteps(db: Pool, tells: { will: string[]; will_not: string[] }) {
  return {
    approve: {
      heading: ({ name }) => `Approve ${name}?`,
      will: ({ name }) => [`Everybody can use ${name}, from the moment you press the button.`, ...tells.will],
      will_not: () => ['It is not marked as verified: that is a decision of its own.', ...tells.will_not],
      label: 'Approve',
      vouches: true,
      run: async (app, _, by, version) =>
        outcome(
          await approveClient(db, app.id, by, version),
          `${app.name} is approved. Everybody can use it.`,
        ),
    },

    reject: {
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
        outcome(await rejectClient(db, app.id, reason, by), `${app.name} is rejected.`),
    },

    verify: {
      heading: ({ name }) => `Mark ${name} as verified?`,
      will: () => [
        'The consent page says “Verified”: that you know who is behind it.',
        'It is about its owners of today, and falls when the last of them leaves.',
      ],
      label: 'Mark as verified',
      vouches: true,
      run: async (app, _, by, version) =>
        outcome(await verifyClient(db, app.id, by, version), `${app.name} is verified.`),
    },

    unverify: {
      heading: ({ name }) => `Take “Verified” from ${name}?`,
      will: () => ['The consent page says “Not verified”, with a warning.'],
      will_not: () => ['People who allowed it are not asked again.'],
      label: 'Take it away',
      run: async (app, _, by) =>
        outcome(await unverifyClient(db, app.id, by), `${app.name} is no longer verified.`),
    },
  } satisfies Record<string, Step>
}

// Whether the app works at all.
function lifeSteps(db: Pool) {
  return {
    suspend: {
      heading: ({ name }) => `Suspend ${name}?`,
      will: ({ name }) => [
        `Every token of ${name} is dead at once, and nobody can sign in to it.`,
        'You can resume it at any time.',
      ],
      will_not: () => ['What people decided about it stays remembered.'],
      label: 'Suspend',
      danger: true,
      run: async (app, _, by) =>
        outcome(await suspendClient(db, app.id, by), `${app.name} is suspended. Its tokens are dead.`),
    },

    resume: {
      heading: ({ name }) => `Let ${name} work again?`,
      will: () => ['People can sign in to it again.', 'Tokens that have not expired meanwhile live again.'],
      label: 'Resume',
      run: async (app, _, by) => outcome(await resumeClient(db, app.id, by), `${app.name} works again.`),
    },

    endAccess: {
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
    },

    remove: {
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
        return { ...outcome(changed, `${app.name} is deleted. Its tokens are dead.`), to: '/admin/clients' }
      },
    },
  } satisfies Record<string, Step>
}
