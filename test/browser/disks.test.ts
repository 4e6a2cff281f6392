/** Disks that are kept in Chromium: what reloads, killed browsers and used up quotas leave of them. */
import assert from 'node:assert/strict'
import { createHash } from 'node:crypto'
import { mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, test } from 'node:test'
import type { Page } from 'playwright-core'
import { createImage } from '../../src/disk/create.ts'
import { MemoryFile } from '../../src/disk/memory.ts'
import { checkImage } from '../../src/disk/tools.ts'
import { openDisk } from '../../src/hosts/node/index.ts'
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
const MiB = 2 ** 20
const base = mkdtempSync(join(tmpdir(), 'typetwo-browser-'))
after(() => rmSync(base, { recursive: true, force: true, maxRetries: 5 }))

const sha1 = (bytes: Uint8Array) => createHash('sha1').update(bytes).digest('hex')

/** Makes a disk by the page's dialog; it is in the machine then. */
async function newDisk(page: Page, name: string): Promise<void> {
  await page.getByRole('button', { name: 'New disk' }).click()
  const dialog = page.getByRole('dialog')
  await dialog.getByLabel('Name').fill(name)
  await dialog.getByLabel('Size').selectOption('1 GB')
  await dialog.getByRole('button', { name: 'Make it' }).click()
  await page.getByRole('button', { name: `Take ${name} out of the machine` }).waitFor()
}

/** Saves a disk by the page's menu. @returns the path of the file */
async function download(page: Page, name: string): Promise<string> {
  await page.getByRole('button', { name: `More about ${name}` }).click()
  const saved = page.waitForEvent('download')
  await page.getByRole('menuitem', { name: 'Download as qcow2' }).click()
  const file = await saved
  assert.equal(file.suggestedFilename(), `${name}.qcow2`)
  const path = join(base, `${name}-${Math.random()}.qcow2`)
  await file.saveAs(path)
  return path
}

/** Reads the beginning of an image, and asserts that it does not contradict itself. */
async function contents(path: string, length: number): Promise<Uint8Array> {
  const disk = await openDisk(path, { readOnly: true })
  const bytes = new Uint8Array(length)
  await disk.read(0, bytes)
  const report = await checkImage(disk, false)
  await disk.close()
  assert.deepEqual(report?.findings, [])
  return bytes
}

test('what a guest wrote is there after a reload, can be downloaded, and the disk deleted', options, async () => {
  const server = await servePage()
  const { page, errors, close } = await openPage(server.url)
  try {
    await newDisk(page, 'data')
    await startLinux(page)
    const text = await command(
      page,
      'dd if=/dev/urandom of=/r bs=64k count=48 2>/dev/null; dd if=/r of=/dev/vda bs=64k conv=fsync 2>/dev/null; sha1sum /r',
      /[0-9a-f]{40} {2}\/r/,
    )
    const written = /([0-9a-f]{40}) {2}\/r/.exec(text)![1]
    page.on('dialog', dialog => dialog.accept())
    await page.reload()
    // The settings and the disk are as they were.
    await page.getByRole('button', { name: 'Take data out of the machine' }).waitFor()
    await startLinux(page)
    const again = await command(page, 'dd if=/dev/vda bs=64k count=48 2>/dev/null | sha1sum', /[0-9a-f]{40} {2}-/)
    assert.match(again, new RegExp(written))
    // In use, it can be neither saved nor deleted: by another tab, too.
    const other = await page.context().newPage()
    await other.goto(server.url)
    await other.getByRole('button', { name: 'More about data' }).click()
    await other.getByRole('menuitem', { name: 'Delete' }).click()
    await other.getByRole('button', { name: 'Delete it' }).click()
    await other.getByText("Disk 'data' is in use by a machine").waitFor()
    await other.close()
    await page.locator('.serial textarea').focus()
    await page.keyboard.insertText('poweroff -f')
    await page.keyboard.press('Enter')
    await page.getByRole('heading', { name: 'The machine turned itself off' }).waitFor()
    await page.locator('.over').getByRole('button', { name: 'Back' }).click()
    const path = await download(page, 'data')
    assert.equal(sha1(await contents(path, 3 * MiB)), written)
    // What was downloaded can come back.
    await chooseFiles(page, [{ name: 'copy.qcow2', mimeType: '', buffer: readFileSync(path) }], 'Import')
    await page.getByRole('button', { name: 'More about copy' }).waitFor({ timeout: 120_000 })
    assert.equal(sha1(await contents(await download(page, 'copy'), 3 * MiB)), written)
    await page.getByRole('button', { name: 'More about data' }).click()
    await page.getByRole('menuitem', { name: 'Delete' }).click()
    await page.getByRole('button', { name: 'Delete it' }).click()
    await page.getByRole('button', { name: 'More about data' }).waitFor({ state: 'detached' })
    assert.deepEqual(errors, [])
  } finally {
    await close()
    await server.close()
  }
})

