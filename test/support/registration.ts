// The tables of what may be registered, which every registration surface has to follow. They know no surface.
import type { ClientInput } from '../../src/core/clients/fields.ts'

/** A redirect URI, the kind of app, and the problem; undefined where there is none. */
export type RedirectCase = [uri: string, type: 'web' | 'spa' | 'native', problem: RegExp | undefined]

/** RFC 6749 §3.1.2, RFC 8252 §7 and RFC 9700 §2.1, case by case. */
export const REDIRECT_CASES: RedirectCase[] = [
  ['https://app.example/callback', 'web', undefined],
  ['https://app.example/callback?tenant=1', 'web', undefined],
  ['https://app.example:8443/callback', 'spa', undefined],
  ['https://app.example/callback', 'native', undefined],
  ['http://localhost:5173/callback', 'spa', undefined],
  ['http://127.0.0.1:8080/callback', 'web', undefined],
  ['http://127.0.0.1/callback', 'native', undefined],
  ['http://[::1]:8080/callback', 'native', undefined],
  ['com.example.app:/callback', 'native', undefined],
  ['http://app.example/callback', 'web', /not https/],
  ['http://app.example/callback', 'native', /not https/],
  ['http://10.0.0.1/callback', 'native', /not https/],
  ['http://127.0.0.1.evil.example/callback', 'native', /not https/],
  ['http://localhost.evil.example/callback', 'spa', /not https/],
  ['https://app.example/callback#x', 'web', /fragment/],
  ['https://app.example/callback#', 'web', /fragment/],
  ['https://*.app.example/callback', 'web', /wildcard/],
  ['https://app.example/*', 'spa', /wildcard/],
  ['https://me:pw@app.example/callback', 'web', /user information/],
  ['https://app.example@evil.example/callback', 'web', /user information/],
  ['https:\\\\app.example\\callback', 'web', /white space|backslash/],
  ['https://app.example/call\tback', 'web', /white space/],
  ['https://app.example/call\nback', 'web', /white space/],
  ['https://app.example/call\0back', 'web', /control/],
  ['https://app.example/\ud800', 'web', /white space|control/],
  [' https://app.example/callback', 'web', /white space/],
  ['javascript:alert(1)', 'web', /neither https/],
  ['javascript:alert(1)', 'native', /private-use scheme/],
  ['data:text/html,<script>alert(1)</script>', 'native', /private-use scheme/],
  ['file:///etc/passwd', 'native', /private-use scheme/],
  ['myapp://callback', 'native', /private-use scheme/],
  ['myapp:/callback', 'web', /neither https/],
  ['com.example.app:/callback', 'web', /neither https/],
  ['/callback', 'web', /not an absolute URI/],
  ['app.example/callback', 'web', /not an absolute URI/],
  ['', 'web', /not an absolute URI/],
  [`https://app.example/${'a'.repeat(1000)}`, 'web', /1000 characters/],
]

/** A registration, under the names of the fields. Each surface translates it into its own. */
export type Asked = ClientInput & { redirect_uris: string[] }

/** A registration, its wrong field, and the message of the refusal; without a field it is right. */
export interface RegistrationCase {
  what: string
  asked: Asked
  wrong?: keyof Asked
  problem?: RegExp
}

/** A change, its wrong field, and the message of the refusal; without a field it is right. */
export interface ChangeCase {
  what: string
  change: Partial<Asked>
  wrong?: keyof Asked
  problem?: RegExp
}

/** A scope for services only. */
export const FOR_SERVICES = { name: 'vault.open', sentence: 'Open the vault', kinds: ['service' as const] }

/** A registration that every surface accepts. */
export const WEB: Asked = {
  name: 'Photo Printer',
  type: 'web',
  redirect_uris: ['https://app.example/callback'],
  scopes: ['openid'],
}

const right = (what: string, differs: Partial<Asked>): RegistrationCase => ({
  what,
  asked: { ...WEB, ...differs },
})
const wrong = (
  what: string,
  differs: Partial<Asked>,
  field: keyof Asked,
  problem: RegExp,
): RegistrationCase => ({ what, asked: { ...WEB, ...differs }, wrong: field, problem })

const MANY = Array.from({ length: 21 }, (_, i) => `https://app.example/${i}`)

