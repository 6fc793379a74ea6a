// The page of the Admin API in a real browser, without JavaScript: nothing that axe-core finds, nothing that scrolls sideways,
// nothing the browser complains of. `SCREENSHOTS=folder` keeps pictures.
import { mkdir } from 'node:fs/promises'
import { join } from 'node:path'
import { afterAll, beforeAll, expect, test } from '@jest/globals'
import { axe, contentWidth } from '../support/browser.ts'
import { type BrowserFixture, read, startBrowserFixture, visit } from './browser-fixture.ts'

const SIZES = { phone: { width: 390, height: 844 }, desktop: { width: 1280, height: 900 } }

let fixture: BrowserFixture
beforeAll(async () => {
  fixture = await startBrowserFixture()
})
afterAll(() => fixture.close())

test.each(['light', 'dark'] as const)('it can be read and walked, in %s', async (colorScheme) => {
  await using reader = await visit(fixture, { colorScheme })
  const { page } = reader
  for (const [device, size] of Object.entries(SIZES)) {
    await page.setViewportSize(size)
    await page.goto(`${fixture.server.origin}/api/docs`)
    expect([device, await contentWidth(page)]).toEqual([device, size.width])
    await keep(`api-docs-${colorScheme}-${device}`)
    // Opened, they must fit as well: one with a body and parameters, and the longest schema.
    await page.evaluate(
      "for (const id of ['changeClient', 'listClients', 'schema-Client']) document.getElementById(id).open = true",
    )
    expect([device, await contentWidth(page)]).toEqual([device, size.width])
    expect([device, await axe(page)]).toEqual([device, []])
    await page.locator('#changeClient').scrollIntoViewIfNeeded()
    await keep(`api-docs-open-${colorScheme}-${device}`)
  }
  expect(reader.complaints).toEqual([])

  async function keep(name: string): Promise<void> {
    if (!process.env.SCREENSHOTS) return
    await mkdir(process.env.SCREENSHOTS, { recursive: true })
    await page.screenshot({ path: join(process.env.SCREENSHOTS, `${name}.png`), animations: 'disabled' })
  }
})

test('without a script, an operation opens with the keyboard and leads to its schema', async () => {
  await using reader = await visit(fixture, { javaScriptEnabled: false })
  const { page } = reader
  await page.goto(`${fixture.server.origin}/api/docs#createClient`)
  await page.locator('#createClient > summary').focus()
  await page.keyboard.press('Enter')

  expect(await read(page)).toContain('It may be used at once.')
  await page.locator('#createClient').getByRole('link', { name: 'NewClient', exact: true }).click()
  expect(new URL(page.url()).hash).toBe('#schema-NewClient')
})
