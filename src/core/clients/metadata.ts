// Checks a registration as a whole by RFC 7591, RFC 8252 and RFC 9700, and says what is wrong so that a developer can fix the mistake.
// Command line, pages, API and dynamic registration all use it. fields.ts checks single fields. It knows no storage.
import { z } from 'zod'
import { OPENID_SCOPES } from '../../base/openid-scopes.ts'
import { REDIRECT_EXAMPLE } from './addresses.ts'
import { type ClientInput, type ClientMetadata, FIELDS, type Field, mapFields, schemas } from './fields.ts'
import { hasRedirects } from './kinds.ts'

/** A registration is refused; the message names the field, what is wrong, and a valid example. */
export class InvalidMetadata extends Error {
  override name = 'InvalidMetadata'
  readonly field: string
  readonly problem: string

  constructor(field: string, problem: string) {
    super(`${field}: ${problem}`)
    this.field = field
    this.problem = problem
  }
}

const schema = z.object(schemas)

/** Checks a registration. @throws InvalidMetadata for the first mistake */
export function validMetadata(input: ClientInput): ClientMetadata {
  const parsed = schema.safeParse(input)
  if (!parsed.success) {
    const [issue] = parsed.error.issues
    throw new InvalidMetadata(issue!.path.join('.') || 'registration', issue!.message)
  }
  const { data } = parsed
  const { type } = data
  data.scopes ??= type === 'service' ? [] : OPENID_SCOPES
  const metadata = { type, ...mapFields(({ shape }, name) => kept(shape, data[name])) } as ClientMetadata
  checkKind(metadata)
  for (const [name, { problem }] of Object.entries(FIELDS as Record<string, Field>)) {
    const texts = [metadata[name as keyof ClientMetadata] ?? []].flat().map(String)
    const wrong = problem && texts.map((text) => problem(text, type)).find(Boolean)
    if (wrong) throw new InvalidMetadata(name, wrong)
  }
  if (!metadata.pkce_required && type !== 'web') {
    throw new InvalidMetadata(
      'pkce_required',
      'may be relaxed for a web client only: others keep no secret; e.g. true',
    )
  }
  return metadata
}

/** Which checks are switched off for a client, and were not before: the audit log records them. */
export function loosenedBy(
  now: Pick<ClientMetadata, 'pkce_required' | 'first_party'>,
  before: Pick<ClientMetadata, 'pkce_required' | 'first_party'> = { pkce_required: true, first_party: false },
): string[] {
  return [
    ...(before.pkce_required && !now.pkce_required ? ['pkce'] : []),
    ...(!before.first_party && now.first_party ? ['consent'] : []),
  ]
}

function kept(shape: Field['shape'], value: unknown): unknown {
  if (shape === 'address') return value || null
  return shape === 'list' ? [...new Set(value as string[])] : value
}

function checkKind({ type, redirect_uris, post_logout_redirect_uris }: ClientMetadata): void {
  const interactive = hasRedirects(type)
  if (interactive && redirect_uris.length === 0) {
    throw new InvalidMetadata('redirect_uris', `is empty, e.g. ${REDIRECT_EXAMPLE[type]}`)
  }
  if (!interactive && redirect_uris.length > 0) {
    throw new InvalidMetadata(
      'redirect_uris',
      type === 'device'
        ? 'must be empty: a device is sent nowhere, people enter its code; an app with a browser is another kind, e.g. native'
        : 'must be empty: a service signs nobody in; an app with people is another kind, e.g. web',
    )
  }
  if (type === 'device' && post_logout_redirect_uris.length > 0) {
    throw new InvalidMetadata(
      'post_logout_redirect_uris',
      'must be empty: a device signs nobody out, e.g. []',
    )
  }
}
