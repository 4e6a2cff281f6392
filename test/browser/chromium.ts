/** Chromium and the page, for tests and measurements. */
import assert from 'node:assert/strict'
import { existsSync } from 'node:fs'
import { isDeepStrictEqual } from 'node:util'
import { type BrowserContext, chromium, type FileChooser, type LaunchOptions, type Page } from 'playwright-core'
import type { Site } from '../../web/tools/bundle.ts'
import { HEADERS, type SiteServer, serveSite } from '../../web/tools/server.ts'
import { GUEST_FOLDERS, pageSite } from '../../web/tools/site.ts'

const PLACES = [
  '/usr/bin/chromium',
  '/usr/bin/chromium-browser',
  '/usr/bin/google-chrome',
  '/usr/bin/google-chrome-stable',
]

/** The path of a Chromium, or undefined where none is installed. The environment variable CHROMIUM names another. */
export function findChromium(): string | undefined {
  return [process.env.CHROMIUM, ...PLACES].find(path => path !== undefined && existsSync(path))
}

/** Why tests in Chromium are skipped; false where they are not. */
export function skipReason(): string | false {
  return findChromium() ? false : 'no Chromium is installed: on Debian, apt-get install chromium'
}

const launchOptions = (): LaunchOptions => ({
  executablePath: findChromium(),
  // CI runs as root, for whom Chromium has no sandbox.
  chromiumSandbox: process.getuid?.() !== 0,
  timeout: 120_000,
})

/** A page whose errors are errors of the test. */
export interface TestPage {
  page: Page
  context: BrowserContext
  /** What the page complained of in its console, and uncaught errors. */
  errors: string[]
  close(): Promise<void>
}

/** How {@link openPage} opens. */
export interface OpenOptions {
  /** A folder for what the browser keeps; default: one that is forgotten. */
  profile?: string
  width?: number
  height?: number
  dark?: boolean
  /** A phone's: fingers, and pixels twice as fine. */
  phone?: boolean
  /** Runs in the page before anything of its own. */
  before?: string
  args?: string[]
}

/** Starts a Chromium and opens a URL. */
export async function openPage(url: string, options: OpenOptions = {}): Promise<TestPage> {
  const { profile, width = 1280, height = 800, dark = false, phone = false, before, args } = options
  const contextOptions = {
    viewport: { width, height },
    colorScheme: dark ? ('dark' as const) : ('light' as const),
    ...(phone ? { hasTouch: true, isMobile: true, deviceScaleFactor: 2 } : {}),
    acceptDownloads: true,
  }
  const launch = { ...launchOptions(), args }
  let context: BrowserContext
  let close: () => Promise<void>
  if (profile) {
    context = await chromium.launchPersistentContext(profile, { ...launch, ...contextOptions })
    close = () => context.close()
  } else {
    const browser = await chromium.launch(launch)
    context = await browser.newContext(contextOptions)
    close = () => browser.close()
  }
  // Machines of tests have better things to do, and more than one of them.
  context.setDefaultTimeout(120_000)
  const page = context.pages()[0] ?? (await context.newPage())
  const errors: string[] = []
  page.on('pageerror', error => errors.push(String(error)))
  page.on('console', message => {
    if (message.type() === 'error') errors.push(message.text())
  })
  if (before) await page.addInitScript(before)
  await page.goto(url)
  return { page, context, errors, close }
}

/** Serves the page with its guests, and more files besides. */
export async function servePage(more: Site = new Map(), headers = HEADERS): Promise<SiteServer> {
  const site = await pageSite()
  const folders = new Map<string, Promise<Site>>()
  const find = async (path: string) => {
    const own = more.get(path) ?? site.get(path)
    const [folder] = path.split('/')
    if (own || !(folder in GUEST_FOLDERS)) return own
    if (!folders.has(folder))
      folders.set(
        folder,
        GUEST_FOLDERS[folder](() => {}),
      )
    return (await folders.get(folder)!).get(path)
  }
  return serveSite(find, { host: '127.0.0.1', port: 0, headers })
}

/** Waits until something is so: what a page was told takes it a moment to show. */
export async function until(is: () => boolean | Promise<boolean>): Promise<void> {
  const end = Date.now() + 120_000
  while (!(await is())) {
    if (Date.now() > end) throw new Error(`it never came about: ${is}`)
    await new Promise(resolve => setTimeout(resolve, 20))
  }
}

/** Waits until something seen is what is expected, and asserts that it is. */
export async function eventually<T>(see: () => Promise<T>, expected: T): Promise<void> {
  let seen: T | undefined
  await until(async () => isDeepStrictEqual((seen = await see()), expected)).catch(() => {})
  assert.deepEqual(seen, expected)
}

/** Files that are chosen where the page has a button for it. */
type Chosen = Parameters<FileChooser['setFiles']>[0]

/** Presses a button that asks for files, and chooses some. */
export async function chooseFiles(page: Page, files: Chosen, name = 'Choose files'): Promise<void> {
  const chooser = page.waitForEvent('filechooser')
  await page.getByRole('button', { name }).click()
  await (await chooser).setFiles(files)
}

/** Opens a menu and chooses an entry of it. */
export async function choose(page: Page, menu: string, entry: string): Promise<void> {
  const item = page.getByRole('menuitem', { name: entry })
  // A click while a menu or dialog closes is that one's, and the menu's button closes it too.
  await until(async () => {
    await page.getByRole('button', { name: menu, exact: true }).click()
    return item.waitFor({ timeout: 2000 }).then(
      () => true,
      () => false,
    )
  })
  await item.click()
}

/** The text of the serial console's terminal. */
export function serialText(page: Page): Promise<string> {
  return page.evaluate(() => document.querySelector('.serial .xterm-rows')?.textContent ?? '')
}

/** Puts one click Linux on the screen, and waits for its prompt. */
export async function startLinux(page: Page): Promise<void> {
  await page.getByRole('button', { name: 'Start Linux' }).click()
  await waitForText(page, /~# *$/)
}

/** Waits until the terminal shows something. */
export async function waitForText(page: Page, pattern: RegExp, timeout = 240_000): Promise<string> {
  const end = Date.now() + timeout
  for (;;) {
    const text = (await serialText(page)).replaceAll('\xa0', ' ')
    if (pattern.test(text)) return text
    if (Date.now() > end) throw new Error(`the terminal does not show ${pattern}, but: ${text.slice(-1000)}`)
    const ended = await page.locator('.over .box').allInnerTexts()
    if (/ended|gave up/.test(ended.join()))
      throw new Error(`the machine ended: ${ended}; the terminal shows ${text.slice(-500)}`)
    await page.waitForTimeout(100)
  }
}

/** Types a line into the terminal of the guest, and waits for what it prints. */
export async function command(page: Page, line: string, pattern: RegExp): Promise<string> {
  await page.locator('.serial textarea').focus()
  await page.keyboard.insertText(`clear; ${line}`)
  await page.keyboard.press('Enter')
  return waitForText(page, pattern)
}
