/** Both pages by keys alone: Tab comes to every control, in the order in which they are read, and one sees where it is. */
import assert from 'node:assert/strict'
import { afterEach, test } from 'node:test'
import type { ElementHandle, Page } from 'playwright-core'
import { TestScreen } from '../../src/display/test-screen.ts'
import { TestMachine } from '../../src/hosts/node/display/test-machine.ts'
import { openWeb } from '../../src/hosts/node/display/web.ts'
import { eventually, type OpenOptions, openPage, servePage, skipReason, until } from './chromium.ts'

const options = { skip: skipReason(), timeout: 600_000 }

/** What a test has open. */
const opened: (() => Promise<void>)[] = []
afterEach(async () => {
  for (const close of opened.splice(0).toReversed()) await close()
})

async function openSetup(how: OpenOptions): Promise<Page> {
  const server = await servePage()
  opened.push(() => server.close())
  const { page, close } = await openPage(server.url, how)
  opened.push(close)
  await page.getByRole('button', { name: 'Start Linux' }).waitFor()
  return page
}

async function openConsole(how: OpenOptions) {
  const machine = new TestMachine(TestScreen.picture(640, 400))
  const display = await openWeb({ host: '127.0.0.1', port: 0 }, () => {})
  opened.push(() => display.close())
  display.show(machine.shown())
  const { page, close } = await openPage(display.place, how)
  opened.push(close)
  await eventually(() => page.locator('.bar .state').innerText(), 'Running')
  await eventually(() => page.evaluate(() => document.activeElement?.tagName), 'CANVAS')
  return { machine, page }
}

/** What is said of the element that has the focus. */
const focused = (page: Page): Promise<string> =>
  page.evaluate(() => {
    const element = document.activeElement as HTMLElement | null
    return element?.getAttribute('aria-label') ?? element?.innerText ?? ''
  })

/** Whether the window shows, other than by a cursor of text, that an element has the focus. */
async function isMarked(page: Page, element: ElementHandle<HTMLElement>): Promise<boolean> {
  const box = (await element.boundingBox())!
  const size = page.viewportSize()!
  const x = Math.max(0, box.x - 6)
  const y = Math.max(0, box.y - 6)
  const clip = { x, y, width: Math.min(size.width, box.x + box.width + 6) - x, height: 0 }
  clip.height = Math.min(size.height, box.y + box.height + 6) - y
  assert.ok(clip.width > 0 && clip.height > 0, 'what has the focus is outside of the window')
  const marked = await page.screenshot({ clip, animations: 'disabled' })
  await element.evaluate(one => one.blur())
  const plain = await page.screenshot({ clip, animations: 'disabled' })
  await element.evaluate(one => one.focus())
  return !marked.equals(plain)
}

/**
 * Presses Tab, from what has the focus on, until the page has no more controls, or one takes the keyboard for the guest, and looks at
 * each on the way.
 * @param within only what is in there counts
 * @returns what they are called
 */
async function walk(page: Page, within: 'body' | 'dialog' = 'body'): Promise<string[]> {
  const names: string[] = []
  const unmarked: string[] = []
  for (;;) {
    const element = await page.evaluateHandle(() => document.activeElement as HTMLElement)
    const kind = await element.evaluate(one => (one.dataset.walked ? 'walked' : one.tagName))
    if (['walked', 'BODY', 'CANVAS'].includes(kind)) break
    names.push(await focused(page))
    await element.evaluate((one, n) => {
      one.dataset.walked = String(n)
    }, names.length)
    if (!(await isMarked(page, element))) unmarked.push(names.at(-1)!)
    assert.ok(names.length < 100, 'it never ends')
    await page.keyboard.press('Tab')
  }
  const { missed, order } = await page.evaluate(scope => {
    const called = (one: HTMLElement) => one.getAttribute('aria-label') ?? one.innerText
    const root = document.querySelector(scope)!
    const missed = [
      ...root.querySelectorAll<HTMLElement>(
        'button, a[href], input, select, textarea, summary, [role=button], [tabindex]',
      ),
    ].filter(
      one =>
        one.tagName !== 'CANVAS' &&
        one.checkVisibility({ visibilityProperty: true }) &&
        !one.matches(':disabled, [tabindex="-1"]') &&
        !one.dataset.walked,
    )
    const walked = [...root.querySelectorAll<HTMLElement>('[data-walked]')]
    const order = walked.map(one => Number(one.dataset.walked))
    for (const one of walked) delete one.dataset.walked
    return { missed: missed.map(called), order }
  }, within)
  assert.deepEqual(unmarked, [], 'nothing shows that these have the focus')
  assert.deepEqual(missed, [], 'Tab does not come to these')
  assert.deepEqual(
    order,
    names.map((_, n) => n + 1),
  )
  return names
}

