// The URL table of a server in which everything is switched on, to be read without one.
import { loadConfig } from '../../src/base/config.ts'
import { type SurfaceParts, surfaces } from '../../src/surfaces.ts'
import { SECRET_KEYS } from './server.ts'

// Stands for whatever a handler is made of: nothing is called before a request comes.
const anything: unknown = new Proxy(() => anything, { get: () => anything })
const issuer = 'https://id.example.com'
const config = loadConfig({
  ISSUER_URL: issuer,
  SECRET_KEYS,
  DEVELOPER_REGISTRATION: 'approval',
  DYNAMIC_REGISTRATION: 'token',
  CLIENT_ID_METADATA_DOCUMENTS: 'on',
})
const known: Partial<SurfaceParts> = { config, issuer }
const parts = new Proxy({} as SurfaceParts, {
  get: (_, name) => known[name as keyof SurfaceParts] ?? anything,
  // Who copies it gets what is known; the rest is anything all the same.
  ownKeys: () => PARTS,
  getOwnPropertyDescriptor: () => ({ enumerable: true, configurable: true }),
})
const PARTS = [
  'config',
  'secrets',
  'db',
  'log',
  'render',
  'issuer',
  'health',
  'clients',
  'resources',
  'tokens',
  'use',
  'refusals',
  'limits',
  'provider',
]

/** Method and path of each row, in their order. */
export const ROWS: { method: string; path: string }[] = surfaces(parts).map(({ method, path }) => ({
  method,
  path,
}))
