/**
 * What a process under test gets of the environment of the tests, to which each adds what it means: nothing that could
 * configure it. Where compiled sources are kept is for speed only.
 */
export const BARE: Record<string, string | undefined> = {
  PATH: process.env.PATH,
  NODE_COMPILE_CACHE: process.env.NODE_COMPILE_CACHE,
}
