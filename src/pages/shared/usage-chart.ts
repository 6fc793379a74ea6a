// Numbers of days as bars: where each bar stands, and the same in words for whoever does not see it. Pure.

/** A picture of one number a day. */
export interface Chart {
  id: string
  heading: string
  /** What the picture shows, in a sentence. */
  description: string
  total: string
  /** The largest number, which is as high as the picture. */
  most: string
  /** In a picture of {@link WIDTH} by {@link HEIGHT}. */
  bars: { x: number; y: number; width: number; height: number }[]
}

/** The size of the picture in its own units; the page stretches it. */
export const WIDTH = 600
export const HEIGHT = 120

const GAP = 0.25
// Less could not be seen.
const LOWEST = 2

/** Draws one number a day. @param days in order. */
export function chartOf(id: string, heading: string, days: { day: string; count: number }[]): Chart {
  const most = Math.max(0, ...days.map(({ count }) => count))
  const total = days.reduce((sum, { count }) => sum + count, 0)
  const step = WIDTH / days.length
  const peak = days.findLast(({ count }) => count === most)
  const bars = days.map(({ count }, i) => {
    const height = count === 0 ? 0 : Math.max(LOWEST, (count / most) * HEIGHT)
    return {
      x: round(i * step),
      y: round(HEIGHT - height),
      width: round(step * (1 - GAP)),
      height: round(height),
    }
  })
  const description =
    total === 0 || !peak
      ? `None in ${days.length} days.`
      : `${number(total)} in ${days.length} days; most on ${dayInWords(peak.day)}: ${number(most)}.`
  return {
    id,
    heading,
    description,
    total: number(total),
    most: number(most),
    bars: bars.filter((bar) => bar.height > 0),
  }
}

/** `3 May` of `2026-05-03`. */
export function dayInWords(day: string): string {
  return DAY.format(new Date(`${day}T00:00:00Z`))
}

const DAY = new Intl.DateTimeFormat('en-GB', { day: 'numeric', month: 'short', timeZone: 'UTC' })

function number(count: number): string {
  return count.toLocaleString('en')
}

function round(value: number): number {
  return Math.round(value * 100) / 100
}
