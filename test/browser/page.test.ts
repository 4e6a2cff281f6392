/** The page in Chromium: what it boots, refuses and says. */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { HEADERS } from '../../web/tools/server.ts'
import {
  chooseFiles,
  command,
  eventually,
  openPage,
  servePage,
  skipReason,
  startLinux,
  waitForText,
} from './chromium.ts'

const options = { skip: skipReason(), timeout: 600_000 }

test('one click boots Linux, which answers by its serial console and turns itself off', options, async () => {
  const server = await servePage()
  const { page, errors, close } = await openPage(server.url)
  try {
    await startLinux(page)
    assert.match(await command(page, 'uname -a', /GNU\/Linux/), /Linux typetwo .* x86_64 GNU\/Linux/)
    await page.locator('.figures', { hasText: /MIPS · \d+ % busy · \d+:\d\d/ }).waitFor()
    await eventually(() => page.locator('.bar .state').innerText(), 'Running')
    await page.getByRole('button', { name: 'Pause' }).click()
    await page.getByText('Paused').waitFor()
    await page.getByRole('button', { name: 'Go on' }).click()
    await page.locator('.serial textarea').focus()
    await page.keyboard.insertText('poweroff -f')
    await page.keyboard.press('Enter')
    await page.getByRole('heading', { name: 'The machine turned itself off' }).waitFor()
    await page.getByRole('button', { name: 'Start again' }).click()
    await waitForText(page, /Linux version/)
    // A machine that runs is not left by a slip.
    await page.getByRole('button', { name: 'Back' }).click()
    await page.getByRole('button', { name: 'Turn it off' }).click()
    await page.getByRole('button', { name: 'Start Linux' }).waitFor()
    assert.deepEqual(errors, [])
  } finally {
    await close()
    await server.close()
  }
})

test("the README's example works", options, async () => {
  const server = await servePage()
  const { page, errors, close } = await openPage(`${server.url}example.html`)
  try {
    await page.getByText(/Linux typetwo .*GNU\/Linux[\s\S]*poweroff$/).waitFor({ timeout: 300_000 })
    assert.deepEqual(errors, [])
  } finally {
    await close()
    await server.close()
  }
})

test('what a browser lacks is said in one sentence, and a server without headers is made up for', options, async () => {
  const { 'Cross-Origin-Opener-Policy': _, 'Cross-Origin-Embedder-Policy': __, ...bare } = HEADERS
  const server = await servePage(new Map(), bare)
  const said = async (before: string) => {
    const { page, close } = await openPage(server.url, { before })
    try {
      await page.getByRole('alert').waitFor()
      return await page.getByRole('alert').innerText()
    } finally {
      await close()
    }
  }
  try {
    assert.match(
      await said(
        "Object.defineProperty(Navigator.prototype, 'serviceWorker', { get: () => ({ register: () => Promise.reject() }) })",
      ),
      /No machine can run here\s+Machines need memory that threads share.*Cross-Origin-Opener-Policy: same-origin/,
    )
    assert.match(
      await said('delete globalThis.SharedArrayBuffer; WebAssembly.validate = b => b.length !== 15'),
      /lacks several memories/,
    )
    assert.match(await said('delete globalThis.Worker'), /no workers/)
    // With its service worker the page isolates itself.
    const { page, close } = await openPage(server.url)
    try {
      await page.getByRole('button', { name: 'Start Linux' }).waitFor()
      await eventually(() => page.evaluate(() => crossOriginIsolated), true)
    } finally {
      await close()
    }
  } finally {
    await server.close()
  }
})

test('files are taken for what they are, and what is no image is refused with a sentence', options, async () => {
  const server = await servePage()
  const noStore = 'delete StorageManager.prototype.getDirectory'
  const { page, close } = await openPage(server.url, { before: noStore })
  try {
    await page.getByText('This browser has no private file system (OPFS)').waitFor()
    const choose = (files: { name: string; buffer: Buffer }[]) =>
      chooseFiles(
        page,
        files.map(file => ({ ...file, mimeType: 'application/octet-stream' })),
      )
    await choose([{ name: 'notes.pdf', buffer: Buffer.from('%PDF-1.7 of no use') }])
    await page.getByText("'notes.pdf' is no image that typetwo knows: give a CD").waitFor()
    await choose([{ name: 'empty.iso', buffer: Buffer.alloc(0) }])
    await page.getByText("'empty.iso' is empty").waitFor()
    await choose([{ name: 'disk.img.xz', buffer: Buffer.from('\xfd7zXZ\0......', 'latin1') }])
    await page.getByText("'disk.img.xz' is packed by xz: unpack it first").waitFor()
    const start = page.getByRole('button', { name: 'Start the machine' })
    await eventually(() => start.isDisabled(), true)
    const cd = Buffer.alloc(65536)
    cd.write('CD001', 0x8001)
    await choose([
      { name: 'boot.iso', buffer: cd },
      { name: 'dos.ima', buffer: Buffer.alloc(1474560) },
      { name: 'disk.img', buffer: Buffer.alloc(1 << 20) },
    ])
    const list = page.getByRole('list', { name: 'In the machine' })
    await eventually(
      async () =>
        (await list.getByRole('listitem').allInnerTexts()).map(text => text.split('\n').slice(0, 2).join(' ')),
      ['boot.iso CD · 64 KB', 'dos.ima floppy · 1.41 MB', 'disk.img disk, raw · 1 MB'],
    )
    await eventually(() => start.isDisabled(), false)
    // A CD that nothing can be booted from is not the page's fault, but an image that lies is said.
    await page.getByLabel('What disk.img is').selectOption('CD')
    await page.getByRole('button', { name: 'Take out dos.ima' }).click()
    await eventually(() => list.getByRole('listitem').count(), 2)
  } finally {
    await close()
    await server.close()
  }
})
