// A person with a browser, as far as the walk needs one: cookies, redirects seen one by one, forms and links.
import { type Form, formsOf, linksOf, textOf } from './form.ts'
import { CookieJar } from './jar.ts'

/** An answer, read. */
export interface Page {
  method: string
  url: URL
  status: number
  html: string
  text: string
  title: string
  forms: Form[]
  links: { url: URL; text: string }[]
  /** Where a redirect leads. */
  next: URL | undefined
  /** When the answer stood, in milliseconds of `performance.now()`. */
  at: number
}

const PATIENCE_MS = 20_000

/** One person's visits; cookies are kept between them. */
export class Visitor {
  readonly #jar = new CookieJar()

  /** Opens an address; a redirect is not followed. */
  get(url: URL): Promise<Page> {
    return this.#send('GET', url)
  }

  /** Sends a form from the page it stands on. */
  submit(page: Page, form: Form): Promise<Page> {
    if (form.method !== 'POST') throw new Error(`a ${form.method} form at ${page.url.pathname}`)
    return this.#send('POST', form.action, page.url, form.fields)
  }

  async #send(method: string, url: URL, from?: URL, body?: URLSearchParams): Promise<Page> {
    const cookie = this.#jar.header(url)
    const answer = await fetch(url, {
      method,
      body,
      redirect: 'manual',
      signal: AbortSignal.timeout(PATIENCE_MS),
      headers: {
        Accept: 'text/html',
        'User-Agent': 'Valetkey demo walk',
        ...(cookie && { Cookie: cookie }),
        ...(from && { Origin: from.origin, Referer: from.href }),
      },
    })
    const html = await answer.text()
    const at = performance.now()
    this.#jar.take(url, answer.headers.getSetCookie())
    const location = answer.headers.get('location')
    return {
      method,
      url,
      status: answer.status,
      html,
      text: textOf(html),
      title: textOf(/<title>(.*?)<\/title>/is.exec(html)?.[1] ?? ''),
      forms: formsOf(html, url),
      links: linksOf(html, url),
      next: location === null ? undefined : new URL(location, url),
      at,
    }
  }
}
