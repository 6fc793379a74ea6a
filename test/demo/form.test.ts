// The walk's reading of pages: what a browser would send if nobody typed anything.
import { expect, test } from '@jest/globals'
import { formsOf, linksOf, textOf } from '../../demo/form.ts'
import { html } from '../../demo/html.ts'

const BASE = new URL('http://localhost:3000/interaction/abc')

test('a form sends hidden fields, ticked boxes and chosen options, and nothing that is disabled', () => {
  const page = `<form method="post" action="/allow?a=1&amp;b=2">
    <input type="hidden" name="csrf" value="a&quot;b">
    <input type="checkbox" checked disabled name="fixed">
    <input type="checkbox" name="scope" value="photos.read" checked>
    <input type="checkbox" name="scope" value="prints.order">
    <select name="keep"><option value="">Always</option><option value="30" selected>30 days</option></select>
    <button form="abort">Don’t allow</button><button type="submit" name="how" value="now">Allow</button>
  </form>`

  const [form] = formsOf(page, BASE)

  expect(form!.action.href).toBe('http://localhost:3000/allow?a=1&b=2')
  expect([...form!.fields]).toEqual([
    ['csrf', 'a"b'],
    ['scope', 'photos.read'],
    ['keep', '30'],
  ])
  expect(form!.buttons).toEqual([{ text: 'Allow', name: 'how', value: 'now' }])
})

test('a form without an action goes back to its own page', () => {
  const [form] = formsOf('<form method=post><button>Go</button></form>', BASE)

  expect(form!.action.href).toBe(BASE.href)
  expect(form!.method).toBe('POST')
})

test('links and text are read as a person sees them', () => {
  const page =
    '<title>T</title><p>You &amp; <b>me</b></p><a class="x" href="../account/apps">Your <i>apps</i></a>'

  expect(textOf(page)).toBe('You & me Your apps')
  expect(linksOf(page, BASE)).toEqual([
    { url: new URL('http://localhost:3000/account/apps'), text: 'Your apps' },
  ])
})

test('what a page is given never becomes markup', () => {
  const name = `<img src=x onerror="alert('1')">`

  expect(html`<p title="${name}">${name}</p>`.text).toBe(
    '<p title="&lt;img src=x onerror=&quot;alert(&#39;1&#39;)&quot;&gt;">' +
      '&lt;img src=x onerror=&quot;alert(&#39;1&#39;)&quot;&gt;</p>',
  )
})
