// Dynamically registered apps that nobody uses, over the Admin API: seeing them, and deleting them by a job.
import { z } from 'zod'
import { cleanUpApps, findUnused, MOST_UNUSED } from '../../core/registration/cleanup.ts'
import { type Operation, operation } from '../framework/operation.ts'
import { begun, clientId, job, moment, named } from '../framework/schemas.ts'

const MOST_SHOWN = 100

const unused = named(
  'UnusedClients',
  z.strictObject({
    count: z.int().meta({ description: `At most ${MOST_UNUSED} are counted.` }),
    clients: z
      .array(
        z.strictObject({
          id: clientId,
          name: z.string(),
          redirect_uris: z.array(z.string()),
          unused_since: moment,
        }),
      )
      .meta({ description: `${MOST_SHOWN} of them at most.` }),
  }),
)
const unusedFor = z.strictObject({
  days: z
    .string()
    .regex(/^[1-9]\d{0,3}$/, 'must be a whole number from 1 to 3650, e.g. 30')
    .transform(Number)
    .refine((days) => days <= 3650, 'must be a whole number from 1 to 3650, e.g. 30')
    .meta({ description: 'Nobody used it for so many days, from 1 to 3650.', examples: ['30'] }),
})

/** Operations on apps that nobody uses. */
export const unusedClientOperations: readonly Operation[] = [
  operation({
    id: 'getUnusedClients',
    method: 'GET',
    path: '/unused-clients',
    tag: 'Apps',
    scope: 'clients:read',
    summary: 'See which apps a clean-up would delete',
    description: 'Those that registered themselves, are not verified, and that nobody uses.',
    query: unusedFor,
    success: { status: 200, description: 'How many, and some of them.', schema: unused },
    async run({ db, query: { days } }) {
      const found = await findUnused(db, days)
      const clients = found.slice(0, MOST_SHOWN).map(({ id, name, redirect_uris, unused_since }) => {
        return { id, name, redirect_uris, unused_since }
      })
      return { body: { count: found.length, clients } }
    },
  }),
  operation({
    id: 'deleteUnusedClients',
    method: 'DELETE',
    path: '/unused-clients',
    tag: 'Apps',
    scope: 'clients:write',
    summary: 'Delete the apps that registered themselves and that nobody uses',
    description:
      'In the background. Each is looked at once more when its turn comes. Its job is read with `grants:read`.',
    query: unusedFor,
    success: { status: 202, description: 'It has begun.', schema: job, location: true },
    run: async ({ db, query: { days }, by }) => begun(await cleanUpApps(db, days, by)),
  }),
]
