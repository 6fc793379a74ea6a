// Where Node.js keeps compiled code: beside the packages, which nobody else can write, and which an update replaces.
import { enableCompileCache } from 'node:module'
import { join } from 'node:path'

/** Has Node.js keep what it compiles from now on; NODE_COMPILE_CACHE says where, if it is set. Where it cannot write, it keeps nothing. */
export function keepCompiled(): void {
  enableCompileCache(join(import.meta.dirname, '../node_modules/.cache/compiled'))
}
