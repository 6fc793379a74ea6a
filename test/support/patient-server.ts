// Preloaded (node --import) by a server under test, so that it does not give its database up on a machine that stalls for seconds. Tests
// of that behaviour start servers without it.
import { registerHooks } from 'node:module'

const SERVER = new URL('../../src/server.ts', import.meta.url).href
const LIMIT = 'const ANSWER_SECONDS = 3\n'

registerHooks({
  load(url, context, next) {
    const loaded = next(url, context)
    if (url !== SERVER) return loaded
    const source = String(loaded.source)
    if (!source.includes(LIMIT)) throw new Error(`${SERVER} has no ${LIMIT}`)
    return { ...loaded, source: source.replace(LIMIT, 'const ANSWER_SECONDS = 120\n') }
  },
})
