// Decodes uploaded pictures within limits and makes logos of them. It knows no app and no storage.
import sharp from 'sharp'
import { HttpError } from '../../http/errors.ts'
import { InvalidMetadata } from '../clients/metadata.ts'

/** The most bytes of an uploaded picture. */
export const MOST_BYTES = 1024 * 1024

/** A logo's width and height. */
const SIDE = 256
const MOST_SIDE = 4096
const SECONDS = 5
const AT_ONCE = 2
const MOST_WAITING = 8

// libvips can read many more formats than those of the web: allow only these.
sharp.block({ operation: ['VipsForeignLoad'] })
sharp.unblock({
  operation: [
    'VipsForeignLoadPngBuffer',
    'VipsForeignLoadJpegBuffer',
    'VipsForeignLoadWebpBuffer',
    'VipsForeignLoadNsgifBuffer',
  ],
})
sharp.cache(false)
sharp.concurrency(1)

/** Makes pictures into logos, two at a time in this process. */
export function logoMaker(): (picture: Buffer) => Promise<Buffer> {
  const waiting: (() => void)[] = []
  let running = 0
  return async (picture) => {
    checkKind(picture)
    if (running >= AT_ONCE) {
      if (waiting.length >= MOST_WAITING) {
        throw new HttpError(503, 'busy', 'Many pictures are coming in at this moment. Please try again.')
      }
      // Hand the place on to the next one that waits.
      await new Promise<void>((resolve) => waiting.push(resolve))
    } else running += 1
    try {
      return await squarePng(picture)
    } finally {
      const next = waiting.shift()
      if (next) next()
      else running -= 1
    }
  }
}

const RIGHT = 'choose a PNG, JPEG, WebP or GIF picture of at most 1 MB'

function checkKind(picture: Buffer): void {
  if (picture.length === 0) throw new InvalidMetadata('logo', `no picture was chosen; ${RIGHT}`)
  if (picture.length > MOST_BYTES) throw new InvalidMetadata('logo', `it has more than 1 MB; ${RIGHT}`)
  if (kindOf(picture)) return
  const start = picture.subarray(0, 1024).toString('latin1').toLowerCase()
  if (start.includes('<svg') || start.trimStart().startsWith('<?xml')) {
    throw new InvalidMetadata('logo', `SVG is not taken, because it can hold programs; ${RIGHT}`)
  }
  throw new InvalidMetadata('logo', `it is not a picture of a kind that is taken; ${RIGHT}`)
}

// Detect the format by the first bytes, because the name and the content type can say anything.
function kindOf(picture: Buffer): 'png' | 'jpeg' | 'webp' | 'gif' | undefined {
  const start = picture.subarray(0, 12).toString('latin1')
  if (start.startsWith('\x89PNG\r\n\x1a\n')) return 'png'
  if (start.startsWith('\xff\xd8\xff')) return 'jpeg'
  if (/^RIFF[\s\S]{4}WEBP$/.test(start)) return 'webp'
  if (/^GIF8[79]a/.test(start)) return 'gif'
  return undefined
}

/** A new square PNG with the pixels only, and nothing else of the uploaded file. */
async function squarePng(picture: Buffer): Promise<Buffer> {
  const options = { failOn: 'warning', limitInputPixels: MOST_SIDE * MOST_SIDE, pages: 1 } as const
  const size = await sharp(picture, { ...options, limitInputPixels: false })
    .metadata()
    .catch(() => undefined)
  if (size && size.width * size.height > MOST_SIDE * MOST_SIDE) {
    const [width, height, most] = [size.width, size.height, MOST_SIDE].map((each) =>
      each.toLocaleString('en'),
    )
    throw new InvalidMetadata(
      'logo',
      `it has ${width} × ${height} pixels, and ${most} × ${most} is the most; ${SIDE} × ${SIDE} is enough`,
    )
  }
  try {
    return await sharp(picture, options)
      .autoOrient()
      .resize(SIDE, SIDE, { fit: 'contain', background: { r: 0, g: 0, b: 0, alpha: 0 } })
      .toColourspace('srgb')
      .png({ compressionLevel: 9 })
      .timeout({ seconds: SECONDS })
      .toBuffer()
  } catch (cause) {
    throw Object.assign(new InvalidMetadata('logo', `it is damaged, or cut off; ${RIGHT}`), { cause })
  }
}
