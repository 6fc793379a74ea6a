// Photo Printer, a sample third-party web app: it signs people in with Valetkey, shows their photos and prints
// them as far as they allowed it. Pages are in photo-printer-page.ts.
import Router from '@koa/router'
import Koa, { type Context } from 'koa'
import type { Photo } from './album.ts'
import { AccessRemoved, type Account, createConnection, type Pending, SignInFailed } from './connection.ts'
import { type Notice, printerPage, printerStyle } from './photo-printer-page.ts'
import { createSessions } from './sessions.ts'
import type { Trace } from './trace.ts'

/** Where the app stands and whom it talks to. */
export interface PhotoPrinterParts {
  origin: string
  issuer: string
  /** What the sign-in button calls the server. */
  brand: string
  client: { id: string; secret: string }
  /** Origin of the photos API. */
  api: string
  trace?: Trace
}

/** What the app remembers about one browser. */
interface PrinterSession {
  /** Sign-ins under way: one a tab. */
  pending: Pending[]
  account?: Account
  photos?: { list: Photo[]; fetched: Date }
  /** Titles of the photos that were ordered. */
  printed: string[]
  /** Shown once, on the next page. */
  notice?: Notice
}

/** The app: `/` is its only page, everything else leads back to it. */
export function createPhotoPrinter({ origin, issuer, brand, client, api, trace }: PhotoPrinterParts): Koa {
  const app = new Koa()
  const sessions = createSessions<PrinterSession>('photo_printer', () => ({ pending: [], printed: [] }))
  const connection = createConnection({
    name: 'Photo Printer',
    client,
    issuer,
    redirectUri: `${origin}/callback`,
    postLogoutRedirectUri: `${origin}/`,
    scope: 'openid profile email photos.read prints.order',
    trace,
  })

  const router = new Router()
    .get('/', home)
    .get('/style.css', style)
    .get('/sign-in', signIn)
    .get('/callback', callback)
    .post('/photos', reload)
    .post('/print', print)
    .post('/refresh', refresh)
    .post('/sign-out', signOut)

  app.use(headers)
  app.use(ownFormsOnly)
  app.use(router.routes()).use(router.allowedMethods())
  return app

  function home(ctx: Context): void {
    const session = sessions.find(ctx)
    const notice = session?.notice
    if (session) session.notice = undefined
    ctx.type = 'html'
    const { account, photos, printed = [] } = session ?? {}
    ctx.body = printerPage({ account, photos, printed, notice, brand, issuer })
  }

  function style(ctx: Context): void {
    ctx.set('Cache-Control', 'public, max-age=300')
    ctx.type = 'css'
    ctx.body = printerStyle
  }

  async function signIn(ctx: Context): Promise<void> {
    const session = sessions.open(ctx)
    await attempt(session, async () => {
      // Who is signed in already wants to allow more: Valetkey should ask, not remember.
      const { url, pending } = await connection.begin(session.account ? { prompt: 'consent' } : {})
      session.pending = [...session.pending, pending].slice(-10)
      ctx.redirect(url.href)
    })
    if (session.notice) seeOther(ctx)
  }

  async function callback(ctx: Context): Promise<void> {
    seeOther(ctx)
    const session = sessions.open(ctx)
    const pending = session.pending.find(({ state }) => state === ctx.query.state)
    // Reloaded, or reached by the back button: the sign-in is over, and its result stands on the page.
    if (!pending && session.account) return
    if (!pending)
      return tell(session, 'bad', 'That sign-in is over', 'It was begun in another browser or long ago.')
    session.pending = session.pending.filter((each) => each !== pending)

    await attempt(session, async () => {
      session.account = await connection.finish(ctx.querystring, pending)
      session.printed = []
      sessions.renew(ctx, session)
      await fetchPhotos(session, session.account)
    })
  }

  async function reload(ctx: Context): Promise<void> {
    await withAccount(ctx, async (session, account) => {
      if (await fetchPhotos(session, account)) {
        tell(
          session,
          'good',
          'Your photos are up to date',
          'The photos service let us in and gave us all of them.',
        )
      }
    })
  }

  async function print(ctx: Context): Promise<void> {
    await withAccount(ctx, async (session, account) => {
      const photo = session.photos?.list.find(({ id }) => id === ctx.query.photo)
      if (!photo) return tell(session, 'bad', 'That photo is gone', 'Reload your photos and choose again.')
      const answer = await connection.call(account, 'POST', `${api}/prints`)
      if (answer.status === 403) {
        const text = 'You let us look at your photos, but not order prints. You can change that below.'
        return tell(session, 'bad', 'We may not order prints for you', text)
      }
      if (!answer.ok) return refused(session, answer)
      session.printed.push(photo.title)
      tell(session, 'good', `“${photo.title}” is being printed`, 'The photos service took the order.')
    })
  }

  async function refresh(ctx: Context): Promise<void> {
    await withAccount(ctx, async (session, account) => {
      await connection.renew(account)
      tell(
        session,
        'good',
        'Access was renewed',
        `${brand} gave us a new key. The one before is worth nothing now.`,
      )
    })
  }

  async function signOut(ctx: Context): Promise<void> {
    seeOther(ctx)
    const session = sessions.find(ctx)
    const account = session?.account
    if (!session || !account) return
    session.account = undefined
    session.photos = undefined
    await attempt(session, async () => {
      const url = await connection.signOutUrl(account)
      ctx.redirect(url.href)
      ctx.status = 303
    })
  }

  async function fetchPhotos(session: PrinterSession, account: Account): Promise<boolean> {
    session.photos = undefined
    // An app that was not allowed something need not ask for it.
    if (!account.scopes.includes('photos.read')) {
      tell(session, 'bad', 'We may not look at your photos', 'You signed in, but did not allow that.')
      return false
    }
    const answer = await connection.call(account, 'GET', `${api}/photos`)
    if (!answer.ok) {
      refused(session, answer)
      return false
    }
    const { photos } = (await answer.json()) as { photos: Photo[] }
    session.photos = { list: photos, fetched: new Date() }
    return true
  }

  /** Runs what a signed-in person asked for, and goes back to the page. */
  async function withAccount(
    ctx: Context,
    work: (session: PrinterSession, account: Account) => Promise<void>,
  ) {
    seeOther(ctx)
    const session = sessions.open(ctx)
    const { account } = session
    if (!account) return tell(session, 'bad', 'You are not signed in', 'Sign in first.')
    await attempt(session, () => work(session, account))
  }

  /** Turns what went wrong into words on the page. */
  async function attempt(session: PrinterSession, work: () => Promise<void>): Promise<void> {
    try {
      await work()
    } catch (error) {
      if (error instanceof AccessRemoved) return disconnect(session, error)
      if (error instanceof SignInFailed) return explain(session, error)
      console.error(`Photo Printer: ${(error as Error).message}`)
      tell(session, 'bad', 'That did not work', 'A service we need gave no answer. Try again in a moment.')
    }
  }

  function disconnect(session: PrinterSession, { code }: AccessRemoved): void {
    session.account = undefined
    session.photos = undefined
    tell(session, 'bad', 'Your access was removed', `${brand} said ${code}. Sign in again to reconnect.`)
  }

  function explain(session: PrinterSession, error: SignInFailed): void {
    if (error.code === 'access_denied') {
      tell(session, 'bad', 'You did not allow it', 'Nothing was shared with us.')
      return
    }
    console.error(`Photo Printer: ${error.message}: ${(error.cause as Error).message}`)
    tell(session, 'bad', 'The sign-in did not work', `${brand} said ${error.code}. Try again.`)
  }

  function refused(session: PrinterSession, answer: Response): void {
    tell(session, 'bad', 'The photos service refused', `It answered ${answer.status}. Try again in a moment.`)
  }

  function headers(ctx: Context, next: Koa.Next): Promise<void> {
    ctx.set({
      'Cache-Control': 'no-store',
      'Content-Security-Policy': [
        "default-src 'none'",
        "style-src 'self'",
        'img-src data:',
        // Signing out goes on to Valetkey, and form-action also governs where a form is sent on to.
        `form-action 'self' ${new URL(issuer).origin}`,
        "base-uri 'none'",
        "frame-ancestors 'none'",
      ].join('; '),
      'X-Content-Type-Options': 'nosniff',
      // Not no-referrer: browsers then send the app's own forms with `Origin: null`.
      'Referrer-Policy': 'same-origin',
    })
    return next()
  }

  /** All ports of localhost are one site to a browser, so that SameSite does not hold off Valetkey's neighbours. */
  async function ownFormsOnly(ctx: Context, next: Koa.Next): Promise<void> {
    const from = ctx.get('origin')
    if (ctx.method === 'POST' && from && from !== origin) return ctx.throw(403)
    return next()
  }
}

function tell(session: PrinterSession, tone: Notice['tone'], heading: string, text: string): void {
  session.notice = { tone, heading, text }
}

function seeOther(ctx: Context): void {
  ctx.redirect('/')
  ctx.status = 303
}
