// The programs of the quick start, run as they are shown: taken out of the served page, written to a folder, started as
// processes of their own, with a person who follows the printed address through the real pages.
import { execFile, type SpawnOptions, spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdtemp, rm, symlink, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { promisify } from 'node:util'
import { afterAll, beforeAll, describe, expect, test } from '@jest/globals'
import { unescapeHtml } from '../../../demo/html.ts'
import type { ClientInput } from '../../../src/core/clients/fields.ts'
import { run, sql } from '../../../src/db/pool.ts'
import { snippetRedirect, snippetsFor } from '../../../src/pages/developer/snippets.ts'
import {
  type Api,
  type App,
  type Person,
  type ServerFixture,
  startServerFixture,
} from '../../support/flow.ts'
import { untilPasses } from '../../support/patience.ts'
import { pythonPrograms } from '../../support/python.ts'
import { freePort } from '../../support/server.ts'

const exec = promisify(execFile)
const MODULES = join(import.meta.dirname, '../../../node_modules')

// Not everybody has them; whoever builds the project for others has Python.
const python = await pythonPrograms().catch((error: unknown) => {
  if (process.env.CI) throw error
  console.warn('The Python programs are not tested: there is no Python 3 with venv, or no package index.')
  return undefined
})
const go = await goModule().catch(() => {
  console.warn('The Go programs are not tested: there is no Go, or its module cannot be had.')
  return undefined
})

const PROGRAMS = ['node', 'python-authlib', 'python-requests', 'go', 'curl'] as const
type Program = (typeof PROGRAMS)[number]

let server: ServerFixture & { photos: Api }
let jamie: Person
let folder: string

beforeAll(async () => {
  server = await startServerFixture()
  jamie = await server.person('Jamie')
  folder = await mkdtemp(join(tmpdir(), 'valetkey-quick-start-'))
  await symlink(MODULES, join(folder, 'node_modules'))
})
afterAll(async () => {
  await server?.stop()
  if (folder) await rm(folder, { recursive: true })
  if (go) await rm(go, { recursive: true, force: true })
})

describe.each(PROGRAMS)('%s, as it is shown,', (program) => {
  const missing = (program.startsWith('python') && !python) || (program === 'go' && !go)
  const it = missing ? test.skip : test

  it('signs a person in to a web app, asks who it is, and refreshes', async () => {
    const app = await ours({ redirect_uris: [await local()], scopes: ['openid', 'profile', 'email'] })

    const { code, output } = await perform(program, app)

    expect(output).toMatch(/Signed in: .*Jamie/)
    expect(output).toMatch(/Userinfo: .*jamie/s)
    expect(output).toMatch(/Refreshed: /)
    expect(code).toBe(0)
    expectNoSecrets(output, app)
  })

  it('takes a pasted address where the redirect URI is elsewhere, and has a token for the API', async () => {
    const app = await ours({ redirect_uris: ['https://app.example/back?tenant=1'] })

    const { code, output } = await perform(program, app)

    expect(output).toMatch(/Signed in: .*Jamie/)
    expect(output).toMatch(/https:\/\/photos\.example .*Authorization: Bearer.*photos\.read/)
    expect(output).toMatch(/Refreshed: /)
    expect(code).toBe(0)
    expectNoSecrets(output, app)
  })

  it('works for an installed app without a secret that wants an API and nobody’s name', async () => {
    const app = await ours({
      type: 'native',
      redirect_uris: [(await local()).replace('localhost', '127.0.0.1')],
      scopes: ['photos.read'],
    })

    const { code, output } = await perform(program, app)

    expect(output).toMatch(/Allowed:.*photos\.read/)
    expect(output).toMatch(/Refreshed: /)
    expect(output).not.toContain('Signed in')
    expect(code).toBe(0)
  })

  it('ends where the answer is not to its own request', async () => {
    const app = await ours({ redirect_uris: [await local()] })

    const { code, output } = await perform(program, app, (back) =>
      back.searchParams.set('state', 'x'.repeat(43)),
    )

    expect(output).not.toMatch(/Signed in|Refreshed/)
    expect(code).not.toBe(0)
  })

  it('ends where the answer is from another server', async () => {
    const app = await ours({ redirect_uris: [await local()] })

    const { code, output } = await perform(program, app, (back) =>
      back.searchParams.set('iss', 'https://elsewhere.example'),
    )

    expect(output).not.toMatch(/Signed in|Refreshed/)
    expect(code).not.toBe(0)
  })

  it('gets a token for a service', async () => {
    const app = await ours({ type: 'service', scopes: ['photos.read', 'photos.share'] })

    const { code, output } = await perform(program, app)

    expect(output).toMatch(/Allowed:.*photos\.read photos\.share/)
    expect(output).toContain('https://photos.example')
    expect(code).toBe(0)
    expectNoSecrets(output, app)
  })

  it('says what is missing without a secret', async () => {
    const app = await ours({ type: 'service', scopes: ['photos.read'] })

    const { code, output } = await finish(await start(program, app, { CLIENT_SECRET: undefined }))

    expect(output).toContain('CLIENT_SECRET')
    expect(code).not.toBe(0)
  })
})

test('a redirect URI that a library would spell differently arrives as it was registered', async () => {
  const app = await ours({ redirect_uris: [`${await local()}?tenant=1`] })

  const { code, output } = await perform('node', app)

  expect(output).toMatch(/Signed in: Jamie/)
  expect(code).toBe(0)
})

describe('what is shown', () => {
  test.each([
    ['web', 'node python-authlib python-requests go curl'],
    ['native', 'node python-authlib python-requests go curl'],
    ['spa', 'spa'],
    ['service', 'node python-authlib python-requests go curl'],
  ] as const)('to a %s app are the programs that fit it', async (type, expected) => {
    const app = await ours({
      type,
      ...(type === 'service' ? { scopes: ['photos.read'] } : { redirect_uris: ['http://127.0.0.1:8080/cb'] }),
    })

    const { html, text } = await page(app)

    expect([...html.matchAll(/<section class="card" id="([\w-]+)"/g)].map(([, id]) => id).join(' ')).toBe(
      expected,
    )
    expect(html).not.toContain(app.secret ?? 'vk_cs_')
    expect(html).not.toMatch(/vk_cs_|\{\{|undefined/)
    expect(text.includes('CLIENT_SECRET')).toBe(type === 'web' || type === 'service')
  })

  test('is what the server itself says of its addresses', async () => {
    const app = await ours({ redirect_uris: ['https://app.example/back'] })
    const discovered = await (await fetch(`${server.origin}/.well-known/openid-configuration`)).json()

    const { html } = await page(app)

    const shown = ['authorization_endpoint', 'token_endpoint', 'jwks_uri'] as const
    for (const name of shown) expect(html).toContain((discovered as Record<string, string>)[name])
  })

  test('to others is nothing: neither to another developer nor before the sign-in', async () => {
    const app = await ours({})
    const robin = await server.person('Robin')

    expect((await robin.account(`/developer/apps/${app.id}/quick-start`)).status).toBe(404)
    expect((await robin.account('/developer/apps/nothing/quick-start')).status).toBe(404)
    expect((await robin.elsewhere().open(`/developer/apps/${app.id}/quick-start`)).title).toContain('Sign in')
  })
})

describe('values stay text', () => {
  const HOSTILE = [
    `"; process.exit(7); "`,
    `'; exit 7; '`,
    // biome-ignore lint/suspicious/noTemplateCurlyInString: it is to stay text
    '`$(exit 7)`${process.exit(7)}',
    '</script><script>alert(1)</script>',
    '\\',
    '\\"\\\'',
    'a\nimport os; os._exit(7)\r\u2028\u2029',
    '%s {{client_id}} {{end}} $& $1',
    'é 😀 \u{10ffff}',
    '"""',
  ]

  const literal = (text: string, start: RegExp) => start.exec(text)![1]!
  const of = (id: string, value: string) => {
    const all = snippetsFor({
      issuer: 'https://id.example',
      client_id: value,
      type: id === 'spa' ? 'spa' : 'web',
      redirect_uris: ['https://app.example/back'],
      scopes: ['openid'],
      id_token_signed_response_alg: 'RS256',
      api: undefined,
    })
    return all.find((each) => each.id === id)!.text
  }

  test.each(['node', 'spa'])('in %s', async (id) => {
    for (const value of HOSTILE) {
      const source = literal(of(id, value), /^const clientId = (.*)$/m)
      expect(source).not.toContain('<')
      const { stdout } = await exec(process.execPath, [
        '-e',
        `process.stdout.write(JSON.stringify(${source}))`,
      ])
      expect(JSON.parse(stdout)).toBe(value)
    }
  })

  const pythonTest = python ? test : test.skip
  pythonTest('in Python', async () => {
    const sources = HOSTILE.map((value) => literal(of('python-authlib', value), /^CLIENT_ID = (.*)$/m))
    const { stdout } = await exec(join(python!, 'python'), [
      '-c',
      `import json; print(json.dumps([${sources.join(', ')}]))`,
    ])
    expect(JSON.parse(stdout)).toEqual(HOSTILE)
  })

  test('in a shell', async () => {
    for (const value of HOSTILE) {
      const source = /^client_id=([\s\S]*?)\nredirect_uri=/m.exec(of('curl', value))![1]!
      const { stdout } = await exec('bash', ['-c', `client_id=${source}\nprintf '%s' "$client_id"`])
      expect(stdout).toBe(value)
    }
  })

  const goTest = go ? test : test.skip
  goTest('in Go', async () => {
    const sources = HOSTILE.map((value) => literal(of('go', value), /^\tclientID +=(.*)$/m))
    const main = `package main\nimport ("encoding/json"; "os")\nfunc main() { json.NewEncoder(os.Stdout).Encode([]string{${sources}}) }\n`
    await writeFile(join(go!, 'main.go'), main)
    const { stdout } = await exec('go', ['run', '.'], { cwd: go! })
    expect(JSON.parse(stdout)).toEqual(HOSTILE)
  })
})

describe('where a program waits', () => {
  test.each([
    ['native', ['com.example.app:/cb', 'http://127.0.0.1/cb'], 'http://127.0.0.1:8765/cb', true],
    ['native', ['com.example.app:/cb'], 'com.example.app:/cb', false],
    ['web', ['https://app.example/cb', 'http://localhost:8080/cb'], 'http://localhost:8080/cb', true],
    ['web', ['https://app.example/cb?x=1', 'https://app.example/cb'], 'https://app.example/cb', false],
    ['web', ['https://localhost:8443/cb'], 'https://localhost:8443/cb', false],
    ['web', ['http://127.0.0.1:8080/cb?x=1'], 'http://127.0.0.1:8080/cb?x=1', true],
  ] as const)('%s %j', (type, redirect_uris, redirect_uri, can_listen) => {
    expect(snippetRedirect({ type, redirect_uris })).toEqual({ redirect_uri, can_listen })
  })
})

/** An app that Jamie looks after. */
async function ours(input: Partial<ClientInput>): Promise<App> {
  const app = await server.app(input)
  await run(server.db, sql`insert into client_owners (client_id, user_id) values (${app.id}, ${jamie.id})`)
  return app
}

async function local(): Promise<string> {
  return `http://localhost:${await freePort()}/callback`
}

function page(app: App) {
  return jamie.account(`/developer/apps/${app.id}/quick-start`)
}

interface Running {
  child: ReturnType<typeof spawn>
  output(): string
}

async function start(program: Program, app: App, env: Record<string, string | undefined>): Promise<Running> {
  const { html } = await page(app)
  const [, file, shown] =
    new RegExp(
      `id="${program}".*?Save it as\\s*<code>(.*?)</code>.*?<pre[^>]*><code>(.*?)</code></pre>`,
      's',
    ).exec(html) ?? []
  const home = program === 'go' ? go! : folder
  await writeFile(join(home, file!), unescapeHtml(shown!))
  if (program === 'go') {
    await exec('go', ['vet', '.'], { cwd: home })
    expect((await exec('gofmt', ['-d', file!], { cwd: home })).stdout).toBe('')
  }
  const [command, args] = {
    node: [process.execPath, [file!]],
    'python-authlib': [join(python ?? '', 'python'), [file!]],
    'python-requests': [join(python ?? '', 'python'), [file!]],
    go: ['go', ['run', '.']],
    curl: ['bash', [file!]],
  }[program] as [string, string[]]
  const options = {
    cwd: home,
    env: { ...process.env, CLIENT_SECRET: app.secret, ...env },
    stdio: ['pipe', 'pipe', 'pipe'],
  } satisfies SpawnOptions
  const child = spawn(command, args, options)
  let text = ''
  for (const stream of [child.stdout, child.stderr]) {
    stream.setEncoding('utf8').on('data', (chunk: string) => {
      text += chunk
    })
  }
  return { child, output: () => text }
}

/** Starts a program and does what it asks for. @param tamper what happens to the answer on its way back */
async function perform(program: Program, app: App, tamper: (back: URL) => void = () => {}) {
  const running = await start(program, app, {})
  const { child, output } = running
  if (app.redirectUri) {
    const address = await printedAddress(running)
    if (!address) throw new Error(`no address:\n${output()}`)
    const back = await jamie.authorize(new URL(address))
    tamper(back)
    const pastes = output().includes('paste the address') || program === 'curl' || back.protocol === 'https:'
    if (pastes) child.stdin!.write(`${back.href}\n`)
    else await reach(back)
  }
  return finish(running)
}

/** The address on a line of its own; undefined when the program ended without one. */
function printedAddress({ child, output }: Running): Promise<string | undefined> {
  return new Promise((resolve) => {
    const look = () => {
      const found = /^(http:\/\/localhost\S+)\n/m.exec(output())?.[1]
      if (found) resolve(found)
    }
    child.stdout!.on('data', look)
    child.once('close', () => resolve(undefined))
    look()
  })
}

// The program listens a moment after it has printed the address.
async function reach(back: URL): Promise<void> {
  await untilPasses(async () => (await fetch(back)).text())
}

async function finish({ child, output }: Running): Promise<{ code: number | null; output: string }> {
  child.stdin!.end()
  if (child.exitCode === null) await once(child, 'close')
  return { code: child.exitCode, output: output() }
}

function expectNoSecrets(output: string, app: App): void {
  expect(output).not.toMatch(/vk_(at|rt|cc|ac|cs)_/)
  if (app.secret) expect(output).not.toContain(app.secret)
}

/** A folder with a Go module that has golang.org/x/oauth2. @throws where there is no Go, or the module cannot be had */
async function goModule(): Promise<string> {
  const home = await mkdtemp(join(tmpdir(), 'valetkey-quick-start-go-'))
  await exec('go', ['mod', 'init', 'quickstart'], { cwd: home })
  await exec('go', ['get', 'golang.org/x/oauth2@v0.37.0'], { cwd: home })
  // Compiled once for all tests: the first time takes longer than one of them may.
  await writeFile(
    join(home, 'main.go'),
    'package main\nimport _ "golang.org/x/oauth2/clientcredentials"\nfunc main() {}\n',
  )
  await exec('go', ['build', '-o', '/dev/null', '.'], { cwd: home })
  return home
}
