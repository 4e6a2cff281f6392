/** A system from a CD in Chromium: to its screen, by its keyboard, and to a disk that is there again after a reload. */
import assert from 'node:assert/strict'
import { spawnSync } from 'node:child_process'
import { copyFileSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, test } from 'node:test'
import type { Page } from 'playwright-core'
import { ensureDefaultGuest, type Machine } from '../../src/hosts/node/index.ts'
import { choose, chooseFiles, eventually, openPage, servePage, skipReason, until } from './chromium.ts'

const hasTools =
  spawnSync('grub-mkrescue', ['--version']).status === 0 && spawnSync('xorriso', ['--version']).status === 0
const options = {
  skip:
    skipReason() ||
    (!hasTools && 'GRUB’s rescue CD is made by Debian’s packages grub-pc-bin, grub-common, xorriso and mtools'),
  timeout: 600_000,
}
const base = mkdtempSync(join(tmpdir(), 'typetwo-cd-'))
after(() => rmSync(base, { recursive: true, force: true }))

/** A rescue CD. @returns its path */
function rescueCd(name: string, menu: string, files: Record<string, string> = {}): string {
  const root = join(base, name)
  mkdirSync(join(root, 'boot/grub'), { recursive: true })
  for (const [to, from] of Object.entries(files)) copyFileSync(from, join(root, to))
  writeFileSync(join(root, 'boot/grub/grub.cfg'), menu)
  const path = join(base, `${name}.iso`)
  const { status, stderr } = spawnSync('grub-mkrescue', ['-o', path, root], { encoding: 'utf8' })
  assert.equal(status, 0, stderr)
  return path
}

declare global {
  var typetwo: { machine: Machine } | undefined
}

/** Waits until the screen, in a text mode, shows something. */
async function waitForScreen(page: Page, pattern: RegExp): Promise<string> {
  const end = Date.now() + 240_000
  for (;;) {
    const text = (await page.evaluate(() => globalThis.typetwo?.machine.screen?.text())) ?? ''
    if (pattern.test(text)) return text
    if (Date.now() > end) throw new Error(`the screen does not show ${pattern}, but:\n${text}`)
    await page.waitForTimeout(100)
  }
}

/** How many pixels of the canvas, as it is painted, are lit. */
function litPixels(page: Page): Promise<{ width: number; height: number; lit: number }> {
  return page.evaluate(() => {
    const canvas = document.querySelector<HTMLCanvasElement>('.screen canvas')!
    const { width, height } = canvas
    const { data } = canvas.getContext('2d')!.getImageData(0, 0, width, height)
    let lit = 0
    for (let i = 0; i < data.length; i += 4) if (data[i] + data[i + 1] + data[i + 2] > 128) lit++
    return { width, height, lit }
  })
}

