// What the pages of a logo share, whoever looks after the app: a picture is taken or removed, or it is said what is wrong.
import type { Context } from 'koa'
import type { Actor } from '../audit/events.ts'
import type { Pool } from '../db/pool.ts'
import { NotFound } from '../web/errors.ts'
import { type Notice, seeOther } from '../web/notice.ts'
import { throttle } from '../web/throttle.ts'
import { uploadedFile } from '../web/upload.ts'
import { logoMaker } from './logo-image.ts'
import { removeLogo, setLogo } from './logos.ts'
import { InvalidMetadata } from './metadata.ts'
import type { Client } from './store.ts'
import { appView } from './view.ts'

const UPLOADS = 20
const UPLOAD_SECONDS = 10 * 60

/** Sends what a logo's form holds to the store. @returns what is wrong with the picture; undefined: answered. */
export type LogoForm = (ctx: Context, app: Client, back: string, by: Actor) => Promise<string | undefined>

/** One for all pages of this process: they share the limits. */
export function logoForm({ db, issuer }: { db: Pool; issuer: string }): LogoForm {
  const make = logoMaker()
  const uploads = throttle(db, {
    name: 'logo',
    attempts: UPLOADS,
    seconds: UPLOAD_SECONDS,
    message: 'That were many pictures in a short time.',
  })
  return async (ctx, app, back, by) => {
    if ((ctx.request.body as { remove?: unknown }).remove !== undefined) {
      if (!(await removeLogo(db, app.id, by))) throw new NotFound('There is no such app.')
      seeOther(ctx, back, { heading: `${app.name} has no logo any more.`, lines: ['Its initial is shown.'] })
      return undefined
    }
    await uploads.count(by.id ?? ctx.ip)
    try {
      const png = await make(uploadedFile(ctx, 'logo'))
      if (!(await setLogo(db, app.id, { png, issuer }, by))) throw new NotFound('There is no such app.')
    } catch (error) {
      if (!(error instanceof InvalidMetadata)) throw error
      return `This picture cannot be used: ${error.problem}.`
    }
    const notice: Notice = { heading: `${app.name} has a new logo.` }
    seeOther(ctx, back, notice)
    return undefined
  }
}

/** What the view of the form shows of an app. */
export function logoView(app: Client) {
  // As it is registered, whether people are shown it already or not.
  return { app: { ...appView(app), logo_uri: app.logo_uri ?? undefined }, has_logo: app.logo_uri !== null }
}
