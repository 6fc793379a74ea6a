// Schemas that several nouns share: ids, moments, pages, jobs, problems. They check requests and make the document, and tests compare the
// answers with them.
import { z } from 'zod'
import { SHORT_ID, UUID } from '../../base/ids.ts'
import { CURSOR_PATTERN } from '../../db/cursor.ts'
import { JOB_STATES, type Job } from '../../db/jobs.ts'

/** The schemas that have a name in the document. */
export const NAMED = z.registry<{ id: string }>()

/** Gives a schema a name in the document. */
export function named<T extends z.ZodType>(id: string, schema: T): T {
  NAMED.add(schema, { id })
  return schema
}

const CLIENT_ID = `${SHORT_ID}|https:\\/\\/[!-~]{1,492}`
const NOT_A_CURSOR = 'must be as `next` of the page before has it'

/** The id of a row. */
export const uuid = z.guid().meta({ examples: ['0b6cbb9e-9b1c-4a55-8a6d-5a3d5f7c2f10'] })

/** The id of an app: one of ours, or the address of its document. */
export const clientId = z
  .string()
  .regex(new RegExp(`^(${CLIENT_ID})$`))
  .meta({ examples: ['c_q8fHnDfXsVvCgk3y'] })

/** A cursor (db/cursor.ts). */
export const cursor = z.string().regex(new RegExp(`^${CURSOR_PATTERN}$`), NOT_A_CURSOR)

/** As {@link cursor}, of rows whose ids are UUIDs, or the id of an existing row. */
export const uuidCursor = z.string().regex(new RegExp(`^(\\d{1,16}\\.)?${UUID}$`, 'i'), NOT_A_CURSOR)

/** As {@link cursor}, of apps, or the id of an existing app. */
export const clientCursor = z.string().regex(new RegExp(`^(\\d{1,16}\\.)?(${CLIENT_ID})$`), NOT_A_CURSOR)

/** A moment in an answer. */
export const moment = z.iso.datetime().meta({ examples: ['2026-11-22T12:00:00.000Z'] })

/** A moment in a request. */
export const given = z.iso
  .datetime({ offset: true, error: 'must be a moment, e.g. 2026-11-22T12:00:00Z' })
  .transform((text) => new Date(text))

const MOST = 200

/** The query of a list: a filter and a page. @param after the schema of the place behind which the page begins */
export function listQuery<F extends z.core.$ZodLooseShape>(filter: F, after: z.ZodType<string | undefined>) {
  return z.strictObject({
    ...filter,
    limit: z
      .string()
      .regex(/^[1-9]\d{0,2}$/, `must be a number from 1 to ${MOST}`)
      .transform(Number)
      .refine((limit) => limit <= MOST, `must be a number from 1 to ${MOST}`)
      .default(50)
      .meta({ description: `How many at most, from 1 to ${MOST}.`, examples: ['50'] }),
    after: after.meta({ description: 'Where the page begins: `next` of the page before.' }),
  })
}

/** A page of a list, in the document. */
export function listOf(id: string, item: z.ZodType) {
  return named(
    id,
    z.strictObject({
      items: z.array(item),
      next: z.url().nullable().meta({ description: 'The address of the next page; null on the last one.' }),
    }),
  )
}

/** A text to search for. */
export const words = z
  .string()
  .trim()
  .refine((text) => [...text].length >= 3, 'must have at least 3 characters')
  .refine((text) => text.length <= 200, 'must have at most 200 characters')
  .meta({ description: 'Part of it, at least 3 characters.' })

/** A secret that is shown only this once. */
export const shownOnce = z.string().nullable().meta({
  description:
    'Shown this once, and null when there is none or the request was repeated: make another one then.',
})

/** Work in the background. */
export const job = named(
  'Job',
  z.strictObject({
    id: uuid,
    kind: z.string(),
    state: z.enum(JOB_STATES),
    done: z.int(),
    total: z.int().nullable().meta({ description: 'Known once it has begun.' }),
    problem: z.string().nullable(),
    user_id: uuid.nullable(),
    client_id: clientId.nullable(),
    created_at: moment,
    finished_at: moment.nullable(),
  }),
)

/** A job as it is answered. */
export function jobView({ id, kind, state, done, total, problem, params, created_at, finished_at }: Job) {
  const { user_id = null, client_id = null } = params
  return { id, kind, state, done, total, problem, user_id, client_id, created_at, finished_at }
}

/** The answer 202 with the address of the job that was started. */
export function begun(started: Job) {
  return { body: jobView(started), location: `/jobs/${started.id}` }
}

/** An error (RFC 9457). */
export const problem = named(
  'Problem',
  z.object({
    type: z.string(),
    title: z.string(),
    status: z.int(),
    detail: z.string(),
    code: z.string().meta({ description: 'Stable: programs may rely on it.', examples: ['not_found'] }),
    request_id: z.string().meta({ description: 'For whoever looks into the log.' }),
    errors: z
      .record(z.string(), z.string())
      .optional()
      .meta({ description: 'What is wrong with which member.' }),
  }),
)

/** The members of a row that a schema names. */
export function pick(row: object, names: string[]): Record<string, unknown> {
  return Object.fromEntries(
    names.filter((name) => name in row).map((name) => [name, row[name as keyof object]]),
  )
}
