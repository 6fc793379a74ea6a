// What the name of a person, an app or an API may consist of. It knows no form and no table.

// Control characters and what turns, hides or imitates other text; what is left of bytes that were no text; heaps of marks
// on one letter. People decide by these names, and apps may put them into a page, a file or a message header.
const UNPRINTABLE =
  /[\p{Cc}\p{Cs}\p{Zl}\p{Zp}\ufffd\u115f\u1160\u2800\u3164\uffa0]|(?!\u200d)\p{Cf}|\p{M}{5}/u

/** Whether a name shows something, and all that it shows. */
export function isPlainName(name: string): boolean {
  return /[\p{L}\p{N}\p{P}\p{S}]/u.test(name) && !UNPRINTABLE.test(name)
}
