// A bar chart of one number a day: the position of each bar, and a sentence that says the same to people who cannot see it. It is pure.

/** A bar chart of one number a day. */
export interface Chart {
  id: string
  heading: string
  /** What the chart shows, in a sentence. */
  description: string
  total: string
  /** The largest number. Its bar is as high as the chart. */
  most: string
  /** In a chart of {@link WIDTH} by {@link HEIGHT}. */
  bars: { x: number; y: number; width: number; height: number }[]
}

/** The size of the chart in its own units. The page scales it. */
export const WIDTH = 600
export const HEIGHT = 120

const GAP = 0.25
// A lower bar would be invisible.
const LOWEST = 2

/** Draws one number a day. @param days in their order */
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
