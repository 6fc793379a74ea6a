// Moments in words for pages: relative when near, a date when far. It must not know which page.

/** A moment in words; the mixin `+time` in views/mixins.pug shows it. */
export interface Time {
  /** For machines: `2026-05-03T14:05:00.000Z`. */
  iso: string
  /** What is read: `4 minutes ago`, `yesterday`, `3 May 2026`. */
  text: string
  /** The exact moment: `3 May 2026, 14:05 UTC`. */
  title: string
}

const SECOND = 1000
const MINUTE = 60 * SECOND
const HOUR = 60 * MINUTE
const DAY = 24 * HOUR

// Without a script the time zone of the reader is unknown, so dates are in UTC, and the title says so.
const day = new Intl.DateTimeFormat('en-GB', {
  day: 'numeric',
  month: 'long',
  year: 'numeric',
  timeZone: 'UTC',
})
const clock = new Intl.DateTimeFormat('en-GB', { hour: '2-digit', minute: '2-digit', timeZone: 'UTC' })
const relative = new Intl.RelativeTimeFormat('en', { numeric: 'auto' })

/** Describes `date`, past or future, as seen from `now`. @returns undefined without a date */
export function when(date: Date, now?: Date): Time
export function when(date: Date | null | undefined, now?: Date): Time | undefined
export function when(date: Date | null | undefined, now = new Date(Date.now())): Time | undefined {
  if (!date) return undefined
  return {
    iso: date.toISOString(),
    text: words(date, now),
    title: `${day.format(date)}, ${clock.format(date)} UTC`,
  }
}

function words(date: Date, now: Date): string {
  const distance = date.getTime() - now.getTime()
  if (Math.abs(distance) < 45 * SECOND) return 'just now'
  if (Math.abs(distance) < HOUR) return relative.format(whole(distance, MINUTE), 'minute')
  if (Math.abs(distance) < DAY) return relative.format(whole(distance, HOUR), 'hour')
  const days = dayNumber(date) - dayNumber(now)
  return Math.abs(days) < 7 ? relative.format(days, 'day') : day.format(date)
}

/** Whole units, rounded toward zero, but at least one: 50 seconds are a minute. */
function whole(distance: number, unit: number): number {
  return Math.sign(distance) * Math.max(1, Math.floor(Math.abs(distance) / unit))
}

/** The day of the calendar: "yesterday" is the day before today, not 24 to 48 hours ago. */
function dayNumber(date: Date): number {
  return Math.floor(date.getTime() / DAY)
}
