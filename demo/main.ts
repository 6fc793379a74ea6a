// `npm run demo`: the main job to try in a browser. `npm run demo -- --walk`: the same without one.
import { parseArgs } from 'node:util'
import { explain } from '../src/server.ts'
import { freePort, isFree, PortInUse } from './listen.ts'
import { PEOPLE } from './seed.ts'
import { type Demo, PORTS, type Ports, startDemo } from './start.ts'
import type { Call } from './trace.ts'
import { Unexpected, walk } from './walk.ts'

const USAGE = `npm run demo [-- OPTIONS]

  --walk           go through the demo without a browser, showing every HTTP step, and end
  --port PORT      port of Valetkey (${PORTS.valetkey})
  --app-port PORT  port of Photo Printer, the sample app (${PORTS.app})
  --api-port PORT  port of the photos API (${PORTS.api})
`

class BadOption extends Error {
  override name = 'BadOption'
}

/** What a person can do something about: said in a line, without a stack. */
const EXPECTED = [BadOption, PortInUse, Unexpected]

process.exitCode = await main(process.argv.slice(2))

async function main(args: string[]): Promise<number> {
  try {
    const options = optionsOf(args)
    if (options.help) console.log(USAGE)
    else if (options.walk) await goThrough({ ...(await freeDefaults()), ...options.ports })
    else await run({ ...PORTS, ...options.ports })
    return 0
  } catch (error) {
    if (!EXPECTED.some((kind) => error instanceof kind)) return explain(error)
    console.error((error as Error).message)
    return 1
  }
}

/** Runs until the person ends it. */
async function run(ports: Ports): Promise<void> {
  // Before the start: Ctrl-C during it must not leave a database behind.
  const ended = endSignal()
  const demo = await startDemo(ports)
  try {
    console.log(invitation(demo))
    await ended
    console.log('Stopping …')
  } finally {
    await demo.stop()
  }
}

async function goThrough(ports: Ports): Promise<void> {
  const calls: Call[] = []
  const demo = await startDemo(ports, (call) => calls.push(call))
  try {
    await walk(demo, calls, console.log)
  } finally {
    await demo.stop()
  }
}

function invitation({ app, slideshow, valetkey, brand }: Demo): string {
  const { person, administrator } = PEOPLE
  return `
${brand} is running, with two apps that are not part of it. All of it is on this machine and is thrown away at the end.

  1. Open Photo Printer    ${app}
     and sign in as        ${person.email}   password: ${person.password}
  2. Allow it, and look at your photos. Then take the access back:
                           ${valetkey}/account/apps
  3. Press “Reload photos” in Photo Printer: its access is over.

  A second app             ${slideshow}   (Slideshow TV)
  An administrator         ${administrator.email}   password: ${administrator.password}

Ctrl-C stops everything.`
}

/** Resolves at the first signal to end; later ones change nothing, the stop is under way. */
function endSignal(): Promise<void> {
  return new Promise((resolve) => {
    for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) process.on(signal, () => resolve())
  })
}

function optionsOf(args: string[]) {
  const string = { type: 'string' } as const
  const boolean = { type: 'boolean' } as const
  const options = { walk: boolean, help: boolean, port: string, 'app-port': string, 'api-port': string }
  const { values } = parse(() => parseArgs({ args, options }))
  const ports: Partial<Ports> = {}
  if (values.port) ports.valetkey = portOf('--port', values.port)
  if (values['app-port']) ports.app = portOf('--app-port', values['app-port'])
  if (values['api-port']) ports.api = portOf('--api-port', values['api-port'])
  return { walk: values.walk, help: values.help, ports }
}

function parse<Result>(work: () => Result): Result {
  try {
    return work()
  } catch (error) {
    throw new BadOption(`${(error as Error).message}\n\n${USAGE}`)
  }
}

function portOf(option: string, value: string): number {
  const port = Number(value)
  if (Number.isInteger(port) && port > 0 && port < 65_536) return port
  throw new BadOption(`${option} must be a port, e.g. ${option} 3100`)
}

/** The default ports; one that somebody else has is replaced, as nobody needs to open it. */
async function freeDefaults(): Promise<Ports> {
  const choose = async (port: number) => ((await isFree(port)) ? port : freePort())
  return {
    valetkey: await choose(PORTS.valetkey),
    app: await choose(PORTS.app),
    api: await choose(PORTS.api),
  }
}
