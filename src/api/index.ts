// The Admin API: the rows of its operations and of its document.
import type { Secrets } from '../base/secrets.ts'
import type { MakeLogo } from '../core/logos/upload.ts'
import type { Pool } from '../db/pool.ts'
import type { Render } from '../http/render.ts'
import { get, type Row } from '../http/routes.ts'
import type { ApiGuard } from '../protocol/guards.ts'
import { apiDocs } from './docs.ts'
import { apiRows } from './handle.ts'
import { apiDocument } from './openapi.ts'
import { apiOperations } from './table.ts'

/** The rows of the Admin API, each behind the scope it needs, and its document, which is public. */
export function adminApi(parts: {
  db: Pool
  secrets: Secrets
  render: Render
  issuer: string
  /** The name of the server. */
  brand: string
  makeLogo: MakeLogo
  /** Whether the server can send mails. */
  mailIsOn: boolean
  apiToken: ApiGuard
}): Row[] {
  const operations = apiOperations(parts)
  const docs = apiDocs({ ...parts, document: apiDocument(operations, parts) })
  return [
    get('/api/docs', docs.page),
    get('/api/v1/openapi.json', docs.document),
    ...apiRows(operations, parts),
  ]
}
