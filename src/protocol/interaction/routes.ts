// The URL table of the pages that an authorization request stops at.
import { get, post, type Row } from '../../http/routes.ts'
import type { interactionPages } from './pages.ts'

/** The rows; each handler finds out by itself whose interaction it is. */
export function interactionRoutes(interaction: ReturnType<typeof interactionPages>): Row[] {
  return [
    get('/interaction/:uid', interaction.show),
    post('/interaction/:uid/select', interaction.select),
    post('/interaction/:uid/login', interaction.login),
    post('/interaction/:uid/consent', interaction.consent),
    post('/interaction/:uid/abort', interaction.abort),
    post('/interaction/:uid/switch', interaction.switch),
    // Where a form post was, a reload or the address bar may ask with GET.
    get('/interaction/:uid/:action', interaction.back),
  ]
}
