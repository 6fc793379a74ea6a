// What the logo pages of developers and administrators share: storing a picture, removing it, or saying what is wrong with it.
import type { Context } from 'koa'
import type { Actor } from '../../base/audit-events.ts'
import { InvalidMetadata } from '../../core/clients/metadata.ts'
import { appView } from '../../core/clients/presentation.ts'
import type { Client } from '../../core/clients/store.ts'
import { setLogo } from '../../core/logos/store.ts'
import type { MakeLogo } from '../../core/logos/upload.ts'
import type { Db, Pool } from '../../db/pool.ts'
import { NotFound } from '../../http/errors.ts'
import { type Notice, seeOther } from '../../http/notice.ts'
import { uploadedFile } from '../../http/upload.ts'

/** Changes the logo of an app; '' removes it. @returns whether the change waits for a decision; undefined without such an app */
export type ChangeLogo = (db: Db, logo_uri: string) => Promise<{ waits: boolean } | undefined>

/** Passes what the form holds to the store. @returns what is wrong with the picture; undefined after it has answered */
export type LogoForm = (
  ctx: Context,
  app: Client,
  form: { back: string; by: Actor; change: ChangeLogo },
) => Promise<string | undefined>

/** Makes the function that all logo pages share. */
export function logoForm(parts: { db: Pool; issuer: string; makeLogo: MakeLogo }): LogoForm {
  const { db, issuer, makeLogo } = parts
  return async (ctx, app, { back, by, change }) => {
    const isRemoval = (ctx.request.body as { remove?: unknown }).remove !== undefined
    try {
      let changed: { waits: boolean } | undefined
      if (isRemoval) changed = await change(db, '')
      else {
        const png = await makeLogo(uploadedFile(ctx, 'logo'), by.id ?? ctx.ip)
        changed = await setLogo(db, { png, issuer }, change)
      }
      if (!changed) throw new NotFound('There is no such app.')
      seeOther(ctx, back, changed.waits ? waiting(app) : isRemoval ? removed(app) : replaced(app))
      return undefined
    } catch (error) {
      if (!(error instanceof InvalidMetadata)) throw error
      return `This picture cannot be used: ${error.problem}.`
    }
  }
}

const replaced = ({ name }: Client): Notice => ({ heading: `${name} has a new logo.` })
const removed = ({ name }: Client): Notice => ({
  heading: `${name} has no logo any more.`,
  lines: ['Its initial is shown.'],
})
const waiting = ({ name }: Client): Notice => ({
  heading: 'The change of the logo waits for approval.',
  lines: [`${name} goes on as it is until an administrator has decided.`],
})

/** What the form shows of an app. */
export function logoView(app: Client) {
  // The registered logo, whether people see it already or not.
  return { app: { ...appView(app), logo_uri: app.logo_uri ?? undefined }, has_logo: app.logo_uri !== null }
}
