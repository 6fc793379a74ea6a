// Slideshow TV, the second sample app: a public client without a secret, as an app on a television would be.
// It only looks at photos. It stands here so that a person has more than one app to choose from.
import Router from '@koa/router'
import Koa, { type Context } from 'koa'
import type { Photo } from './album.ts'
import { AccessRemoved, type Account, createConnection, type Pending, SignInFailed } from './connection.ts'
import { type Html, html } from './html.ts'
import { createSessions } from './sessions.ts'

/** Where the app stands and whom it talks to. */
export interface SlideshowParts {
  origin: string
  issuer: string
  brand: string
  client: { id: string }
  /** Origin of the photos API. */
  api: string
}

interface SlideshowSession {
  pending?: Pending
  account?: Account
  notice?: string
}

/** The app: `/` shows the photos, fetched anew each time, or how to connect. */
export function createSlideshowTv({ origin, issuer, brand, client, api }: SlideshowParts): Koa {
  const app = new Koa()
  const sessions = createSessions<SlideshowSession>('slideshow_tv', () => ({}))
  const connection = createConnection({
    name: 'Slideshow TV',
    client,
    issuer,
    redirectUri: `${origin}/callback`,
    scope: 'openid profile photos.read',
  })
  const router = new Router()
    .get('/', home)
    .get('/connect', connect)
    .get('/callback', callback)
    .get('/style.css', (ctx) => {
      ctx.type = 'css'
      ctx.body = style
    })

  app.use((ctx, next) => {
    ctx.set({
      'Cache-Control': 'no-store',
      'Content-Security-Policy':
        "default-src 'none'; style-src 'self'; img-src data:; base-uri 'none'; frame-ancestors 'none'",
      'X-Content-Type-Options': 'nosniff',
    })
    return next()
  })
  app.use(router.routes()).use(router.allowedMethods())
  return app

  async function home(ctx: Context): Promise<void> {
    const session = sessions.find(ctx)
    const photos = session?.account && (await fetchPhotos(session, session.account))
    const notice = session?.notice
    if (session) session.notice = undefined
    ctx.type = 'html'
    ctx.body = page(brand, notice, session?.account, photos)
  }

  async function connect(ctx: Context): Promise<void> {
    const session = sessions.open(ctx)
    const { url, pending } = await connection.begin()
    session.pending = pending
    ctx.redirect(url.href)
  }

  async function callback(ctx: Context): Promise<void> {
    const session = sessions.open(ctx)
    const { pending } = session
    session.pending = undefined
    if (pending) await signIn(ctx, session, pending)
    ctx.redirect('/')
  }

  async function signIn(ctx: Context, session: SlideshowSession, pending: Pending): Promise<void> {
    try {
      session.account = await connection.finish(ctx.querystring, pending)
      sessions.renew(ctx, session)
    } catch (error) {
      if (!(error instanceof SignInFailed)) throw error
      session.notice = `This TV was not connected: ${brand} said ${error.code}.`
    }
  }

  async function fetchPhotos(session: SlideshowSession, account: Account): Promise<Photo[]> {
    try {
      const answer = await connection.call(account, 'GET', `${api}/photos`)
      if (answer.ok) return ((await answer.json()) as { photos: Photo[] }).photos
      session.notice = `The photos service answered ${answer.status}.`
    } catch (error) {
      if (!(error instanceof AccessRemoved)) throw error
      session.account = undefined
      session.notice = `This TV’s access was removed: ${brand} said ${error.code}. Connect it again.`
    }
    return []
  }
}

function page(brand: string, notice: string | undefined, account?: Account, photos: Photo[] = []): string {
  return html`<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>Slideshow TV</title>
<link rel="icon" href="data:,">
<link rel="stylesheet" href="/style.css">
</head>
<body>
<main>
<h1>${account ? `${account.name}’s photos` : 'Slideshow TV'}</h1>
${notice && html`<p role="status">${notice}</p>`}
${!account && html`<p><a class="button" href="/connect">Connect with ${brand}</a></p>`}
${photos.length > 0 && html`<div class="reel" role="region" aria-label="Photos" tabindex="0">${photos.map(slide)}</div>`}
</main>
</body>
</html>
`.text
}

function slide({ title, svg }: Photo): Html {
  const source = `data:image/svg+xml;base64,${Buffer.from(svg).toString('base64')}`
  return html`<figure><img src="${source}" alt="" width="320" height="240"><figcaption>${title}</figcaption></figure>`
}

const style = `
* { box-sizing: border-box; }
body { margin: 0; background: #0b0b12; color: #f2f2f7; font: 1.1rem/1.5 system-ui, sans-serif; }
main { padding: clamp(1rem, 5vw, 4rem); text-align: center; }
.reel { display: flex; gap: 1.5rem; overflow-x: auto; scroll-snap-type: x mandatory; padding: 1rem 0; }
figure { flex: 0 0 min(85%, 44rem); margin: 0; scroll-snap-align: center; }
img { width: 100%; height: auto; border-radius: 1rem; }
.button { display: inline-block; padding: .8rem 1.6rem; border-radius: .8rem; background: #c4b5fd; color: #1b1140; font-weight: 700; text-decoration: none; }
:focus-visible { outline: 3px solid #fff; outline-offset: 3px; }
`
