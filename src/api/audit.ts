// The audit log over the Admin API: page by page, or as a file of any size.
import { Readable } from 'node:stream'
import { z } from 'zod'
import { EVENT_TYPES } from '../base/audit-events.ts'
import { EVENT_ID } from '../base/ids.ts'
import { pageOf } from '../base/page.ts'
import { EXPORT_FORMATS, type ExportChunk, type ExportFormat, exportAudit } from '../core/audit/export.ts'
import { type AuditRow, listEvents } from '../core/audit/store.ts'
import { type Operation, operation } from './framework/operation.ts'
import { clientId, given, listOf, listQuery, moment, named, uuid } from './framework/schemas.ts'

const ACTORS = ['user', 'client', 'cli', 'system'] as const
const eventId = z.string().regex(EVENT_ID)
const event = named(
  'AuditEvent',
  z.strictObject({
    id: eventId,
    at: moment,
    type: z.string(),
    actor_type: z.enum(ACTORS),
    actor_id: z.string().nullable(),
    user_id: uuid.nullable(),
    client_id: z.string().nullable(),
    ip: z.string().nullable(),
    user_agent: z.string().nullable(),
    request_id: z.string().nullable(),
    data: z.record(z.string(), z.unknown()),
  }),
)
const filter = {
  type: z.enum(EVENT_TYPES as [AuditRow['type'], ...AuditRow['type'][]]).optional(),
  actor_type: z.enum(ACTORS).optional(),
  actor_id: z.string().min(1).max(200).optional(),
  user_id: uuid.optional(),
  client_id: clientId.optional(),
  since: given.optional(),
  until: given.optional().meta({ description: 'Before then.' }),
}
const MEDIA: Record<ExportFormat, string> = { csv: 'text/csv', jsonl: 'application/jsonl' }

/** Operations on the audit log. */
export const auditOperations: readonly Operation[] = [
  operation({
    id: 'listAuditEvents',
    method: 'GET',
    path: '/audit-events',
    tag: 'Audit log',
    scope: 'audit:read',
    summary: 'List what happened, newest first',
    query: listQuery(filter, eventId.optional()),
    success: { status: 200, description: 'A page of events.', schema: listOf('AuditEventList', event) },
    async run({ db, query: { limit, after: before, ...wanted } }) {
      const found = await listEvents(db, { ...wanted, before, limit: limit + 1 })
      const { rows, next } = pageOf(found, limit, ({ id }) => id)
      return { body: rows, next }
    },
  }),
  operation({
    id: 'exportAuditEvents',
    method: 'GET',
    path: '/audit-events/export',
    tag: 'Audit log',
    scope: 'audit:read',
    summary: 'Export what happened, in the order of transactions, however much it is',
    query: z.strictObject({
      ...filter,
      format: z.enum(EXPORT_FORMATS).default('jsonl'),
      after: eventId.optional().meta({
        description:
          'Only what stands behind this event: the last one of the export before. Whoever goes on like that misses nothing.',
      }),
    }),
    success: {
      status: 200,
      description: 'CSV with a header line (RFC 4180), or a JSON object a line.',
      files: Object.values(MEDIA),
    },
    async run({ db, query: { format, after, ...wanted } }) {
      const chunks = await exportAudit(db, { filter: wanted, format, after })
      const lines = Readable.from(texts(chunks))
      return { file: { type: `${MEDIA[format]}; charset=utf-8`, name: `audit.${format}`, lines } }
    },
  }),
]

async function* texts(chunks: AsyncIterable<ExportChunk>): AsyncGenerator<string> {
  for await (const { text } of chunks) yield text
}
