// What Photo Printer's page looks like: its words and its style, in a look of its own. No rules here.
import type { Photo } from './album.ts'
import type { Account } from './connection.ts'
import { type Html, html } from './html.ts'
import { beginning } from './trace.ts'

/** What the app tells the person about what just happened. */
export interface Notice {
  tone: 'good' | 'bad'
  heading: string
  text: string
}

/** What the page shows. */
export interface PrinterView {
  account: Account | undefined
  photos: { list: Photo[]; fetched: Date } | undefined
  /** Titles of the photos that were ordered. */
  printed: string[]
  notice: Notice | undefined
  brand: string
  issuer: string
}

/** The app's only page, as a document. */
export function printerPage(view: PrinterView): string {
  const { account, notice, brand } = view
  return html`<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light dark">
<title>${notice?.tone === 'bad' ? `${notice.heading} – ` : ''}Photo Printer</title>
<link rel="icon" href="data:,">
<link rel="stylesheet" href="/style.css">
</head>
<body>
<header>
<p class="name">${logo}<span>Photo Printer</span></p>
${
  account &&
  html`<form method="post" action="/sign-out">
<span class="who">${account.email}</span> <button class="quiet">Sign out</button>
</form>`
}
</header>
<main>
${notice && notePart(notice)}
${account ? album(account, view) : welcome(brand)}
</main>
<footer><p>A sample app. It never sees your ${brand} password.</p></footer>
</body>
</html>
`.text
}

function notePart({ tone, heading, text }: Notice): Html {
  return html`<div class="notice ${tone}" role="${tone === 'bad' ? 'alert' : 'status'}">
<p><strong>${heading}</strong></p>
<p>${text}</p>
</div>`
}

function welcome(brand: string): Html {
  return html`<section class="welcome">
<h1>Your photos, on paper by Friday.</h1>
<p>Connect your ${brand} account, choose a photo, and we print it. You decide what we may see.</p>
<p><a class="button" href="/sign-in">Sign in with ${brand}</a></p>
</section>`
}

function album(account: Account, { photos, printed, brand, issuer }: PrinterView): Html {
  const first = account.name.split(' ')[0]!
  return html`<section>
<h1>Hello, ${first}</h1>
<dl class="facts">
<div><dt>Name</dt><dd>${account.name}</dd></div>
<div><dt>E-mail</dt><dd>${account.email}</dd></div>
<div><dt>Photos</dt><dd>${photos ? `${photos.list.length}, fetched at ${clock(photos.fetched)}` : 'none here'}</dd></div>
</dl>
<div class="actions">
<form method="post" action="/photos"><button>Reload photos</button></form>
<form method="post" action="/refresh"><button class="quiet">Refresh access now</button></form>
</div>
</section>
${photos && html`<ul class="photos">${photos.list.map((photo) => photoPart(photo, printed))}</ul>`}
${access(account, brand, issuer)}`
}

function photoPart({ id, title, taken, svg }: Photo, printed: string[]): Html {
  const source = `data:image/svg+xml;base64,${Buffer.from(svg).toString('base64')}`
  return html`<li>
<img src="${source}" alt="${title}" width="320" height="240">
<div>
<p>${title}<br><small><time datetime="${taken}">${day(taken)}</time>${printed.includes(title) && ' · ordered'}</small></p>
<form method="post" action="/print?photo=${encodeURIComponent(id)}"><button class="quiet" aria-label="Print ${title}">Print</button></form>
</div>
</li>`
}

function access({ scopes, accessToken, ends, renewals }: Account, brand: string, issuer: string) {
  const may = (scope: string) => scopes.includes(scope)
  return html`<section class="access">
<h2>What we may do</h2>
<ul>
<li class="yes">Know your name and e-mail address</li>
<li class="${may('photos.read') ? 'yes' : 'no'}">Look at your photos</li>
<li class="${may('prints.order') ? 'yes' : 'no'}">Order prints for you${
    !may('prints.order') && html` <small>you did not allow it · <a href="/sign-in">ask me again</a></small>`
  }</li>
</ul>
<p>You can end this at any time: <a href="${new URL('/account/apps', issuer).href}">apps with access to your ${brand} account</a>.</p>
<p><small>Our key <code>${beginning(accessToken)}</code> ends at ${clock(ends)}${
    renewals > 0 && `, renewed ${renewals === 1 ? 'once' : `${renewals} times`}`
  }.</small></p>
</section>`
}

function clock(date: Date): string {
  return date.toLocaleTimeString('en-GB')
}

function day(date: string): string {
  const format = { day: 'numeric', month: 'long', year: 'numeric', timeZone: 'UTC' } as const
  return new Date(date).toLocaleDateString('en-GB', format)
}

