// Pages that ask before something happens: what will happen, what will not, what stays, and the button. views/confirm.pug shows them.
import type { Context } from 'koa'
import type { AppView } from '../../core/clients/presentation.ts'
import { type Notice, takeNotice } from '../../http/notice.ts'
import type { Render } from '../../http/render.ts'
import type { differenceView } from './labels.ts'

/** What such a page says. */
export interface Confirmation {
  heading: string
  /** The app that it is about. */
  app?: AppView
  /** Whatever else it is about. */
  subject?: { name: string; detail?: string }
  /** What an administrator vouches for with the button. */
  facts?: Fact[]
  /** The change that is decided about. */
  differences?: ReturnType<typeof differenceView>
  will: string[]
  will_not?: string[]
  /** What stays as it is, where it would be wrong to say that it will not happen. */
  stays?: string[]
  field?: ConfirmationField
  /** What the form carries besides. */
  hidden?: Record<string, string | undefined>
  confirm_label: string
  danger?: boolean
  cancel_href: string
}

/** What has to be typed or chosen before the button is pressed: a reason, a name. */
export interface ConfirmationField {
  name: string
  label: string
  hint?: string
  kind: 'text' | 'area' | 'select'
  options?: { value: string; label: string }[]
  value?: string
}

/** Something known of an app, line by line. */
export interface Fact {
  label: string
  lines: string[]
}

/** What is wrong with a form: `form` is about all of it, the others about the field of that name. */
export type FormErrors = Record<string, string>

/** Shows such a page; its form is sent to its own address. @param status 422 with errors and 200 without, by default */
export type Confirm = (ctx: Context, page: Confirmation, errors?: FormErrors, status?: number) => void

/** Makes the function that shows confirmation pages. @param layout developers' pages have that of the account */
export function confirmPages(render: Render, layout: 'account' | 'admin'): Confirm {
  return (ctx, page, errors = {}, status = Object.keys(errors).length > 0 ? 422 : 200) => {
    const { will_not = [], stays = [], danger = false } = page
    const locals = { ...page, will_not, stays, danger, done: takeNotice(ctx), action: ctx.path, errors }
    render(ctx, `${layout}/confirm`, locals, status)
  }
}

/** What to say after a step that somebody else may have taken before. */
export function outcome(changed: boolean, heading: string, lines: string[] = []): { notice: Notice } {
  return {
    notice: changed
      ? { heading, lines }
      : { heading: 'Nothing was changed: it stood like that already.', tone: 'warning' },
  }
}
