// How moments are said: near ones relative, far ones as a date.
import { describe, expect, test } from '@jest/globals'
import { when } from '../../src/http/time.ts'

const NOW = new Date('2026-11-22T14:05:30Z')

describe('when', () => {
  test.each([
    ['2026-11-22T14:05:30Z', 'just now'],
    ['2026-11-22T14:05:00Z', 'just now'],
    ['2026-11-22T14:04:40Z', '1 minute ago'],
    ['2026-11-22T14:01:00Z', '4 minutes ago'],
    ['2026-11-22T13:05:31Z', '59 minutes ago'],
    ['2026-11-22T13:05:30Z', '1 hour ago'],
    ['2026-11-21T15:00:00Z', '23 hours ago'],
    ['2026-11-21T14:00:00Z', 'yesterday'],
    ['2026-11-21T00:00:00Z', 'yesterday'],
    ['2026-11-20T23:59:00Z', '2 days ago'],
    ['2026-11-16T00:00:00Z', '6 days ago'],
    ['2026-11-15T23:59:00Z', '15 November 2026'],
    ['2026-05-03T09:00:00Z', '3 May 2026'],
  ])('%s is said as "%s"', (date, text) => {
    expect(when(new Date(date), NOW).text).toBe(text)
  })

  test.each([
    ['2026-11-22T14:06:00Z', 'just now'],
    ['2026-11-22T14:09:40Z', 'in 4 minutes'],
    ['2026-11-22T17:06:00Z', 'in 3 hours'],
    ['2026-11-23T15:00:00Z', 'tomorrow'],
    ['2026-11-28T15:00:00Z', 'in 6 days'],
    ['2027-05-09T00:00:00Z', '9 May 2027'],
  ])('%s, which is to come, is said as "%s"', (date, text) => {
    expect(when(new Date(date), NOW).text).toBe(text)
  })

  test('the exact moment comes along, for machines and for people, with its time zone', () => {
    const time = when(new Date('2026-05-03T09:07:30.250Z'), NOW)

    expect(time.iso).toBe('2026-05-03T09:07:30.250Z')
    expect(time.title).toBe('3 May 2026, 09:07 UTC')
  })

  test('without a second argument it is seen from the present moment', () => {
    expect(when(new Date(Date.now() - 5 * 60_000 - 500)).text).toBe('5 minutes ago')
  })
})
