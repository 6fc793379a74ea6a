/**
 * The variables of the tests' environment that a process under test gets; each test adds its own. None of them configures the server.
 * The one for compiled sources only makes it start faster.
 */
export const BARE: Record<string, string | undefined> = {
  PATH: process.env.PATH,
  NODE_COMPILE_CACHE: process.env.NODE_COMPILE_CACHE,
}
