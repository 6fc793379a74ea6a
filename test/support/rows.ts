// The URL table of a server with every surface on, without starting a server.
import { loadConfig } from '../../src/base/config.ts'
import { type SurfaceParts, surfaces } from '../../src/surfaces.ts'
import { SECRET_KEYS } from './server.ts'

// Stands for all parts of the handlers: nothing calls them before a request arrives.
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
  // A copy has the known members; all others are still stand-ins.
  ownKeys: () => PARTS,
  getOwnPropertyDescriptor: () => ({ enumerable: true, configurable: true }),
})
// The compiler asks for a member that is new.
const PARTS = Object.keys({
  config: true,
  secrets: true,
  db: true,
  log: true,
  render: true,
  issuer: true,
  health: true,
  clients: true,
  resources: true,
  tokens: true,
  use: true,
  rejectedRequests: true,
  limits: true,
  registrations: true,
  provider: true,
} satisfies Record<keyof SurfaceParts, true>)

/** Method and path of each row, in the order of the table. */
export const ROWS: { method: string; path: string }[] = surfaces(parts).map(({ method, path }) => ({
  method,
  path,
}))
