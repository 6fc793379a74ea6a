// What both servers are set up with: names, clients, keys. Values here are the bench's own; nothing is measured here.
import { randomBytes } from 'node:crypto'
import { exportJWK, generateKeyPair, type JWK } from 'jose'
import { hashPassword } from '../src/core/users/password.ts'

/** The API that access tokens are for, and its one scope. */
export const RESOURCE = 'https://photos.example'
export const RESOURCE_SCOPE = 'photos.read'
/** The scopes that belong to no API. */
export const OPENID_SCOPES = ['openid', 'profile', 'email', 'offline_access'] as const
/** Long enough that no token dies while it is measured; Valetkey's default. */
export const ACCESS_TOKEN_SECONDS = 600

/** Everybody's password. */
export const PASSWORD = 'the same for everyone'

/** Credentials of a client. */
export interface Credentials {
  id: string
  secret: string
}

/** The clients of a target: an app that signs people in, a service, an API. */
export interface Clients {
  app: Credentials & { redirectUri: string }
  service: Credentials
  api: Credentials
}

/** What ID tokens are signed with. */
export type SigningAlg = 'ES256' | 'RS256'

/** What the ceiling is told on its stdin. */
export interface CeilingSetUp extends Clients {
  port: number
  alg: SigningAlg
  signingKey: JWK
  cookieKey: string
  passwordHash: string
}

/** Where people come back to; nobody listens there. */
export const REDIRECT_URI = 'http://localhost:4000/callback'

/** A fresh set-up for the ceiling. @param alg what Valetkey signs with. */
export async function ceilingSetUp(port: number, alg: SigningAlg): Promise<CeilingSetUp> {
  const { privateKey } = await generateKeyPair(alg, { extractable: true, modulusLength: 2048 })
  const credentials = (id: string) => ({ id, secret: randomBytes(32).toString('base64url') })
  return {
    port,
    alg,
    app: { ...credentials('bench-app'), redirectUri: REDIRECT_URI },
    service: credentials('bench-service'),
    api: credentials('bench-api'),
    signingKey: { ...(await exportJWK(privateKey)), alg, use: 'sig', kid: 'bench' },
    cookieKey: randomBytes(32).toString('base64url'),
    passwordHash: await hashPassword(PASSWORD),
  }
}
