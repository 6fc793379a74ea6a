// The format and the lifetime of the access tokens of an API, as administrators choose them.
import { z } from 'zod'
import { InvalidMetadata } from '../../core/clients/metadata.ts'
import { type Resource, TOKEN_FORMATS, TOKEN_SECONDS, tokenSeconds } from '../../core/resources/store.ts'
import { changeResource } from '../../core/resources/update.ts'
import { NotFound } from '../../http/errors.ts'
import { type FormErrors, readForm, sentText } from '../../http/form.ts'
import { seeOther, takeNotice } from '../../http/notice.ts'
import { actingUser, type SignedIn } from '../../protocol/guards.ts'
import { cancelLink, errorsOf, type ResourceParts, seconds } from './resource-fields.ts'
import { apiAt, apiPath } from './resource-path.ts'

const tokenForm = z.object({
  token_format: z.enum(TOKEN_FORMATS, 'Choose what its access tokens are.'),
  token_seconds: z
    .string()
    .trim()
    .regex(/^\d{0,9}$/, 'Access tokens live: give a number of seconds, e.g. 600, or nothing.')
    .transform((text) => (text === '' ? null : Number(text)))
    .default(null),
})
const FORMATS = [
  { value: 'opaque', label: 'Opaque: the API asks about each' },
  { value: 'jwt', label: 'JWT: the API reads them by itself' },
]

/** The form of /admin/apis/:api/tokens. */
export function resourceTokenForm({ db, render, standardSeconds }: ResourceParts) {
  const showTokens = (
    ctx: SignedIn,
    api: Resource,
    values: object,
    errors: FormErrors = {},
    status = 200,
  ): void =>
    render(
      ctx,
      'admin/resource-tokens',
      {
        done: takeNotice(ctx),
        api,
        formats: FORMATS,
        values,
        bounds: TOKEN_SECONDS,
        standard: seconds(standardSeconds),
        standard_jwt: seconds(tokenSeconds({ token_format: 'jwt', token_seconds: null }, standardSeconds)),
        action: ctx.path,
        ...cancelLink(ctx),
        errors,
      },
      status,
    )
  return {
    async show(ctx: SignedIn): Promise<void> {
      const api = await apiAt(db, String(ctx.params.api))
      showTokens(ctx, api, { ...api, token_seconds: api.token_seconds ?? '' })
    },
    async send(ctx: SignedIn): Promise<void> {
      const api = await apiAt(db, String(ctx.params.api))
      const sent = {
        token_format: sentText(ctx, 'token_format'),
        token_seconds: sentText(ctx, 'token_seconds'),
      }
      const { values, errors } = readForm(ctx, tokenForm)
      if (errors) return showTokens(ctx, api, sent, errors, 422)
      try {
        const changed = await changeResource(db, api.identifier, values, actingUser(ctx))
        if (changed === undefined) throw new NotFound('There is no such API.')
        const heading = changed
          ? 'It holds from the next token on.'
          : `The tokens of ${api.name} are as they were.`
        seeOther(ctx, apiPath(api), { heading })
      } catch (error) {
        if (!(error instanceof InvalidMetadata)) throw error
        showTokens(ctx, api, sent, errorsOf(error), 422)
      }
    },
  }
}
