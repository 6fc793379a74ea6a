// Pages that ask before something happens. They say what will happen, what will not, and what stays. views/confirm.pug shows them.

import type { Context } from 'koa'
import type { AppView } from '../../core/clients/presentation.ts'
import { type FormErrors, statusOf } from '../../http/form.ts'
import { type Notice, takeNotice } from '../../http/notice.ts'
import type { Render } from '../../http/render.ts'
import type { differenceView } from './labels.ts'

/** The content of such a page. */
export interface Confirmation {
  heading: string
  /** The app that it is about. */
  app?: AppView
  /** An account, an API's scope or a token that it is about. */
  subject?: { name: string; detail?: string }
  /** What the administrator vouches for by pressing the button. */
  facts?: Fact[]
  /** The change of an app to decide about. */
  differences?: ReturnType<typeof differenceView>
  will: string[]
  will_not?: string[]
  /** What stays as it is. A page that ends access says this in place of what will not happen. */
  stays?: string[]
  field?: ConfirmationField
  /** Hidden fields of the form. */
  hidden?: Record<string, string | undefined>
  confirm_label: string
  danger?: boolean
  cancel_href: string
}

/** A field to fill in before pressing the button, e.g. a reason or a name. */
export interface ConfirmationField {
  name: string
  label: string
  hint?: string
  kind: 'text' | 'area' | 'select'
  options?: { value: string; label: string }[]
  value?: string
}

/** A field of an app with its values. */
export interface Fact {
  label: string
  lines: string[]
}

/** Shows such a page. Its form goes to the page's own address. @param status by default 422 with errors, and 200 without */
export type Confirm = (ctx: Context, page: Confirmation, errors?: FormErrors, status?: number) => void

/** Makes the function that shows confirmation pages. @param layout developers' pages have that of the account */
export function confirmPages(render: Render, layout: 'account' | 'admin'): Confirm {
  return (ctx, page, errors = {}, status = statusOf(errors)) => {
    const { will_not = [], stays = [], danger = false } = page
    const locals = { ...page, will_not, stays, danger, done: takeNotice(ctx), action: ctx.path, errors }
    render(ctx, `${layout}/confirm`, locals, status)
  }
}

/** The notice after a step that somebody else may have taken before. */
export function outcome(changed: boolean, heading: string, lines: string[] = []): { notice: Notice } {
  return {
    notice: changed
      ? { heading, lines }
      : { heading: 'Nothing was changed: it stood like that already.', tone: 'warning' },
  }
}
