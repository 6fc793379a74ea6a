// Proofs that were seen (RFC 9449 §11.1): each is good for one use.
import { type AdapterPayload, errors } from 'oidc-provider'
import { findState, saveNewState } from '../state.ts'
import { storable } from '../storage.ts'
import { type Adapter, type AdapterParts, unused } from './parts.ts'

/** The adapter of seen proofs. */
export function replayAdapter({ db }: AdapterParts): Adapter {
  return {
    ...unused('ReplayDetection'),
    async find(id) {
      const row = await findState(db, 'replay_detection', id)
      return row && ({ ...row.payload, kind: 'ReplayDetection', jti: id } as AdapterPayload)
    },
    async upsert(id, { jti: _jti, kind: _kind, ...payload }, expiresIn) {
      const fresh = await saveNewState(db, 'replay_detection', id, storable(payload), expiresIn)
      if (!fresh) throw new errors.InvalidRequest('this proof was used already')
    },
  }
}
