// Statements: values travel through the sql tag only, never as text.

/** A statement and its values, made by {@link sql}. */
export interface Query {
  readonly text: string
  readonly values: readonly unknown[]
  /** Set by {@link named}: Postgres then parses and plans the statement once a connection. */
  readonly name?: string
}

/** Builds a statement; every `${value}` becomes a parameter, never text. A {@link Fragment} is put in as it stands. */
export function sql(strings: TemplateStringsArray, ...values: unknown[]): Query {
  const parameters: unknown[] = []
  let text = strings[0]!
  values.forEach((value, i) => {
    text += value instanceof Fragment ? value.text : `$${parameters.push(value)}`
    text += strings[i + 1]
  })
  return { text, values: parameters }
}

/** A piece of a statement that several share, a list of columns for instance. It is written in the code and holds no value. */
export function fragment(strings: TemplateStringsArray): Fragment {
  return new Fragment(strings[0]!)
}

/** See {@link fragment}. */
export class Fragment {
  readonly text: string

  constructor(text: string) {
    this.text = text
  }
}

/** Gives a statement of the hot path a name, so that each connection prepares it once. */
export function named(name: string, query: Query): Query {
  return { ...query, name }
}
