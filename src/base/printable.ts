// Which characters the name of a person, an app or an API may have. It knows no form and no table.

// Not allowed: control characters; characters that reverse, hide or imitate other text; the replacement character of bytes that
// were not text; several marks on one letter. People decide by these names, and apps may put them into a page, a file or a
// message header.
const UNPRINTABLE =
  /[\p{Cc}\p{Cs}\p{Zl}\p{Zp}\ufffd\u115f\u1160\u2800\u3164\uffa0]|(?!\u200d)\p{Cf}|\p{M}{5}/u

/** Whether a name has visible characters and no misleading ones. */
export function isPlainName(name: string): boolean {
  return /[\p{L}\p{N}\p{P}\p{S}]/u.test(name) && !UNPRINTABLE.test(name)
}
