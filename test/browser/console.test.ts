/** The console of a machine elsewhere, in Chromium, with a machine of the test's behind it. */
import assert from 'node:assert/strict'
import { mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, afterEach, test } from 'node:test'
import type { Page } from 'playwright-core'
import { rgb, TestScreen } from '../../src/display/test-screen.ts'
import { TestMachine } from '../../src/hosts/node/display/test-machine.ts'
import { openWeb, type WebOptions } from '../../src/hosts/node/display/web.ts'
import { choose, eventually, type OpenOptions, openPage, skipReason, until } from './chromium.ts'

const skip = skipReason()
const base = mkdtempSync(join(tmpdir(), 'typetwo-console-'))
after(() => rmSync(base, { recursive: true }))

/** What a test that failed left open: Chromium would keep this process from ending. */
const unclosed = new Set<() => Promise<void>>()
afterEach(async () => {
  for (const close of unclosed) await close()
})

/** A machine in a console in a page. */
async function open(options: OpenOptions = {}, web: Partial<WebOptions> = {}) {
  const machine = new TestMachine(TestScreen.picture(640, 400))
  const display = await openWeb({ host: '127.0.0.1', port: 0, ...web }, () => {})
  display.show(machine.shown())
  const opened = await openPage(display.place, options)
  const close = async () => {
    unclosed.delete(close)
    await opened.close()
    await display.close()
  }
  unclosed.add(close)
  return { machine, display, ...opened, close }
}

/** A pixel of the screen as the page shows it: red, green, blue. */
function pixel(page: Page, x: number, y: number): Promise<number[]> {
  return page.evaluate(
    ([x, y]) => {
      const canvas = document.querySelector<HTMLCanvasElement>('.viewer canvas')
      if (!canvas || canvas.width <= x || canvas.height <= y) return []
      return [...canvas.getContext('2d')!.getImageData(x, y, 1, 1).data].slice(0, 3)
    },
    [x, y],
  )
}

/** The tab that has the focus and is chosen. */
function focusedTab(page: Page): Promise<string | null | undefined> {
  return page.evaluate(() =>
    document.activeElement?.closest('[role=tab][aria-selected=true]')?.getAttribute('aria-label'),
  )
}

/** Waits until the page shows a colour. */
async function waitForPixel(page: Page, x: number, y: number, colour: number[]): Promise<void> {
  await until(async () => (await pixel(page, x, y)).join() === colour.join())
}

test('the page shows the screen, and takes keys, clicks and the wheel', { skip, timeout: 300_000 }, async () => {
  const { machine, page, errors, close } = await open()
  const { screen, input } = machine
  await waitForPixel(page, 639, 10, [255, 255, 255])
  assert.equal(await page.title(), 'test machine')
  screen.fill({ x: 100, y: 100, width: 50, height: 50 }, rgb(1, 2, 3))
  screen.show({ x: 100, y: 100, width: 50, height: 50 })
  await waitForPixel(page, 120, 120, [1, 2, 3])
  await page.keyboard.press('Shift+KeyA')
  await until(() => input.events.includes('-ShiftLeft'))
  assert.deepEqual(
    input.events.filter(event => /^[+-](?:Shift|Key)/.test(event)),
    ['+ShiftLeft', '+KeyA', '-KeyA', '-ShiftLeft'],
  )
  const box = (await page.locator('.viewer canvas').boundingBox())!
  await page.mouse.click(box.x + box.width / 4, box.y + box.height / 2)
  await page.mouse.wheel(0, 200)
  await until(() => input.events.includes('wheel 1'))
  const [, x, y] = /to ([\d.]+) ([\d.]+)/.exec(input.events.find(event => event.startsWith('to '))!)!
  assert.ok(Math.abs(Number(x) - 0.25) < 0.01 && Math.abs(Number(y) - 0.5) < 0.01, `${x} ${y}`)
  assert.ok(input.events.includes('+button0') && input.events.includes('-button0'))
  screen.resize(800, 600)
  await until(() => page.evaluate(() => document.querySelector<HTMLCanvasElement>('.viewer canvas')?.width === 800))
  assert.deepEqual(errors, [])
  await close()
})

