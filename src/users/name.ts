// What a person may be called, for every form that asks. It knows no table.
import { z } from 'zod'

// Control characters, the ones that turn text around, and what is left of bytes that were no text: apps are told this
// name, and may put it into a page, a file or a message header.
const UNPRINTABLE = /[\p{Cc}\p{Cs}\ufffd\u200e\u200f\u2028\u2029\u202a-\u202e\u2066-\u2069]/u

/** A name, trimmed; the messages are for the person who enters it. */
export const personName = z
  .string('Enter your name.')
  .trim()
  .min(1, 'Enter your name.')
  .max(200, 'Use at most 200 characters.')
  .refine((name) => !UNPRINTABLE.test(name), 'Use letters, digits and signs only: something else came along.')