for (const how of [{}, { dark: true, width: 390, height: 844 }])
  test(`the page of machines by keys alone, ${how.width ?? 1280} wide`, options, async () => {
    const page = await openSetup(how)
    await page.keyboard.press('Tab')
    const names = await walk(page)
    for (const name of ['Start Linux', 'Choose files', 'New disk', 'Import'])
      assert.ok(
        names.some(one => one.includes(name)),
        `${name} is not among ${names.join(', ')}`,
      )
    // A file is chosen, and goes again.
    const chooser = page.waitForEvent('filechooser')
    await page.getByRole('button', { name: 'Choose files' }).focus()
    await page.keyboard.press('Enter')
    const sector = Buffer.alloc(1_474_560)
    sector.writeUInt16BE(0x55aa, 510)
    await (await chooser).setFiles({ name: 'dos.img', mimeType: 'application/octet-stream', buffer: sector })
    const item = page.getByRole('list', { name: 'In the machine' }).getByRole('listitem')
    await item.first().waitFor()
    await page.getByRole('button', { name: 'Colours' }).focus()
    const more = await walk(page)
    assert.ok(
      more.includes('Start the machine') && more.length > names.length + 1,
      `nothing takes it out, or starts it: ${more.join(', ')}`,
    )
    await item.first().getByRole('button').last().focus()
    await page.keyboard.press('Enter')
    await eventually(() => item.count(), 0)
    assert.equal(await focused(page), 'Choose files')
    // A disk of the browser's is made, put into the machine and taken out; the focus stays where it is pressed.
    await page.getByRole('button', { name: 'New disk' }).focus()
    await page.keyboard.press('Enter')
    await page.locator('dialog[open]').waitFor()
    await walk(page, 'dialog')
    await page.getByRole('textbox', { name: 'Name' }).focus()
    await page.keyboard.press('Enter')
    await eventually(() => page.locator('dialog').count(), 0)
    const kept = page.getByRole('list', { name: 'Disks in this browser' }).locator('[aria-pressed]')
    await kept.focus()
    for (let n = 0; n < 2; n++) {
      const pressed = await kept.getAttribute('aria-pressed')
      await page.keyboard.press('Space')
      await eventually(() => kept.getAttribute('aria-pressed'), pressed === 'true' ? 'false' : 'true')
      assert.equal(await focused(page), await kept.getAttribute('aria-label'))
    }
  })

for (const how of [{}, { dark: true, width: 390, height: 844 }])
  test(`the console of a machine by keys alone, ${how.width ?? 1280} wide`, options, async () => {
    const { machine, page } = await openConsole(how)
    await page.keyboard.press('Control+Alt')
    await eventually(() => page.evaluate(() => document.activeElement?.getAttribute('role')), 'tab')
    const names = await walk(page)
    for (const name of ['Pause', 'Power', 'Keys', 'Drives'])
      assert.ok(names.includes(name), `${name} is not among ${names.join(', ')}`)
    for (const name of names.filter(one => ['Power', 'Keys', 'Drives', 'More'].includes(one))) {
      await page.getByRole('button', { name, exact: true }).focus()
      await page.keyboard.press('Enter')
      const items = page.locator('[role=menuitem]:not(:disabled):visible')
      await items.first().waitFor()
      const wanted = await items.evaluateAll(all => all.map(one => (one as HTMLElement).innerText))
      const seen: string[] = []
      for (let n = 0; n < wanted.length; n++) {
        seen.push(await focused(page))
        await page.keyboard.press('ArrowDown')
      }
      assert.deepEqual(seen, wanted, name)
      await page.keyboard.press('Escape')
      await eventually(() => focused(page), name)
    }
    // A dialog has the keys to itself, and gives them back to where it was asked for.
    await page.getByRole('button', { name: 'Power', exact: true }).focus()
    await page.keyboard.press('Enter')
    await page.getByRole('menuitem').first().waitFor()
    await page.keyboard.press('End')
    assert.match(await focused(page), /^Turn off at once/)
    await page.keyboard.press('Enter')
    await page.locator('dialog[open]').waitFor()
    assert.equal(await focused(page), 'Cancel')
    await walk(page, 'dialog')
    await page.keyboard.press('Escape')
    await eventually(() => page.locator('dialog').count(), 0)
    await eventually(() => focused(page), 'Power')
    assert.ok(!machine.done.includes('off'))
    await page.getByRole('button', { name: 'Pause' }).focus()
    await page.keyboard.press('Space')
    await until(() => machine.done.includes('paused'))
    await eventually(() => focused(page), 'Go on')
  })