test('buttons and menus move the machine, by mouse and by keys alone', { skip, timeout: 300_000 }, async () => {
  const { machine, page, close } = await open()
  const state = page.locator('.bar .state')
  await until(async () => (await state.textContent()) === 'Running')
  await page.getByRole('button', { name: 'Pause' }).click()
  await until(async () => (await state.textContent()) === 'Paused')
  await page.getByRole('button', { name: 'Go on' }).click()
  await until(() => machine.done.includes('running'))
  await choose(page, 'Keys', 'Ctrl + Alt + Del')
  await until(() => machine.input.events.includes('-ControlLeft'))
  assert.deepEqual(
    machine.input.events.filter(event => /^[+-][A-Z]/.test(event)),
    ['+ControlLeft', '+AltLeft', '+Delete', '-Delete', '-AltLeft', '-ControlLeft'],
  )
  // From the screen, which takes every key, to the power button and back.
  await page.locator('.viewer canvas').focus()
  await page.keyboard.press('Tab')
  await until(() => machine.input.events.includes('-Tab'))
  await page.keyboard.press('Control+Alt')
  await until(() => page.evaluate(() => document.activeElement?.getAttribute('role') === 'tab'))
  await page.keyboard.press('Tab')
  await page.keyboard.press('Tab')
  await page.keyboard.press('Enter')
  await page.getByRole('menuitem', { name: 'Press the power button' }).waitFor()
  await page.keyboard.press('ArrowDown')
  await page.keyboard.press('Enter')
  await until(() => machine.done.includes('power') || machine.done.includes('reset'))
  await choose(page, 'Power', 'Turn off at once')
  await page.getByRole('button', { name: 'Turn it off' }).click()
  await page.getByRole('heading', { name: 'The machine was turned off' }).waitFor()
  assert.equal(machine.done.at(-1), 'off')
  await eventually(() => page.getByRole('button', { name: 'Pause' }).isDisabled(), true)
  await close()
})

test('text is pasted, and a picture is taken', { skip, timeout: 300_000 }, async () => {
  const { machine, page, context, close } = await open()
  await waitForPixel(page, 639, 10, [255, 255, 255])
  await context.grantPermissions(['clipboard-read', 'clipboard-write'])
  await page.evaluate(() => navigator.clipboard.writeText('ls -l\n'))
  await choose(page, 'Keys', 'Paste text')
  await until(() => machine.input.events.includes('type ls -l\n'))
  // What a device's own keyboard gives is texts, and keys by name.
  await page.getByLabel('Type to the machine').focus()
  await page.keyboard.insertText('grüße')
  await page.keyboard.press('Enter')
  await until(() => machine.input.events.includes('-Enter'))
  assert.deepEqual(machine.input.events.slice(-3), ['type grüße', '+Enter', '-Enter'])
  const download = page.waitForEvent('download')
  await page.getByRole('button', { name: 'Take a picture of the screen' }).click()
  const path = await (await download).path()
  const png = readFileSync(path)
  assert.equal(png.subarray(1, 4).toString(), 'PNG')
  assert.deepEqual([png.readUInt32BE(16), png.readUInt32BE(20)], [640, 400])
  await close()
})

