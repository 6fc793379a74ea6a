// A list in a test that has to grow with the sources: whoever adds to these reads in the failure what to do.
import { expect } from '@jest/globals'

/** Fails if something is missing from a list, with what and with the advice. */
export function expectNone(missing: readonly string[], advice: string): void {
  expect({ [advice]: missing }).toEqual({ [advice]: [] })
}
