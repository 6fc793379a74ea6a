// Preloaded (node --import) by a server under test: makes its clock wrong by CLOCK_OFF_SECONDS.
const offMs = Number(process.env.CLOCK_OFF_SECONDS) * 1000
const RightDate = Date

globalThis.Date = class extends RightDate {
  constructor(...given: unknown[]) {
    super(...((given.length === 0 ? [RightDate.now() + offMs] : given) as [number]))
  }

  static override now(): number {
    return RightDate.now() + offMs
  }
} as DateConstructor
