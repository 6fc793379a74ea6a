// The difference of two texts, character by character, so that a person sees at once what is wrong with an address. Pure.

/** A stretch of a text. */
export interface Piece {
  text: string
  /** Whether the other text differs there. */
  differs: boolean
}

// The most characters to compare between the common beginning and end; longer stretches count as different as a whole.
const MOST_CELLS = 10_000
const SHORTEST = 3

/** The candidate whose beginning and end have most in common with `text`. */
export function nearest(candidates: readonly string[], text: string): string | undefined {
  const common = (candidate: string): number => {
    const begin = commonBegin(candidate, text)
    return begin + commonEnd(candidate, text, begin)
  }
  // If two have as much in common, take the one whose length is more similar.
  const score = (candidate: string): number =>
    common(candidate) * 2 - Math.abs(candidate.length - text.length)
  return [...candidates].sort((a, b) => score(b) - score(a))[0]
}

/** The candidate that `text` may be a misspelling of: three quarters of both are the same. */
export function similar(candidates: readonly string[], text: string): string | undefined {
  const candidate = nearest(candidates, text)
  if (candidate === undefined || candidate.length * text.length > MOST_CELLS) return undefined
  const { size } = longestCommon([...candidate], [...text]).a
  return 2 * size >= 0.75 * (candidate.length + text.length) ? candidate : undefined
}

/** Both texts in pieces: those that the other one has, too, and those that it does not have. */
export function difference(expected: string, received: string): { expected: Piece[]; received: Piece[] } {
  const [a, b] = [[...expected], [...received]]
  const begin = commonBegin(a, b)
  const end = commonEnd(a, b, begin)
  const [left, right] = [a.slice(begin, a.length - end), b.slice(begin, b.length - end)]
  const same = left.length * right.length <= MOST_CELLS ? longestCommon(left, right) : NOTHING
  const pieces = (text: string[], middle: number, kept: Set<number>): Piece[] =>
    joined(
      withoutSpecks(
        text.map((char, i) => ({
          text: char,
          differs: !(i < begin || i >= begin + middle || kept.has(i - begin)),
        })),
      ),
    )
  return { expected: pieces(a, left.length, same.a), received: pieces(b, right.length, same.b) }
}

const NOTHING = { a: new Set<number>(), b: new Set<number>() }

type Text = ArrayLike<string>

function commonBegin(a: Text, b: Text): number {
  let i = 0
  while (i < a.length && i < b.length && a[i] === b[i]) i++
  return i
}

function commonEnd(a: Text, b: Text, begin: number): number {
  const most = Math.min(a.length, b.length) - begin
  let i = 0
  while (i < most && a[a.length - 1 - i] === b[b.length - 1 - i]) i++
  return i
}

// The characters of both that belong to their longest common subsequence.
function longestCommon(a: string[], b: string[]): { a: Set<number>; b: Set<number> } {
  const rows = Array.from({ length: a.length + 1 }, () => new Uint16Array(b.length + 1))
  for (let i = a.length - 1; i >= 0; i--) {
    for (let j = b.length - 1; j >= 0; j--) {
      rows[i]![j] = a[i] === b[j] ? rows[i + 1]![j + 1]! + 1 : Math.max(rows[i + 1]![j]!, rows[i]![j + 1]!)
    }
  }
  const same = { a: new Set<number>(), b: new Set<number>() }
  let [i, j] = [0, 0]
  while (i < a.length && j < b.length) {
    if (a[i] === b[j]) {
      same.a.add(i++)
      same.b.add(j++)
    } else if (rows[i + 1]![j]! >= rows[i]![j + 1]!) i++
    else j++
  }
  return same
}

function joined(parts: Piece[]): Piece[] {
  const pieces: Piece[] = []
  for (const part of parts) {
    const last = pieces.at(-1)
    if (last?.differs === part.differs) last.text += part.text
    else pieces.push({ ...part })
  }
  return pieces
}

// Single letters that two words share by chance do not make them similar.
function withoutSpecks(parts: Piece[]): Piece[] {
  const pieces = joined(parts)
  return pieces.map((piece, i) => {
    const isInside = i > 0 && i < pieces.length - 1
    return isInside && piece.text.length < SHORTEST ? { ...piece, differs: true } : piece
  })
}