test('GRUB’s rescue CD comes to its menu, which keys move through, and the CD can be changed', options, async () => {
  const server = await servePage()
  const { page, errors, close } = await openPage(server.url)
  const entry = (name: string) => `menuentry "The ${name} entry" { echo ${name}; sleep 1000 }\n`
  const cd = rescueCd('rescue', `set timeout=-1\n${entry('first')}${entry('second')}`)
  try {
    await chooseFiles(page, cd)
    await page.getByRole('button', { name: 'Start the machine' }).click()
    assert.match(await waitForScreen(page, /\*The first entry/), /GNU GRUB {2}version 2/)
    // What is painted is what the machine shows: a bar with the first entry is lit from side to side.
    await page.waitForFunction(() => document.querySelector<HTMLCanvasElement>('.screen canvas')!.width === 720)
    await until(async () => (await litPixels(page)).lit > 10_000)
    const { width, height } = await litPixels(page)
    assert.deepEqual([width, height], [720, 400])
    await page.keyboard.press('ArrowDown', { delay: 60 })
    await waitForScreen(page, /\*The second entry/)
    await page.keyboard.press('c', { delay: 60 })
    await waitForScreen(page, /grub> *$/m)
    // A BIOS keeps 15 keys until somebody asks.
    for (const word of ['echo ', 'typed']) {
      await page.keyboard.type(word, { delay: 60 })
      await waitForScreen(page, new RegExp(`grub> .*${word.trim()} *$`, 'm'))
    }
    await page.keyboard.press('Backspace', { delay: 60 })
    await page.keyboard.press('Shift+KeyD', { delay: 60 })
    await page.keyboard.press('Enter', { delay: 60 })
    await waitForScreen(page, /^typeD/m)
    // The speaker is heard.
    await page.evaluate(() => {
      const start = AudioBufferSourceNode.prototype.start
      AudioBufferSourceNode.prototype.start = function (at?: number) {
        const loudest = Math.max(...this.buffer!.getChannelData(0).map(Math.abs))
        const all = globalThis as unknown as { loudest?: number }
        all.loudest = Math.max(all.loudest ?? 0, loudest)
        start.call(this, at)
      }
    })
    await page.keyboard.type('play 480 440 1', { delay: 80 })
    await waitForScreen(page, /grub> play 480 440 1 *$/m)
    await page.keyboard.press('Enter', { delay: 60 })
    await page.waitForFunction(() => ((globalThis as unknown as { loudest?: number }).loudest ?? 0) > 0.05)
    // The picture can be saved.
    const picture = page.waitForEvent('download')
    await page.getByRole('button', { name: 'Take a picture of the screen' }).click()
    assert.match((await picture).suggestedFilename(), /^rescue\.iso .*\.png$/)
    // Ctrl and Alt give the keyboard back to the page.
    await page.locator('.screen canvas').focus()
    await page.keyboard.down('ControlLeft')
    await page.keyboard.down('AltLeft')
    await page.keyboard.up('AltLeft')
    await page.keyboard.up('ControlLeft')
    await page.waitForFunction(() => document.activeElement?.getAttribute('role') === 'tab')
    // To its tab; from there arrows go to the serial console and back, and Enter into what is shown.
    const state = () =>
      page.evaluate(() => [
        document.activeElement?.closest('[role=tab][aria-selected=true]')?.getAttribute('aria-label'),
        document.querySelector<HTMLElement>('.screen')!.hidden,
        document.querySelector<HTMLElement>('.serial')!.hidden,
      ])
    assert.deepEqual(await state(), ['Screen', false, true])
    await page.keyboard.press('ArrowRight')
    assert.deepEqual(await state(), ['Serial', true, false])
    await page.keyboard.press('Enter')
    await page.waitForFunction(() => document.activeElement?.closest('.serial'))
    await page.keyboard.press('Control+Alt')
    await eventually(state, ['Serial', true, false])
    await page.keyboard.press('ArrowRight')
    assert.deepEqual(await state(), ['Screen', false, true])
    await page.keyboard.press('Enter')
    await page.waitForFunction(() => document.activeElement?.tagName === 'CANVAS')
    // Another CD, and one that is none.
    const insert = async (file: string) => {
      const chooser = page.waitForEvent('filechooser')
      await choose(page, 'Drives', 'Put a CD in')
      await (await chooser).setFiles(file)
    }
    await insert(cd)
    await page.getByText('“rescue.iso” is in the drive.').waitFor()
    const empty = join(base, 'empty.iso')
    writeFileSync(empty, '')
    await insert(empty)
    await page.getByText("CD image 'empty.iso' is empty or shorter than a block").waitFor()
    assert.deepEqual(errors, [])
  } finally {
    await close()
    await server.close()
  }
})

