// The table of operations: from it come the routes, the document and the page that shows it.
import { auditOperations } from '../audit/api.ts'
import { clientOperations } from '../clients/api.ts'
import { changeOperations } from '../clients/api-changes.ts'
import { insightOperations } from '../clients/api-insight.ts'
import { logoOperations } from '../clients/api-logo.ts'
import type { MakeLogo } from '../clients/logo-form.ts'
import { grantOperations } from '../grants/api.ts'
import { keyOperations } from '../keys/api.ts'
import { overviewOperations } from '../overview/api.ts'
import { resourceOperations } from '../resources/api.ts'
import type { Secrets } from '../secrets.ts'
import { userOperations } from '../users/api.ts'
import type { Operation } from './operation.ts'

/** What operations stand on. */
export interface OperationParts {
  issuer: string
  secrets: Secrets
  mailIsOn: boolean
  makeLogo: MakeLogo
}

/** Every operation of the Admin API. */
export function apiOperations({ issuer, secrets, mailIsOn, makeLogo }: OperationParts): Operation[] {
  return [
    ...overviewOperations(),
    ...clientOperations(),
    ...changeOperations(),
    ...logoOperations({ issuer, makeLogo }),
    ...insightOperations(),
    ...userOperations({ issuer, mailIsOn }),
    ...grantOperations(),
    ...resourceOperations({ issuer }),
    ...keyOperations({ secrets }),
    ...auditOperations(),
  ]
}
