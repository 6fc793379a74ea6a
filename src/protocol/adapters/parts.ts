// What the adapters of all models share: what they stand on, and what none of them offers.
import type { AdapterPayload, Adapter as ProviderAdapter } from 'oidc-provider'
import type { Secrets } from '../../base/secrets.ts'
import type { ClientDirectory } from '../../core/clients/cache.ts'
import type { Rotations } from '../../core/users/sessions.ts'
import type { Answers } from '../../db/answers.ts'
import type { Db } from '../../db/pool.ts'
import type { UnverifiedClientLimits } from '../rules/unverified-clients.ts'
import type { CountUserCode } from '../rules/user-code-limit.ts'
import type { GiveBacks } from '../storage/state.ts'
import type { TokenStore } from '../storage/tokens.ts'

/** What the adapters stand on. */
export interface AdapterParts {
  db: Db
  tokens: TokenStore
  clients: ClientDirectory
  issuer: string
  secrets: Secrets
  countUserCode: CountUserCode
  unverifiedLimits: UnverifiedClientLimits
  uses: GiveBacks
  answers: Answers
  rotations: Rotations
}

/** A model's storage. Every model that we store expires; the provider's own type leaves that open. */
export type Adapter = Omit<ProviderAdapter, 'upsert'> & {
  upsert(id: string, payload: AdapterPayload, expiresIn: number): Promise<void>
}

/** The calls that a model does not need; each of them refuses. */
export function unused(model: string): Adapter {
  const refuse = (): never => {
    throw new Error(`${model} is not stored this way`)
  }
  return {
    upsert: refuse,
    find: refuse,
    findByUserCode: refuse,
    findByUid: refuse,
    consume: refuse,
    destroy: refuse,
    revokeByGrantId: refuse,
  }
}

/** Encrypts what must come back as it was, while whoever reads the database must not have it. */
export function seal(secrets: Secrets, text: string): string {
  return secrets.encrypt(text).toString('base64url')
}

/** Undoes {@link seal}; undefined for what a key sealed that is gone: it was short-lived, and is asked for anew. */
export function unseal(secrets: Secrets, sealed: unknown): string | undefined {
  try {
    return secrets.decrypt(Buffer.from(sealed as string, 'base64url'))
  } catch {
    return undefined
  }
}
