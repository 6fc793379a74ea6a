// Which characters the name of a person, an app or an API may have: one rule for every surface. It knows no form and no table.

// Not allowed: control characters; characters that reverse, hide or imitate other text; the replacement character of bytes that
// were not text; several marks on one letter. People decide by these names, and apps may put them into a page, a file or a
// message header.
const UNPRINTABLE = /[\p{Cc}\p{Cf}\p{Cs}\p{Zl}\p{Zp}\ufffd\u115f\u1160\u2800\u3164\uffa0]|\p{M}{5}/u

// Flags and families are made of characters that are invisible by themselves: the sequences that Unicode recommends (UTS #51), and no others.
const EMOJI = /\p{RGI_Emoji}/gv

// Where a joiner changes how its neighbours look (UAX #31, section 2.3): between two letters of a script that joins, as in Persian; and
// after a virama, as in Hindi.
const NON_JOINER =
  /(?<=[\p{scx=Arab}\p{scx=Syrc}\p{scx=Mong}\p{scx=Nkoo}\p{scx=Adlm}]\p{M}{0,4})\u200c(?=[\p{scx=Arab}\p{scx=Syrc}\p{scx=Mong}\p{scx=Nkoo}\p{scx=Adlm}])/gu
const AFTER_VIRAMA =
  /(?<=\p{L}\p{M}{0,3}[\u094d\u09cd\u0a4d\u0acd\u0b4d\u0bcd\u0c4d\u0ccd\u0d4d\u0dca\u1039\u17d2\u1b44\ua9c0])[\u200c\u200d]/gu

/** Whether a name has visible characters and no misleading ones. */
export function isPlainName(name: string): boolean {
  const seen = name.replace(EMOJI, '★').replace(NON_JOINER, '').replace(AFTER_VIRAMA, '')
  return /[\p{L}\p{N}\p{P}\p{S}]/u.test(seen) && !UNPRINTABLE.test(seen)
}
