// Reads the forms of a page as a browser does, as far as the walk needs it: where a form goes, and what it would
// send if nobody typed anything. It knows no page of ours.
import { unescapeHtml } from './html.ts'

/** A form, filled in as the page came. */
export interface Form {
  action: URL
  method: string
  /** Names and values that would be sent: hidden fields, given values, ticked boxes, chosen options. */
  fields: URLSearchParams
  /** Boxes that are not ticked. */
  unticked: { name: string; value: string }[]
  buttons: Button[]
}

/** A button that sends a form. */
interface Button {
  text: string
  name?: string
  value: string
}

/** The forms of a page, top to bottom. @param base the page's own address. */
export function formsOf(page: string, base: URL): Form[] {
  return [...page.matchAll(/<form\b([^>]*)>(.*?)<\/form>/gis)].map(([, tag, inside]) => {
    const attributes = attributesOf(tag!)
    const form: Form = {
      action: new URL(attributes.get('action') ?? '', base),
      method: (attributes.get('method') ?? 'get').toUpperCase(),
      fields: new URLSearchParams(),
      unticked: [],
      buttons: [],
    }
    for (const control of inside!.matchAll(CONTROL)) add(form, control)
    return form
  })
}

/** What a person reads: text without tags, white space as one blank. */
export function textOf(page: string): string {
  const visible = page.replace(/<(head|script|style|title)\b.*?<\/\1>/gis, ' ').replace(/<[^>]*>/g, ' ')
  return unescapeHtml(visible).replace(/\s+/g, ' ').trim()
}

/** The links of a page with their texts. */
export function linksOf(page: string, base: URL): { url: URL; text: string }[] {
  return [...page.matchAll(/<a\b([^>]*)>(.*?)<\/a>/gis)].flatMap(([, tag, inside]) => {
    const url = URL.parse(attributesOf(tag!).get('href') ?? '', base.href)
    return url ? [{ url, text: textOf(inside!) }] : []
  })
}

const CONTROL = /<(input)\b([^>]*)>|<(button|select|textarea)\b([^>]*)>(.*?)<\/\3>/gis

function add(form: Form, [, input, inputTag, element, elementTag, inside]: RegExpMatchArray): void {
  const kind = (input ?? element)!.toLowerCase()
  const attributes = attributesOf((inputTag ?? elementTag)!)
  const name = attributes.get('name')
  const type = (attributes.get('type') ?? 'text').toLowerCase()
  const value = attributes.get('value') ?? ''
  // A control that names another form belongs to that one.
  if (attributes.has('disabled') || attributes.has('form')) return
  if (kind === 'button') {
    form.buttons.push({ text: textOf(inside!), name, value })
  } else if (!name) {
    return
  } else if (kind === 'select') {
    form.fields.append(name, chosen(inside!))
  } else if (kind === 'textarea') {
    form.fields.append(name, unescapeHtml(inside!))
  } else if (type === 'checkbox' || type === 'radio') {
    const box = { name, value: attributes.get('value') ?? 'on' }
    if (attributes.has('checked')) form.fields.append(box.name, box.value)
    else form.unticked.push(box)
  } else if (type === 'submit') {
    form.buttons.push({ text: value, name, value })
  } else {
    form.fields.append(name, value)
  }
}

function chosen(options: string): string {
  const all = [...options.matchAll(/<option\b([^>]*)>([^<]*)/gi)].map(([, tag, text]) => {
    const attributes = attributesOf(tag!)
    return { value: attributes.get('value') ?? textOf(text!), selected: attributes.has('selected') }
  })
  return (all.find(({ selected }) => selected) ?? all[0])?.value ?? ''
}

function attributesOf(tag: string): Map<string, string> {
  const pairs = tag.matchAll(/([^\s=/"'>]+)(?:\s*=\s*(?:"([^"]*)"|'([^']*)'|([^\s"'>]+)))?/g)
  return new Map(
    [...pairs].map(([, name, double, single, bare]) => {
      return [name!.toLowerCase(), unescapeHtml(double ?? single ?? bare ?? '')]
    }),
  )
}