const logo = html`<svg viewBox="0 0 32 32" width="32" height="32" aria-hidden="true">
<rect width="32" height="32" rx="9" class="plate"/>
<path class="ink" d="M9 12V6h14v6M9 22H6v-9h20v9h-3M10 18h12v8H10z"/>
</svg>`

/** The app's style sheet: light and dark, from 320 px up. */
export const printerStyle = `
:root {
  color-scheme: light dark;
  --page: #fff8f1; --card: #ffffff; --ink: #33221a; --muted: #75594a; --line: #f0dccb;
  --accent: #b8400b; --on-accent: #ffffff; --good: #1d6b3f; --good-page: #e8f5ec; --bad: #9d2118; --bad-page: #fdebe7;
}
@media (prefers-color-scheme: dark) {
  :root {
    --page: #1d1512; --card: #291e19; --ink: #f8ebe1; --muted: #c5ab9b; --line: #45342b;
    --accent: #ff9a52; --on-accent: #2a1405; --good: #8fdcae; --good-page: #16301f; --bad: #ffb4a8; --bad-page: #43201b;
  }
}
* { box-sizing: border-box; }
body {
  margin: 0 auto; padding: 1rem; max-width: 62rem; background: var(--page); color: var(--ink);
  font: 1rem/1.5 Georgia, 'Iowan Old Style', 'Times New Roman', serif; overflow-wrap: anywhere;
}
h1 { font-size: clamp(1.7rem, 6vw, 2.6rem); line-height: 1.15; margin: .5rem 0 .75rem; font-weight: 600; }
h2 { font-size: 1.25rem; margin: 0 0 .5rem; }
p { margin: .5rem 0; }
a { color: var(--accent); }
small { color: var(--muted); font-size: .875rem; }
code { font-size: .85rem; }
header, header form, .actions, .photos li > div { display: flex; gap: .75rem; align-items: center; flex-wrap: wrap; }
header { justify-content: space-between; min-height: 3.5rem; }
.name { display: flex; gap: .6rem; align-items: center; font-weight: 600; font-size: 1.15rem; margin: 0; }
.plate { fill: var(--accent); }
.ink { fill: none; stroke: var(--on-accent); stroke-width: 2; stroke-linejoin: round; }
.who { color: var(--muted); }
.button, button {
  display: inline-block; padding: .6rem 1.15rem; min-height: 2.75rem; border: 2px solid var(--accent); border-radius: 999px;
  background: var(--accent); color: var(--on-accent); font: inherit; font-weight: 600; text-decoration: none; cursor: pointer;
}
button.quiet { background: transparent; color: var(--accent); }
.button:hover, button:hover { filter: brightness(1.07); }
:focus-visible { outline: 3px solid var(--ink); outline-offset: 2px; }
.welcome { max-width: 34rem; margin: 12vh auto; text-align: center; }
.welcome p { font-size: 1.1rem; margin: 1rem 0; }
.notice { margin: .75rem 0 1.25rem; padding: .6rem 1rem; border-radius: .9rem; border-left: .35rem solid; }
.notice p { margin: .15rem 0; }
.notice.good { background: var(--good-page); border-color: var(--good); }
.notice.bad { background: var(--bad-page); border-color: var(--bad); }
.notice.good strong { color: var(--good); }
.notice.bad strong { color: var(--bad); }
.facts { display: grid; grid-template-columns: repeat(auto-fit, minmax(min(13rem, 100%), 1fr)); gap: .5rem 1.5rem; margin: 0 0 1rem; }
dt { color: var(--muted); font-size: .875rem; }
dd { margin: 0; font-weight: 600; }
.photos {
  list-style: none; padding: 0; margin: 1.5rem 0;
  display: grid; grid-template-columns: repeat(auto-fill, minmax(min(17rem, 100%), 1fr)); gap: 1.1rem;
}
.photos li { background: var(--card); border: 1px solid var(--line); border-radius: 1rem; padding: .7rem; }
.photos img { display: block; width: 100%; height: auto; border-radius: .6rem; }
.photos li > div { justify-content: space-between; margin-top: .5rem; }
.photos p { margin: 0; line-height: 1.35; }
.access { background: var(--card); border: 1px solid var(--line); border-radius: 1rem; padding: 1.1rem 1.25rem; }
.access ul { list-style: none; padding: 0; margin: 0 0 .75rem; }
.access li { padding-left: 1.6rem; position: relative; }
.access li::before { position: absolute; left: 0; font-weight: 700; }
.yes::before { content: '✓'; color: var(--good); }
.no::before { content: '✕'; color: var(--bad); }
footer { margin: 2rem 0 1rem; color: var(--muted); font-size: .9rem; }
`
