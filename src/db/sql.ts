// Statements: values travel through the sql tag only, never as text.

/** A statement and its values, made by {@link sql}. */
export interface Query {
  readonly text: string
  readonly values: readonly unknown[]
  /** Set by {@link named}: Postgres then parses and plans the statement once a connection. */
  readonly name?: string
}

/** Builds a statement: every `${value}` becomes a parameter, never text, and a {@link Fragment} becomes a part of the statement. */
export function sql(strings: TemplateStringsArray, ...values: unknown[]): Query {
  const parameters: unknown[] = []
  return { text: textOf(strings, values, parameters), values: parameters }
}

/** A piece of a statement that several statements share: a list of columns, a condition. Its values become parameters, too. */
export function fragment(strings: TemplateStringsArray, ...values: unknown[]): Fragment {
  return new Fragment(strings, values)
}

/** See {@link fragment}. */
export class Fragment {
  readonly strings: readonly string[]
  readonly values: readonly unknown[]

  /** @param strings written in the code, one more than there are values; never text from outside */
  constructor(strings: readonly string[], values: readonly unknown[] = []) {
    this.strings = strings
    this.values = values
  }
}

function textOf(strings: readonly string[], values: readonly unknown[], parameters: unknown[]): string {
  const pieces = values.map((value, i) => {
    const placed =
      value instanceof Fragment
        ? textOf(value.strings, value.values, parameters)
        : `$${parameters.push(value)}`
    return placed + strings[i + 1]!
  })
  return strings[0]! + pieces.join('')
}

/** Gives a statement of the hot path a name, so that each connection prepares it once. */
export function named(name: string, query: Query): Query {
  return { ...query, name }
}
