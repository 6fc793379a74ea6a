// Proofs that were seen (RFC 9449 §11.1): each is good for one use.
import { type AdapterPayload, errors } from 'oidc-provider'
import { routeOf } from '../internals/library.ts'
import { storable } from '../storage/errors.ts'
import { findState, saveNewState } from '../storage/state.ts'
import { currentContext } from '../storage/unit-of-work.ts'
import { type Adapter, type AdapterParts, unused } from './parts.ts'

/** The adapter of seen proofs. */
export function replayAdapter({ db, unverifiedLimits }: AdapterParts): Adapter {
  return {
    ...unused('ReplayDetection'),
    async find(id) {
      const row = await findState(db, 'replay_detection', id)
      return row && ({ ...row.payload, kind: 'ReplayDetection', jti: id } as AdapterPayload)
    },
    async upsert(id, { jti: _jti, kind: _kind, ...payload }, expiresIn) {
      const ctx = currentContext()
      // Elsewhere a proof is looked at once the code or token that comes with it has been found good.
      if (ctx && routeOf(ctx) === 'pushed_authorization_request')
        await unverifiedLimits.mayPush(ctx, ctx.oidc.client!.clientId)
      const fresh = await saveNewState(db, 'replay_detection', id, storable(payload), expiresIn)
      if (!fresh) throw new errors.InvalidRequest('this proof was used already')
    },
  }
}