test('a file that is no image is not imported, and leaves nothing', options, async () => {
  const server = await servePage()
  const { page, close } = await openPage(server.url)
  try {
    const buffer = Buffer.from('Dear reader, this is no image.')
    await chooseFiles(page, [{ name: 'letter.qcow2', mimeType: '', buffer }], 'Import')
    await page.getByText("File 'letter.qcow2' is named as if it were qcow2, but is no qcow2 image").waitFor()
    const left = () =>
      page.evaluate(async () => {
        const folder = await (await navigator.storage.getDirectory()).getDirectoryHandle('disks')
        const names: string[] = []
        for await (const name of (folder as unknown as { keys(): AsyncIterable<string> }).keys()) names.push(name)
        return names
      })
    await eventually(left, [])
    // One whose tables lead nowhere: that is found when it is copied.
    const file = new MemoryFile('torn.qcow2')
    await createImage(file, { format: 'qcow2', size: 8 * MiB }, () => Promise.reject(new Error('it has no parts')), 0)
    const torn = Buffer.alloc(file.size)
    await file.read(0, torn)
    torn.writeBigUInt64BE(2n ** 40n + 512n, Number(torn.readBigUInt64BE(40)))
    await chooseFiles(page, [{ name: 'torn.qcow2', mimeType: '', buffer: torn }], 'Import')
    await page.getByText(/'torn.qcow2' is damaged: an L2 table is at \d+, which is no cluster's beginning/).waitFor()
    await eventually(left, [])
  } finally {
    await close()
    await server.close()
  }
})

/** Ends a browser as a power cut does. */
function kill(profile: string): void {
  for (const pid of readdirSync('/proc').filter(name => /^\d+$/.test(name))) {
    try {
      if (readFileSync(`/proc/${pid}/cmdline`, 'utf8').includes(`--user-data-dir=${profile}`))
        process.kill(Number(pid), 'SIGKILL')
    } catch {
      // It has ended.
    }
  }
}

const linux = {
  ...options,
  skip: options.skip || (process.platform !== 'linux' && 'processes are found by Linux’s /proc'),
}

test('when the browser is killed in the middle of writes, nothing that was flushed is lost', linux, async () => {
  const server = await servePage()
  const profile = mkdtempSync(join(base, 'profile-'))
  try {
    const first = await openPage(server.url, { profile })
    await newDisk(first.page, 'log')
    await startLinux(first.page)
    // Each record is a number in a cluster of its own, so that the image grows with each.
    const loop =
      'i=0; while :; do i=$((i+1)); printf "record %08d" $i | dd of=/dev/vda bs=64k seek=$i conv=fsync,notrunc 2>/dev/null; echo "flushed $i."; done'
    await command(first.page, loop, /flushed [3-9]\d\./)
    const seen = await waitForText(first.page, /flushed \d+\./)
    const last = Number([...seen.matchAll(/flushed (\d+)\./g)].at(-1)![1])
    kill(profile)
    await first.close().catch(() => {})
    const second = await openPage(server.url, { profile })
    const bytes = await contents(await download(second.page, 'log'), (last + 1) * 65536)
    const decoder = new TextDecoder()
    for (let i = 1; i <= last; i++)
      assert.equal(decoder.decode(bytes.subarray(i * 65536, i * 65536 + 15)), `record ${String(i).padStart(8, '0')}`)
    await second.close()
  } finally {
    await server.close()
  }
})

test(
  'without room the machine is paused with a sentence, and goes on without a loss when there is some',
  options,
  async () => {
    const server = await servePage()
    const { page, context, close } = await openPage(server.url)
    try {
      await newDisk(page, 'full')
      const devtools = await context.newCDPSession(page)
      const origin = new URL(server.url).origin
      await startLinux(page)
      await devtools.send('Storage.overrideQuotaForOrigin', { origin, quotaSize: 4 * MiB })
      await page.locator('.serial textarea').focus()
      await page.keyboard.insertText(
        'clear; dd if=/dev/urandom of=/r bs=1M count=12 2>/dev/null; dd if=/r of=/dev/vda bs=1M conv=fsync 2>/dev/null && sha1sum /r; dmesg | grep -c "I/O error"',
      )
      await page.keyboard.press('Enter')
      const dialog = page.getByRole('dialog')
      await dialog.getByText(/cannot be \w+: the browser gives this page no more room/).waitFor({ timeout: 120_000 })
      await eventually(() => page.locator('.bar .state').innerText(), 'Paused')
      // To no avail, as yet.
      await dialog.getByRole('button', { name: 'Try again' }).click()
      await dialog.getByText(/cannot be \w+: the browser gives this page no more room/).waitFor()
      await devtools.send('Storage.overrideQuotaForOrigin', { origin })
      await dialog.getByRole('button', { name: 'Try again' }).click()
      const text = await waitForText(page, /[0-9a-f]{40} {2}\/r\s*\d+/)
      const [, written, complaints] = /([0-9a-f]{40}) {2}\/r\s*(\d+)/.exec(text)!
      assert.equal(Number(complaints), 0, 'the guest hears of no error')
      await page.locator('.serial textarea').focus()
      await page.keyboard.insertText('poweroff -f')
      await page.keyboard.press('Enter')
      await page.getByRole('heading', { name: 'The machine turned itself off' }).waitFor()
      await page.locator('.over').getByRole('button', { name: 'Back' }).click()
      assert.equal(sha1(await contents(await download(page, 'full'), 12 * MiB)), written)
    } finally {
      await close()
      await server.close()
    }
  },
)
