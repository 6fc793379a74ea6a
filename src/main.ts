// The server as a process. Node.js keeps what it has compiled for the next start, which a node under load needs most.
import { flushCompileCache } from 'node:module'
import { keepCompiled } from './compiled.ts'

keepCompiled()
const { runProcess } = await import('./server.ts')
// Now, and not at the end of the process, which may be a kill.
flushCompileCache()
process.exit(await runProcess())
