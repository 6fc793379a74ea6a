// The table of operations: from it come the routes, the document and the page that shows it.
import { auditOperations } from '../audit/api.ts'
import { clientOperations } from '../clients/api.ts'
import { grantOperations } from '../grants/api.ts'
import { keyOperations } from '../keys/api.ts'
import { overviewOperations } from '../overview/api.ts'
import { resourceOperations } from '../resources/api.ts'
import type { Secrets } from '../secrets.ts'
import { userOperations } from '../users/api.ts'
import type { Operation } from './operation.ts'

/** Every operation of the Admin API. */
export function apiOperations({ issuer, secrets }: { issuer: string; secrets: Secrets }): Operation[] {
  return [
    ...overviewOperations(),
    ...clientOperations(),
    ...userOperations(),
    ...grantOperations(),
    ...resourceOperations({ issuer }),
    ...keyOperations({ secrets }),
    ...auditOperations(),
  ]
}
