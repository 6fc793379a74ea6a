// The table of operations: from it come the routes, the document and the page that shows it.

import type { Secrets } from '../base/secrets.ts'
import type { MakeLogo } from '../core/logos/upload.ts'
import { auditOperations } from './audit.ts'
import { changeOperations } from './client-changes.ts'
import { insightOperations } from './client-insight.ts'
import { logoOperations } from './client-logo.ts'
import { clientOperations } from './clients.ts'
import { grantOperations } from './consents.ts'
import { keyOperations } from './keys.ts'
import type { Operation } from './operation.ts'
import { overviewOperations } from './overview.ts'
import { resourceOperations } from './resources.ts'
import { userOperations } from './users.ts'

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
