// Doing many things, a few at a time.

/** Runs `work` for each item, at most `most` at once. */
export async function atATime<T>(
  most: number,
  items: T[],
  work: (item: T, i: number) => Promise<void>,
): Promise<void> {
  const waiting = items.entries()
  const lane = async (): Promise<void> => {
    for (const [i, item] of waiting) await work(item, i)
  }
  await Promise.all(Array.from({ length: most }, lane))
}