test('Linux of a CD is typed to on its screen, and what it wrote is there after a reload', options, async () => {
  const guest = await ensureDefaultGuest()
  const linux = '/vmlinuz mitigations=off cryptomgr.notests loglevel=4 console=tty0'
  const menu = `set timeout=-1
menuentry "Linux" {\nlinux ${linux}\ninitrd /initrd\n}
menuentry "The disk's first sector" {\ncat (hd0)+1\nsleep 1000\n}
`
  const cd = rescueCd('linux', menu, { vmlinuz: guest.kernel, initrd: guest.initrd })
  const server = await servePage()
  const { page, errors, close } = await openPage(server.url)
  page.on('dialog', dialog => dialog.accept())
  const boot = async () => {
    await chooseFiles(page, cd)
    await page.getByLabel('Start from').selectOption('CD first')
    await page.getByRole('button', { name: 'Start the machine' }).click()
    await waitForScreen(page, /\*Linux/)
  }
  const type = async (line: string) => {
    await page.locator('.screen canvas').focus()
    await page.evaluate(text => globalThis.typetwo!.machine.keyboard.type(text), `${line}\n`)
  }
  try {
    await page.getByRole('button', { name: 'New disk' }).click()
    await page.getByRole('dialog').getByLabel('Name').fill('system')
    await page.getByRole('dialog').getByRole('button', { name: 'Make it' }).click()
    await boot()
    await page.keyboard.press('Enter', { delay: 60 })
    await waitForScreen(page, /typetwo:~# *$/m)
    await type('echo Kept here | dd of=/dev/sda conv=fsync; echo do""ne')
    await waitForScreen(page, /^done/m)
    await page.reload()
    await boot()
    await page.keyboard.press('ArrowDown', { delay: 60 })
    await waitForScreen(page, /\*The disk's/)
    await page.keyboard.press('Enter', { delay: 60 })
    await waitForScreen(page, /^Kept here/m)
    assert.deepEqual(errors, [])
  } finally {
    await close()
    await server.close()
  }
})

test('mouse, wheel, fingers and the row of keys reach the machine', options, async () => {
  const server = await servePage()
  const { page, errors, close } = await openPage(server.url, { phone: true, width: 800, height: 600 })
  const cd = rescueCd('pointer', 'set timeout=-1\nmenuentry "Only" { sleep 1000 }\n')
  try {
    await chooseFiles(page, cd)
    await page.getByRole('button', { name: 'Start the machine' }).click()
    await waitForScreen(page, /\*Only/)
    // What the machine is told, in words.
    await page.evaluate(() => {
      const { mouse, keyboard } = globalThis.typetwo!.machine
      const told: string[] = []
      Object.assign(globalThis, { told })
      const round = (value: number) => value.toFixed(1)
      mouse.moveTo = (x, y) => void told.push(`to ${round(x)} ${round(y)}`)
      mouse.press = button => void told.push(`press ${button}`)
      mouse.release = button => void told.push(`release ${button}`)
      mouse.wheel = notches => void told.push(`wheel ${notches}`)
      keyboard.press = code => void told.push(`key ${code}`)
      keyboard.release = code => void told.push(`let go ${code}`)
    })
    const soFar = async () => {
      const all = await page.evaluate(() => (globalThis as unknown as { told: string[] }).told)
      // Where the pointer is, is told over and over.
      return all.filter((line, i) => line !== all[i - 1])
    }
    const forget = () => page.evaluate(() => void (globalThis as unknown as { told: string[] }).told.splice(0))
    /** Waits until the machine was told these and no others. */
    const told = async (...lines: string[]) => {
      await eventually(soFar, lines)
      await forget()
    }
    const box = (await page.locator('.screen canvas').boundingBox())!
    const at = (x: number, y: number) => [box.x + box.width * x, box.y + box.height * y] as const
    await page.mouse.move(...at(0.5, 0.5))
    await page.mouse.down()
    await page.mouse.down({ button: 'right' })
    await page.mouse.move(...at(0.25, 0.75))
    await page.mouse.up({ button: 'right' })
    await page.mouse.up()
    for (const line of ['to 0.5 0.5', 'press 0', 'press 2', 'to 0.3 0.8', 'release 2', 'release 0'])
      await until(async () => (await soFar()).includes(line))
    await forget()
    // One turn after another, so that none comes later; a pixel of Playwright's may be half a one of the page's.
    for (let i = 0; i < 2; i++) {
      await page.mouse.wheel(0, 400)
      await until(async () => /wheel [2-8]/.test((await soFar()).join()))
      await forget()
    }
    await page.touchscreen.tap(...at(0.1, 0.1))
    await told('to 0.1 0.1', 'press 0', 'release 0')
    // A finger that stays.
    const devtools = await page.context().newCDPSession(page)
    const [x, y] = at(0.9, 0.1)
    // Sooner it were the second of two taps.
    await page.waitForTimeout(400)
    await devtools.send('Input.dispatchTouchEvent', { type: 'touchStart', touchPoints: [{ x, y }] })
    await until(async () => (await soFar()).includes('press 2'))
    await devtools.send('Input.dispatchTouchEvent', { type: 'touchEnd', touchPoints: [] })
    await told('to 0.9 0.1', 'press 2', 'release 2')
    await page.getByRole('toolbar', { name: 'Keys' }).getByRole('button', { name: 'Ctrl' }).tap()
    await page.getByRole('toolbar', { name: 'Keys' }).getByRole('button', { name: 'Esc' }).tap()
    await told('key ControlLeft', 'key Escape', 'let go Escape', 'let go ControlLeft')
    await choose(page, 'Keys', 'Ctrl + Alt + Del')
    const keys = ['ControlLeft', 'AltLeft', 'Delete']
    await told(...keys.map(code => `key ${code}`), ...keys.toReversed().map(code => `let go ${code}`))
    assert.deepEqual(errors, [])
  } finally {
    await close()
    await server.close()
  }
})