test('serial ports are terminals, and come when they are used', { skip, timeout: 300_000 }, async () => {
  const { machine, page, close } = await open()
  await machine.print(0, 'login: ')
  await page.getByRole('tab', { name: 'COM1' }).click()
  await until(async () => ((await page.locator('.serial .xterm-rows').first().textContent()) ?? '').includes('login:'))
  await page.keyboard.type('root')
  await page.keyboard.press('Enter')
  await until(() => machine.received[0] === 'root\r')
  await eventually(() => page.getByRole('tab').count(), 2)
  await machine.print(2, 'debug')
  await page.getByRole('tab', { name: 'COM3' }).click()
  await until(async () => ((await page.locator('.serial .xterm-rows').last().textContent()) ?? '').includes('debug'))
  // The terminal takes every key, Ctrl and Alt leave it, and arrows go around; the focus stays with the tabs.
  await page.keyboard.press('Control+Alt')
  await eventually(() => focusedTab(page), 'COM3')
  for (const [key, name, panel] of [
    ['ArrowRight', 'Screen', '.viewer canvas'],
    ['ArrowLeft', 'COM3', '.serial >> nth=1'],
    ['ArrowLeft', 'COM1', '.serial >> nth=0'],
    ['Home', 'Screen', '.viewer canvas'],
    ['End', 'COM3', '.serial >> nth=1'],
  ]) {
    await page.keyboard.press(key)
    assert.equal(await focusedTab(page), name, key)
    assert.ok(await page.getByRole('tabpanel', { name }).isVisible(), key)
    await page.locator(panel).waitFor()
    assert.equal(await page.getByRole('tabpanel').count(), 1, key)
  }
  assert.deepEqual(machine.received, ['root\r', '', '', ''])
  await page.keyboard.press('Enter')
  await page.waitForFunction(() => document.activeElement?.closest('.serial'))
  await page.keyboard.type('x')
  await until(() => machine.received[2] === 'x')
  await close()
})

test('a CD of the folder is put in, another uploaded, and taken out', { skip, timeout: 300_000 }, async () => {
  const mediaFolder = mkdtempSync(join(base, 'media-'))
  writeFileSync(join(mediaFolder, 'debian.iso'), 'x')
  const { machine, page, close } = await open({}, { mediaFolder })
  await choose(page, 'Drives', 'CD drive 1')
  await page.getByRole('button', { name: /debian\.iso/ }).click()
  await until(() => machine.done.some(done => /insert cdrom0 .*debian\.iso/.test(done)))
  await choose(page, 'Drives', 'CD drive 1')
  const chooser = page.waitForEvent('filechooser')
  await page.getByRole('button', { name: 'Upload one' }).click()
  await (await chooser).setFiles({ name: 'second disc.iso', mimeType: '', buffer: Buffer.alloc(1 << 20, 'y') })
  await page.getByRole('button', { name: /second disc\.iso/ }).waitFor()
  await eventually(async () => readdirSync(mediaFolder).sort(), ['debian.iso', 'second disc.iso'])
  await page.getByRole('button', { name: 'Take the CD out' }).click()
  await page.getByText('The guest holds the medium of cdrom0').waitFor()
  await close()
})

test('a machine that comes back at its address is found again', { skip, timeout: 300_000 }, async () => {
  const { display, page, close } = await open()
  await waitForPixel(page, 639, 10, [255, 255, 255])
  const { port } = display.address
  await display.close()
  await page.getByRole('heading', { name: 'The machine cannot be reached' }).waitFor()
  const again = new TestMachine(TestScreen.picture(320, 200))
  const second = await openWeb({ host: '127.0.0.1', port }, () => {})
  second.show(again.shown())
  await until(() => page.evaluate(() => document.querySelector<HTMLCanvasElement>('.viewer canvas')?.width === 320))
  await eventually(() => page.locator('.over').isHidden(), true)
  await second.close()
  await close()
})

test('nothing lies outside of the window, from a phone to 4K', { skip, timeout: 300_000 }, async () => {
  for (const options of [
    { width: 360, height: 640, phone: true },
    { width: 844, height: 390, phone: true },
    { width: 3840, height: 2160, dark: true },
  ]) {
    const { page, close } = await open(options)
    await waitForPixel(page, 639, 10, [255, 255, 255])
    const wrong = () =>
      page.evaluate(() => {
        const isOutside = (element: Element) => {
          const { left, right, top, bottom, width } = element.getBoundingClientRect()
          return width > 0 && (left < -1 || top < -1 || right > innerWidth + 1 || bottom > innerHeight + 1)
        }
        const all = [...document.querySelectorAll('.bar .button, .bar [role=tab], .stage, .viewer canvas')]
        const { width, height } = document.querySelector('.viewer canvas')!.getBoundingClientRect()
        const isDistorted = Math.abs(width / height - 640 / 400) >= 0.02
        return [
          ...all.filter(isOutside).map(({ outerHTML }) => outerHTML),
          ...(isDistorted ? [`${width} × ${height}`] : []),
        ]
      })
    await eventually(wrong, [])
    await close()
  }
})
