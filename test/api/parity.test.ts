// Whatever the console can do, the Admin API can do: each row of the URL table below /admin beside its operation.
import { expect, test } from '@jest/globals'
import { expectNone } from '../support/missing.ts'
import { ROWS } from '../support/rows.ts'
import { operationsAt } from './api-fixture.ts'

// Page or form → operations that show or do the same.
const COUNTERPARTS: Record<string, string[]> = {
  'GET /admin': ['getOverview', 'listClients', 'listChanges', 'listJobs'],
  'GET /admin/clients': ['listClients'],
  'POST /admin/clients/new': ['createClient'],
  'GET /admin/clients/blocked': ['listBlockedClients'],
  'GET /admin/clients/clean-up': ['getUnusedClients'],
  'POST /admin/clients/clean-up': ['deleteUnusedClients'],
  'GET /admin/clients/:client_id': ['getClient', 'listSecrets', 'getChange', 'getClientUsage'],
  'POST /admin/clients/:client_id/edit': ['changeClient'],
  'GET /admin/clients/:client_id/errors': ['listRefusedRequests'],
  'GET /admin/clients/:client_id/usage': ['getClientUsage'],
  'POST /admin/clients/:client_id/logo': ['setClientLogo', 'removeClientLogo'],
  'POST /admin/clients/:client_id/approve': ['approveClient'],
  'POST /admin/clients/:client_id/reject': ['rejectClient'],
  'GET /admin/clients/:client_id/change/approve': ['getChange'],
  'POST /admin/clients/:client_id/change/approve': ['approveChange'],
  'GET /admin/clients/:client_id/change/reject': ['getChange'],
  'POST /admin/clients/:client_id/change/reject': ['rejectChange'],
  'POST /admin/clients/:client_id/verify': ['verifyClient'],
  'POST /admin/clients/:client_id/unverify': ['unverifyClient'],
  'POST /admin/clients/:client_id/suspend': ['suspendClient'],
  'POST /admin/clients/:client_id/resume': ['resumeClient'],
  'POST /admin/clients/:client_id/end-access': ['revokeClientConsents'],
  'POST /admin/clients/:client_id/delete': ['deleteClient'],
  'POST /admin/clients/:blocked_id/unblock': ['unblockClient'],
  'POST /admin/clients/:client_id/secrets/new': ['addSecret'],
  'POST /admin/clients/:client_id/secrets/rotate': ['rotateSecret'],
  'POST /admin/clients/:client_id/secrets/:secret_id/revoke': ['revokeSecret'],
  'GET /admin/registration-tokens': ['listRegistrationTokens', 'getRegistrationToken'],
  'POST /admin/registration-tokens/new': ['createRegistrationToken'],
  'POST /admin/registration-tokens/:token_id/revoke': ['revokeRegistrationToken'],
  'GET /admin/users': ['listUsers'],
  'GET /admin/users/:user_id': ['getUser', 'listSessions', 'listConsents', 'listGrants'],
  'POST /admin/users/:user_id/make-admin': ['setRole'],
  'POST /admin/users/:user_id/make-user': ['setRole'],
  'POST /admin/users/:user_id/disable': ['disableUser'],
  'POST /admin/users/:user_id/enable': ['enableUser'],
  'POST /admin/users/:user_id/end-sessions': ['endSessions'],
  'POST /admin/users/:user_id/send-reset': ['sendPasswordReset'],
  'POST /admin/users/:user_id/withdraw-reset': ['withdrawPasswordReset'],
  'POST /admin/users/:user_id/end-access': ['revokeUserConsents'],
  'GET /admin/consents': ['listConsents', 'getConsent', 'getGrant'],
  'POST /admin/consents/end': ['revokeConsents'],
  // All devices there; one of them here, too.
  'POST /admin/consents/:consent_id/end': ['revokeConsent', 'revokeGrant'],
  'GET /admin/jobs': ['listJobs'],
  'GET /admin/jobs/:job_id': ['getJob'],
  'GET /admin/apis': ['listResources'],
  'POST /admin/apis/new': ['createResource'],
  'GET /admin/apis/:api': ['getResource', 'listResourceSecrets'],
  'POST /admin/apis/:api/rename': ['changeResource'],
  'POST /admin/apis/:api/tokens': ['changeResource'],
  'POST /admin/apis/:api/secret': ['rotateResourceSecret'],
  'POST /admin/apis/:api/secrets/new': ['addResourceSecret'],
  'POST /admin/apis/:api/secrets/:api_secret_id/revoke': ['revokeResourceSecret'],
  'POST /admin/apis/:api/scopes/new': ['addScope'],
  'POST /admin/apis/:api/scopes/:scope': ['changeScope'],
  'POST /admin/apis/:api/scopes/:scope/remove': ['removeScope'],
  'GET /admin/keys': ['listKeys'],
  'POST /admin/keys/rotate': ['rotateKeys'],
  'GET /admin/audit': ['listAuditEvents'],
  'POST /admin/audit/export': ['exportAuditEvents'],
}

// Rows that need none, and why.
const EXCEPTIONS: Record<string, string> = {}

const rows = ROWS.filter(({ path }) => /^\/admin(\/|$)/.test(path)).map(
  ({ method, path }) => `${method} ${path}`,
)
// The page of a form shows nothing of its own, unless it is named above.
const meant = rows.filter(
  (row) => row in COUNTERPARTS || row.startsWith('POST ') || !rows.includes(row.replace('GET ', 'POST ')),
)

test('every row of the console has its operation', () => {
  expect(meant.length).toBeGreaterThan(50)
  expectNone(
    meant.filter((row) => !(row in COUNTERPARTS || row in EXCEPTIONS)),
    'Name the operation that does the same, in COUNTERPARTS of this file; make one in src/api/ if there is none.',
  )
})

test('the table names only rows and operations that there are', () => {
  const operations = new Map(operationsAt().map((each) => [each.id, each]))

  expect(Object.keys({ ...COUNTERPARTS, ...EXCEPTIONS }).filter((row) => !rows.includes(row))).toEqual([])
  for (const [row, ids] of Object.entries(COUNTERPARTS)) {
    expect([row, ids.filter((id) => !operations.has(id))]).toEqual([row, []])
    // What changes something is not answered by what only reads, but for an export.
    if (row.startsWith('POST ') && row !== 'POST /admin/audit/export') {
      expect([row, ids.filter((id) => operations.get(id)!.method === 'GET')]).toEqual([row, []])
    }
  }
})

test('every operation stands beside something of the console', () => {
  const named = new Set(Object.values(COUNTERPARTS).flat())

  expectNone(
    operationsAt()
      .map(({ id }) => id)
      .filter((id) => !named.has(id)),
    'Name the operation in COUNTERPARTS of this file, beside the page that shows or does the same.',
  )
})
