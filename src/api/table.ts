// The table of operations: from it come the routes, the document and the page that shows it.
import { API_PATH } from '../base/admin-api-scopes.ts'
import { UUID } from '../base/ids.ts'
import type { Secrets } from '../base/secrets.ts'
import type { MakeLogo } from '../core/logos/upload.ts'
import type { Renamed } from '../http/renamed.ts'
import { auditOperations } from './audit.ts'
import { blockedClientOperations } from './clients/blocked.ts'
import { changeOperations } from './clients/changes.ts'
import { decisionOperations } from './clients/decisions.ts'
import { logoOperations } from './clients/logo.ts'
import { clientOperations } from './clients/registration.ts'
import { secretOperations } from './clients/secrets.ts'
import { unusedClientOperations } from './clients/unused.ts'
import { usageOperations } from './clients/usage.ts'
import { consentOperations } from './consents.ts'
import type { Operation } from './framework/operation.ts'
import { grantOperations } from './grants.ts'
import { jobOperations } from './jobs.ts'
import { keyOperations } from './keys.ts'
import { overviewOperations } from './overview.ts'
import { registrationTokenOperations } from './registration-tokens.ts'
import { resourceOperations } from './resources/resources.ts'
import { accountOperations, userConsentOperations } from './users/accounts.ts'
import { passwordResetOperations, sessionOperations } from './users/sign-ins.ts'

/** The addresses of operations in an earlier version, in which `/grants` were the consents; now a grant is an app on one device. */
export const FORMER_API_ADDRESSES: readonly Renamed[] = [
  {
    from: former('/grants'),
    to: `${API_PATH}/consents`,
    methods: ['DELETE'],
    query: /^(user_id|client_id)=[^&]*(&(user_id|client_id)=[^&]*)?$/,
  },
  { from: former(`/grants/(${UUID})`), to: `${API_PATH}/consents/$1` },
  { from: former('/(clients|users)/([^/]+)/access'), to: `${API_PATH}/$1/$2/consents` },
  { from: former('/barred-clients((?:/[^/]+)?)'), to: `${API_PATH}/blocked-clients$1` },
]

function former(path: string): RegExp {
  return new RegExp(`^${API_PATH}${path}$`)
}

/** What operations need. */
export interface OperationParts {
  issuer: string
  secrets: Secrets
  mailIsOn: boolean
  makeLogo: MakeLogo
}

/** Every operation of the Admin API. */
export function apiOperations({ issuer, secrets, mailIsOn, makeLogo }: OperationParts): Operation[] {
  return [
    ...overviewOperations,
    ...clientOperations,
    ...decisionOperations,
    ...secretOperations,
    ...registrationTokenOperations,
    ...changeOperations,
    ...logoOperations({ issuer, makeLogo }),
    ...usageOperations,
    ...unusedClientOperations,
    ...blockedClientOperations,
    ...accountOperations,
    ...sessionOperations,
    ...passwordResetOperations({ issuer, mailIsOn }),
    ...userConsentOperations,
    ...consentOperations,
    ...jobOperations,
    ...grantOperations,
    ...resourceOperations({ issuer }),
    ...keyOperations({ secrets }),
    ...auditOperations,
  ]
}
