// Which of our pages an authorization request stops at, where the provider's own rules are not enough: it drops `prompt` of device
// requests, looks at an `id_token_hint` once only, and forgets at the second page what was answered at the first.
import { decodeJwt } from 'jose'
import { errors, interactionPolicy, type Provider } from 'oidc-provider'
import { type OidcContext, policyCheck, replacePrompts } from '../internals/library.ts'

/** What was answered at the pages of one request so far: who was chosen, who signed in, and which grant was allowed. */
export interface Answered {
  select_account?: { accountId: string }
  login?: { accountId: string }
  consent?: { grantId: string }
}

/** The provider's policy, where an answer holds for all pages of a request, and a hint for all of its steps. */
export function promptPolicy(): interactionPolicy.DefaultPolicy {
  const policy = interactionPolicy.base()
  policy.add(new interactionPolicy.Prompt({ name: 'select_account', requestable: true }), 0)
  const hint = policyCheck(policy, 'login', 'id_token_hint')
  hint.check = ({ oidc }) => {
    const sub = hintedSub(oidc)
    return sub !== undefined && sub !== oidc.session?.accountId
  }
  const age = policyCheck(policy, 'login', 'max_age')
  const isTooOld = age.check
  age.check = (ctx) => !isAnswered(ctx.oidc, 'login') && isTooOld(ctx)
  const native = policyCheck(policy, 'consent', 'native_client_prompt')
  const isDue = native.check
  native.check = (ctx) => !isAnswered(ctx.oidc, 'consent') && isDue(ctx)
  return policy
}

/** Lets the provider see the prompts of device requests, and what was answered at earlier pages of a request. */
export function rememberPrompts(provider: Provider): void {
  const prompts = (oidc: OidcContext) => {
    const { prompt } = oidc.entities.DeviceCode ? deviceParams(oidc) : (oidc.params ?? {})
    return new Set(words(prompt))
  }
  replacePrompts(provider, prompts, (oidc, name) => oidc.prompts.has(name) && !isAnswered(oidc, name))
}

/** What was answered so far, as it is kept with the next page of the request; undefined for nothing. */
export function answeredSoFar({ entities, result }: OidcContext): Answered | undefined {
  const { login, consent, select_account } = (result ?? {}) as Answered
  const answered: Answered = {
    ...(entities.Interaction?.lastSubmission as Answered | undefined),
    ...(select_account ? { select_account } : {}),
    ...(login ? { login: { accountId: login.accountId } } : {}),
    ...(consent?.grantId ? { consent: { grantId: consent.grantId } } : {}),
  }
  return Object.keys(answered).length > 0 ? answered : undefined
}

/** The account that an ID token named which came as a hint, at this or an earlier step of the request. */
export function hintedSub(oidc: OidcContext): string | undefined {
  const { IdTokenHint, Interaction, DeviceCode } = oidc.entities
  const sub =
    IdTokenHint?.payload.sub ??
    Interaction?.params.hinted_sub ??
    (DeviceCode ? deviceParams(oidc).hinted_sub : undefined)
  return typeof sub === 'string' ? sub : undefined
}

/**
 * What is kept of a device request until a person decides: also its `prompt`, and of an `id_token_hint` whom it names.
 * @param params as the provider has them
 * @param prompt as it was sent
 * @throws InvalidRequest as the authorization endpoint does; and for `none`, as the person is never where the device is
 */
export function deviceRequest(params: Record<string, unknown>, prompt: unknown): Record<string, unknown> {
  const { id_token_hint, prompt: byMaxAge, ...rest } = params
  if (prompt !== undefined && typeof prompt !== 'string')
    throw new errors.InvalidRequest("'prompt' parameter must not be provided twice")
  const prompts = new Set([...words(prompt), ...words(byMaxAge)])
  if (prompts.has('none'))
    throw new errors.InvalidRequest('prompt none is not possible here, a person decides about each device')
  if ([...prompts].some((each) => !PROMPTS.includes(each)))
    throw new errors.InvalidRequest('unsupported prompt value requested')
  return {
    ...rest,
    ...(prompts.size > 0 ? { prompt: [...prompts].join(' ') } : {}),
    ...(typeof id_token_hint === 'string' ? { hinted_sub: decodeJwt(id_token_hint).sub } : {}),
  }
}

const PROMPTS = ['select_account', 'login', 'consent']

// The page of the request at which it is answered goes on with `result`; the ones before are kept with the interaction. A grant that
// was allowed as one account answers nothing for another.
function isAnswered(oidc: OidcContext, name: string): boolean {
  const earlier = oidc.entities.Interaction?.lastSubmission as Answered | undefined
  const { result, session, entities, prompts } = oidc
  // Whoever signs in chooses by that; and where nobody is signed in, there is no other choice.
  if (name === 'select_account')
    return (
      !session?.accountId ||
      prompts.has('login') ||
      [result as Answered | undefined, earlier].some(
        (answered) =>
          answered?.login !== undefined || answered?.select_account?.accountId === session.accountId,
      )
    )
  if (name === 'login')
    return (
      result?.login !== undefined ||
      (earlier?.login !== undefined && earlier.login.accountId === session?.accountId)
    )
  if (name === 'consent')
    return (
      result?.consent !== undefined ||
      (earlier?.consent !== undefined && earlier.consent.grantId === entities.Grant?.jti)
    )
  return false
}

function deviceParams({ entities }: OidcContext): Record<string, unknown> {
  return entities.DeviceCode?.params ?? {}
}

function words(text: unknown): string[] {
  return typeof text === 'string' ? text.split(' ').filter(Boolean) : []
}