/** What may be registered at any surface (RFC 7591 §2, RFC 8252 §7 and §8, RFC 9700 §2.1). */
export const REGISTRATION_CASES: RegistrationCase[] = [
  ...REDIRECT_CASES.map(([uri, type, problem]) => {
    const what = `${JSON.stringify(uri.slice(0, 60))} of a ${type} app`
    const differs = { type, redirect_uris: [uri] }
    return problem ? wrong(what, differs, 'redirect_uris', problem) : right(what, differs)
  }),
  wrong('no redirect URI', { redirect_uris: [] }, 'redirect_uris', /is empty, e\.g\. https/),
  wrong('21 redirect URIs', { redirect_uris: MANY }, 'redirect_uris', /more than 20/),
  right('a service', { type: 'service', scopes: ['photos.read'], redirect_uris: [] }),
  right('a device', { type: 'device', redirect_uris: [] }),
  wrong('a device with a redirect URI', { type: 'device' }, 'redirect_uris', /must be empty/),
  wrong(
    'a service with a redirect URI',
    { type: 'service', scopes: ['photos.read'] },
    'redirect_uris',
    /must be empty/,
  ),
  wrong(
    'a script after signing out',
    { post_logout_redirect_uris: ['javascript:alert(1)'] },
    'post_logout_redirect_uris',
    /neither https/,
  ),
  wrong('a name of white space', { name: '   ' }, 'name', /is missing/),
  wrong('a name of 81 characters', { name: 'a'.repeat(81) }, 'name', /more than 80 characters/),
  wrong('a name that turns text around', { name: 'App \u202egpj' }, 'name', /cannot be seen/),
  right('a name with markup, which is text', { name: '<script>alert(1)</script>' }),
  wrong('a script for a page', { homepage_uri: 'javascript:alert(1)' }, 'homepage_uri', /not an https/),
  wrong('plain http for one', { homepage_uri: 'http://app.example/' }, 'homepage_uri', /not an https/),
  wrong('a password in one', { homepage_uri: 'https://:pw@app.example/' }, 'homepage_uri', /not an https/),
  wrong('data for a privacy policy', { policy_uri: 'data:text/html,hello' }, 'policy_uri', /not an https/),
  wrong('no address for terms', { tos_uri: 'see our page' }, 'tos_uri', /not an https/),
  wrong('a scope of no API', { scopes: ['openid', 'photos.burn'] }, 'scopes', /photos\.burn/),
  wrong('a scope for other kinds', { scopes: ['openid', FOR_SERVICES.name] }, 'scopes', /vault\.open/),
  right('a service with that scope', { type: 'service', scopes: [FOR_SERVICES.name], redirect_uris: [] }),
]

/** Changes of {@link WEB} that any surface accepts or refuses. */
export const CHANGE_CASES: ChangeCase[] = [
  {
    what: 'another name and redirect URI',
    change: { name: 'Almanac', redirect_uris: ['https://a.example/b'] },
  },
  { what: 'a scope more', change: { scopes: ['openid', 'photos.read'] } },
  {
    what: 'a redirect URI with a fragment',
    change: { redirect_uris: ['https://app.example/callback#x'] },
    wrong: 'redirect_uris',
    problem: /fragment/,
  },
  {
    what: 'a redirect URI with a wildcard beside a right one',
    change: { redirect_uris: ['https://app.example/callback', 'https://*.app.example/callback'] },
    wrong: 'redirect_uris',
    problem: /wildcard/,
  },
  {
    what: 'a script for a redirect URI',
    change: { redirect_uris: ['javascript:alert(1)'] },
    wrong: 'redirect_uris',
    problem: /neither https/,
  },
  {
    what: 'a scheme of a native app',
    change: { redirect_uris: ['com.example.app:/callback'] },
    wrong: 'redirect_uris',
    problem: /neither https/,
  },
  { what: 'no redirect URI', change: { redirect_uris: [] }, wrong: 'redirect_uris', problem: /is empty/ },
  {
    what: 'a script after signing out',
    change: { post_logout_redirect_uris: ['javascript:alert(1)'] },
    wrong: 'post_logout_redirect_uris',
    problem: /neither https/,
  },
  { what: 'a name of white space', change: { name: ' ' }, wrong: 'name', problem: /is missing/ },
  { what: 'a name of 81 characters', change: { name: 'a'.repeat(81) }, wrong: 'name', problem: /80/ },
  { what: 'a name that hides', change: { name: 'App \u202egpj' }, wrong: 'name', problem: /cannot be seen/ },
  {
    what: 'a script for its page',
    change: { homepage_uri: 'javascript:alert(1)' },
    wrong: 'homepage_uri',
    problem: /not an https/,
  },
  {
    what: 'data for a privacy policy',
    change: { policy_uri: 'data:text/html,hello' },
    wrong: 'policy_uri',
    problem: /not an https/,
  },
  {
    what: 'plain http for terms',
    change: { tos_uri: 'http://app.example/terms' },
    wrong: 'tos_uri',
    problem: /not an https/,
  },
  {
    what: 'a scope of no API',
    change: { scopes: ['openid', 'photos.burn'] },
    wrong: 'scopes',
    problem: /photos\.burn/,
  },
  {
    what: 'a scope for other kinds',
    change: { scopes: ['openid', FOR_SERVICES.name] },
    wrong: 'scopes',
    problem: /vault\.open/,
  },
]

/** Members that developers and dynamic clients may not set, each with a value to try. */
export const NOT_THEIRS = {
  first_party: true,
  verified_at: '2026-01-01T00:00:00Z',
  state: 'rejected',
  registered_by: 'admin',
  pkce_required: false,
} as const

/** Those of {@link NOT_THEIRS} that administrators cannot set in a form or a file either. */
export const NOBODYS = ['verified_at', 'state', 'registered_by'] as const
