// Makes logos from uploaded pictures, within limits for each person.
import type { Pool } from '../../db/pool.ts'
import { throttle } from '../../http/throttle.ts'
import { logoMaker } from './image.ts'

const UPLOADS = 20
// The limits matter because each logo is kept for at least a week.
const UPLOAD_SECONDS = 60 * 60

/** Makes a logo of a picture that somebody sent. @param who counts against a limit. @throws InvalidMetadata, TooManyRequests */
export type MakeLogo = (picture: Buffer, who: string) => Promise<Buffer>

/** Make one of these for all surfaces of the process, because they share the limits. */
export function limitedLogos(db: Pool): MakeLogo {
  const make = logoMaker()
  const uploads = throttle(db, {
    name: 'logo',
    attempts: UPLOADS,
    seconds: UPLOAD_SECONDS,
    message: 'That were many pictures in a short time.',
  })
  return async (picture, who) => {
    await uploads.count(who)
    return make(picture)
  }
}
