// Which names people may have, for every form. It knows no table.
import { z } from 'zod'
import { isPlainName } from '../../base/printable.ts'

/** A name, trimmed; the messages are for the person who enters it. */
export const personName = z
  .string('Enter your name.')
  .trim()
  .min(1, 'Enter your name.')
  .max(200, 'Use at most 200 characters.')
  .refine(isPlainName, 'Use letters, digits and signs only: something else came along.')
