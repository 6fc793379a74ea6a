// The page that shows a secret once: that of an app or an API, or an initial access token. views/secret.pug shows it.
import type { Context } from 'koa'
import type { Render } from '../../http/render.ts'

/** The content of such a page. */
export interface SecretPage {
  heading: string
  note?: string
  /** The id that the secret belongs to. */
  id: string
  /** `Client id` by default. */
  id_label?: string
  secret: string
  /** `Secret` by default. */
  secret_label?: string
  /** The link to go on with. */
  next: { href: string; label: string }
}

/** Shows such a page. */
export type ShowSecret = (ctx: Context, page: SecretPage) => void

/** Makes the function that shows secrets. @param layout developers' pages have that of the account */
export function secretPages(render: Render, layout: 'account' | 'admin'): ShowSecret {
  return (ctx, page) => render(ctx, `${layout}/secret`, page)
}
