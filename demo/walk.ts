// The demo without a browser: signs in, allows, uses, removes, and checks that it is really over. Every HTTP step
// is one line; what the programs ask each other meanwhile stands indented below it.
import type { Form } from './form.ts'
import { PEOPLE } from './seed.ts'
import type { Demo } from './start.ts'
import { beginning, type Call } from './trace.ts'
import { type Page, Visitor } from './visitor.ts'

/** An answer that the walk did not expect. */
export class Unexpected extends Error {
  override name = 'Unexpected'
  constructor(step: string, expected: string, got: string) {
    super(`\nThe walk stopped at: ${step}\n  expected: ${expected}\n  got:      ${got}`)
  }
}

const MOST_REDIRECTS = 12

/**
 * Walks through a running demo.
 * @param calls where the demo's trace puts the calls between programs
 * @throws Unexpected
 */
export async function walk(demo: Demo, calls: Call[], print: (line: string) => void): Promise<void> {
  const { valetkey, app, brand } = demo
  const { person } = PEOPLE
  const visitor = new Visitor()
  const names: Record<string, string> = {
    [valetkey]: brand,
    [app]: 'Photo Printer',
    [demo.api]: 'Photos API',
  }
  let steps = 0
  let last = 'the start'
  let behind: Call[] = []

  print(`The walk: ${person.name} and Photo Printer, every HTTP step in a line. Secrets are cut short.`)

  chapter('Sign in, without the app seeing the password')
  const start = await open(`${app}/`, `offers “Sign in with ${brand}”`)
  const login = await follow(await open(link(start, `Sign in with ${brand}`), 'asks for what it would like'))
  demand(login.text.includes('Photo Printer never sees your password'), 'the sign-in page', login)
  const credentials = { email: person.email, password: person.password }

  chapter('Allow some of it')
  const consent = await follow(await press(login, 'Sign in', credentials))
  for (const sentence of ['Photo Printer wants access', 'Look at your photos', 'Order prints for you']) {
    demand(consent.text.includes(sentence), `a consent page that says “${sentence}”`, consent)
  }
  const ticked = form(consent, 'Allow').fields.getAll('scope')
  demand(ticked.join() === 'photos.read', 'only “Look at your photos” ticked: ordering spends money', consent)

  chapter('Use it')
  const album = await follow(await press(consent, 'Allow'))
  for (const shown of [person.name, person.email, 'Photos 6']) {
    demand(album.text.includes(shown), `a page that shows “${shown}”`, album)
  }
  say(`Photo Printer shows ${person.name}, ${person.email} and the photos ${titles(album).join(', ')}.`)
  const printed = await follow(await press(album, 'Print'))
  demand(printed.text.includes('may not order prints'), 'no order: that was not allowed', printed)
  const renewed = await follow(await press(printed, 'Refresh access now'))
  demand(renewed.text.includes('Access was renewed'), 'a renewed access', renewed)
  const working = await follow(await press(renewed, 'Reload photos'))
  demand(working.text.includes('Your photos are up to date'), 'photos', working)

  chapter('Remove the app')
  const apps = await follow(await open(`${valetkey}/account/apps`, 'the apps with access'))
  demand(apps.text.includes('Photo Printer'), 'Photo Printer in the list', apps)
  const confirmation = await follow(await open(link(apps, 'Remove access'), 'says exactly what will happen'))
  const removal = await press(confirmation, 'Remove')
  const receipt = await follow(removal)
  demand(receipt.text.includes('No app has access'), 'an empty list', receipt)

  chapter('Really over')
  const tried = await press(working, 'Reload photos')
  const refused = demandCall('GET', `${demo.api}/photos`, 401, 'invalid_token')
  demandCall('POST', `${valetkey}/token`, 400, 'invalid_grant')
  const elapsed = Math.ceil(refused.at - removal.at)
  if (elapsed >= 1000) throw new Unexpected(last, 'a refusal within the same second', `${elapsed} ms`)
  say(`The API refused the app ${elapsed} ms after the access was removed; renewing it was refused, too.`)
  const over = await follow(tried)
  const words = `Your access was removed ${brand} said invalid_grant. Sign in again to reconnect.`
  demand(over.text.includes(words), `“${words}”`, over)
  demand(titles(over).length === 0, 'no photos', over)
  say(`Photo Printer says: “${words.replace('removed ', 'removed. ')}”`)

  print(`\nThe walk is complete: ${steps} steps, access removed and really over.`)

  async function open(url: string | URL, what: string): Promise<Page> {
    return step(await visitor.get(new URL(url)), what)
  }

  async function press(page: Page, button: string, typed: Record<string, string> = {}): Promise<Page> {
    const filled = form(page, button)
    for (const [name, value] of Object.entries(typed)) filled.fields.set(name, value)
    return step(await visitor.submit(page, filled), `“${button}”`)
  }

  async function follow(page: Page): Promise<Page> {
    let at = page
    for (let redirects = 0; at.next; redirects++) {
      demand(redirects < MOST_REDIRECTS, 'a page in the end', at)
      at = step(await visitor.get(at.next), '')
    }
    demand(at.status === 200, '200', at)
    return at
  }

  function step(page: Page, what: string): Page {
    steps += 1
    last = `${String(steps).padStart(2)}  ${page.method.padEnd(4)} ${shortened(page.url)}`
    const result = page.next ? `to ${named(page.next)}` : page.title && `“${page.title}”`
    print(`${last} → ${page.status} ${result}${what && `  · ${what}`}`)
    behind = calls.splice(0)
    for (const { from, method, url, sent, status, got } of behind) {
      print(
        `      ${from}: ${[method, shortened(new URL(url)), sent].join(' ').trim()} → ${`${status} ${got}`.trim()}`,
      )
    }
    return page
  }

  function form(page: Page, button: string): Form {
    for (const found of page.forms) {
      const pressed = found.buttons.find(({ text }) => text.startsWith(button))
      if (!pressed) continue
      const fields = new URLSearchParams(found.fields)
      if (pressed.name) fields.append(pressed.name, pressed.value)
      return { ...found, fields }
    }
    throw new Unexpected(last, `a button “${button}”`, described(page))
  }

  function link(page: Page, text: string): URL {
    const found = page.links.find((each) => each.text.startsWith(text))
    if (!found) throw new Unexpected(last, `a link “${text}”`, described(page))
    return found.url
  }

  function demand(met: boolean, expected: string, page: Page): void {
    if (!met) throw new Unexpected(last, expected, described(page))
  }

  function demandCall(method: string, url: string, status: number, error: string): Call {
    const call = behind.find((each) => each.method === method && each.url === url)
    if (call?.status === status && call.got.includes(error)) return call
    const got = call ? `${call.status} ${call.got}` : 'no such call'
    throw new Unexpected(last, `${method} ${url} → ${status} ${error}`, got)
  }

  function named(url: URL): string {
    const name = names[url.origin] ?? url.origin
    return `${name} ${shortened(url).slice(url.origin.length).replace(/\?.*/, '?…')}`
  }

  function chapter(title: string): void {
    print(`\n${title}`)
  }

  function say(line: string): void {
    print(`    ✓ ${line}`)
  }
}

/** An address that fits in a line, without what would let a reader take part. */
function shortened({ origin, pathname, searchParams }: URL): string {
  const parts = [...searchParams].filter(([name]) => SHOWN.includes(name))
  const query = parts.map(([name, value]) => `${name}=${name === 'code' ? beginning(value) : value}`)
  if (query.length < searchParams.size) query.push('…')
  // Only random segments are cut: words stay readable.
  const path = pathname.replace(/[^/]{17,}/g, (part) =>
    /[A-Z\d]/.test(part) ? `${part.slice(0, 6)}…` : part,
  )
  return `${origin}${path}${query.length > 0 ? `?${query.join('&')}` : ''}`
}

const SHOWN = ['scope', 'response_type', 'code_challenge_method', 'prompt', 'code', 'iss', 'error']

function described({ status, title, text, next }: Page): string {
  return next ? `${status} to ${shortened(next)}` : `${status} “${title}” ${text.slice(0, 300)}`
}

/** The titles of the photos on Photo Printer's page. */
function titles({ html }: Page): string[] {
  return [...html.matchAll(/<img src="data:image\/svg\+xml[^"]*" alt="([^"]*)"/g)].map(([, title]) => title!)
}
