/** A small Debian desktop on a disk, by either display adapter: the console's frame buffer, X, the mouse, the viewer's window. */
import { mkdtemp, open, readFile, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { findFont } from '../../src/devices/vga/text-mode.ts'
import { ensureFirmware } from '../../src/hosts/node/firmware.ts'
import { execute, type Say } from '../install/packages.ts'
import type { Check } from './checks.ts'
import { DESKTOP_COLOR, desktopDisk } from './desktop-disk.ts'
import { countColor, differences, type Picture, readText } from './picture.ts'
import { preferSize } from './remote.ts'
import { type Seat, sleep } from './seat.ts'

const WIDTH = 1024
const HEIGHT = 768
const BYTES = WIDTH * HEIGHT * 4
/** The size of the second disk, by which pictures come and go. */
const SCRATCH = 16 << 20
const BACKGROUND = Number.parseInt(DESKTOP_COLOR.slice(1), 16)
const WHITE = 0xffffff
/** The terminal's inside, some of it. */
const TERMINAL = { x: 110, y: 140, width: 400, height: 200 }
const CURSOR = 64
/** A column of pixels that is in the menu, a line of them that is, and how high an entry is. */
const MENU = { x: 100, bottom: 730 }
const ENTRY = 24
/** A place in the first terminal's title that has no letters. */
const TITLE = { x: 200, y: 94 }

/** Fails with a sentence. */
function expect(is: boolean, sentence: string): void {
  if (!is) throw new Error(sentence)
}

/** A pattern that is nowhere the same: 32 bits a pixel, blue first. */
function pattern(): Uint32Array {
  return Uint32Array.from({ length: WIDTH * HEIGHT }, (_, i) => (Math.imul(i, 2654435761) >>> 8) & 0xffffff)
}

/** A window dump, as `xwd` of X writes it: numbers of 32 bits, big-endian (X11/XWDFile.h). */
function decodeXwd(bytes: Uint8Array): Picture {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength)
  const field = (n: number) => view.getUint32(4 * n)
  const [headerSize, version, width, height, bitsPerPixel, bytesPerLine, colors] = [0, 1, 4, 5, 11, 12, 19].map(field)
  expect(version === 7 && bitsPerPixel === 32, `xwd gave version ${version} with ${bitsPerPixel} bits a pixel`)
  const start = headerSize + 12 * colors
  const pixels = new Uint32Array(width * height)
  for (let y = 0; y < height; y++)
    for (let x = 0; x < width; x++)
      pixels[y * width + x] = view.getUint32(start + y * bytesPerLine + 4 * x, true) & 0xffffff
  return { width, height, pixels }
}

/** Its disk as a copy that may be written. @returns the words of `typetwo run` */
export async function desktopWords(folder: string, vga: string, say: Say): Promise<string[]> {
  const { disk: original, kernel, initrd, append } = await desktopDisk(say)
  const disk = join(folder, 'disk.img')
  await execute('cp', ['--sparse=always', original, disk])
  const boot = ['--kernel', kernel, '--initrd', initrd, '--append', append]
  return ['--memory', '512M', '--vga', vga, ...boot, '--disk', `${disk},bus=virtio,cache=unsafe`]
}

/** A console that is drawn by the kernel, and a program's picture in its frame buffer. */
async function frameBuffer(seat: Seat, scratch: string, font: Uint8Array): Promise<void> {
  const { com1 } = seat
  await seat.untilPicture('prompt', picture => /root@desktop:.#/.test(readText(picture, font)), 300)
  await seat.type('echo there is $((6*7))\n')
  const read = (picture: Picture) => /^there is 42$/m.test(readText(picture, font))
  await seat.untilPicture('answer drawn by the console', read, 300)
  await seat.look('console')
  const wanted = pattern()
  const file = await open(scratch, 'r+')
  await file.write(new Uint8Array(wanted.buffer), 0, BYTES, 0)
  await file.close()
  // The cursor would blink in it.
  await com1.command("printf '\\033[?25l\\033[2J' >/dev/tty1; sleep 1")
  await com1.command(`dd if=/dev/vdb of=/dev/fb0 bs=1M iflag=fullblock count=${BYTES >> 20} 2>/dev/null`, 300)
  await seat.untilPicture('pattern', picture => picture.pixels.every((pixel, i) => pixel === wanted[i]), 120)
  await seat.look('pattern')
  await com1.command("printf '\\033[?25h\\033[2J' >/dev/tty1")
}

/** What X thinks of its screen is what is to be seen, but for the cursor. */
async function sameAsX(seat: Seat, scratch: string, pointer: { x: number; y: number }): Promise<void> {
  await seat.com1.command('DISPLAY=:0 xwd -root -silent | dd of=/dev/vdb bs=1M conv=fsync 2>/dev/null', 300)
  const picture = await seat.look('desktop')
  const own = decodeXwd(await readFile(scratch))
  const except = { x: pointer.x - CURSOR, y: pointer.y - CURSOR, width: 2 * CURSOR, height: 2 * CURSOR }
  const different = differences(picture, own, except)
  expect(different === 0, `${different} pixels are not as X has them`)
}

const isTerminalAt = (picture: Picture, x: number, y: number) =>
  countColor(picture, WHITE, { ...TERMINAL, x: TERMINAL.x + x, y: TERMINAL.y + y }) >
  0.98 * TERMINAL.width * TERMINAL.height

/** Starts X with a window manager from the console. */
export async function startDesktop(seat: Seat): Promise<void> {
  await seat.type('startx >startx.log 2>&1\n')
  const isThere = (picture: Picture) =>
    picture.width === WIDTH &&
    countColor(picture, BACKGROUND, { x: 700, y: 100, width: 300, height: 500 }) === 150_000 &&
    isTerminalAt(picture, 0, 0)
  await seat.untilPicture('desktop with a terminal', isThere, 1200)
  // Until the taskbar is drawn, too.
  await seat.untilPicture(
    'taskbar',
    picture => countColor(picture, BACKGROUND, { x: 0, y: 745, width: 1024, height: 20 }) === 0,
    600,
  )
}

/** The first line of pixels of a menu that hangs at the taskbar, on the left. */
function topOfMenu({ width, pixels }: Picture): number | undefined {
  for (let y = MENU.bottom; y > 0; y--) if (pixels[y * width + MENU.x] === BACKGROUND) return y + 1
  return undefined
}

/** The color of the first terminal's title, which tells whether it has the keyboard. */
const titleColor = ({ width, pixels }: Picture) => pixels[TITLE.y * width + TITLE.x]

/** The desktop, used with mouse and keyboard. */
async function useDesktop(seat: Seat, scratch: string): Promise<void> {
  const { com1 } = seat
  await startDesktop(seat)
  await sleep(3000)
  await sameAsX(seat, scratch, { x: WIDTH / 2, y: HEIGHT / 2 })
  // The menu, and of it the terminal, which is the first entry, however many there are.
  const menu = { x: 0, y: 600, width: 120, height: 130 }
  await seat.mouse(28, 755, 'click')
  const top = await seat.untilPicture(
    'menu',
    picture => countColor(picture, BACKGROUND, menu) === 0 && topOfMenu(picture),
    120,
  )
  const focused = titleColor(await seat.look('menu'))
  await seat.mouse(56, top + ENTRY / 2, 'click')
  const terminals = async () => Number(await com1.command('pgrep -c xterm', 120))
  for (let tries = 0; (await terminals()) !== 2; tries++) {
    expect(tries < 60, 'a click on the menu starts no terminal')
    await sleep(2000)
  }
  await seat.untilPicture('menu that is gone', picture => countColor(picture, BACKGROUND, menu) > 10_000, 120)
  // It gets the keyboard, being new: on a busy host that takes a while.
  await seat.untilPicture('new terminal that has the keyboard', picture => titleColor(picture) !== focused, 300)
  await sleep(3000)
  await seat.type('echo "typed: {A-z} \\$((6*7))" >/root/typed; exit\n')
  for (let tries = 0; !/^typed: \{A-z\} \$\(\(6\*7\)\)/.test(await com1.command('cat /root/typed', 120)); tries++) {
    expect(tries < 60, 'what was typed did not reach the terminal')
    await sleep(2000)
  }
  // Its title takes the first terminal elsewhere.
  await seat.mouse(300, 94, 'press')
  await seat.mouse(400, 194)
  await seat.mouse(500, 294, 'release')
  await seat.untilPicture('terminal that was moved', picture => isTerminalAt(picture, 200, 200), 120)
  await seat.mouse(900, 300)
  await sleep(3000)
  await sameAsX(seat, scratch, { x: 900, y: 300 })
}

/** A window of another size, to which the guest's screen changes. */
async function changeSize(seat: Seat): Promise<void> {
  const { com1 } = seat
  const place = /the screen is at (?:vnc:\/\/)?([\d.]+):+(\d+)/.exec(com1.errors)
  expect(place !== null, `nothing is said of VNC: ${com1.errors}`)
  await preferSize(place![1], Number(place![2]), 1280, 800)
  for (
    let tries = 0;
    !/1280x800/.test(await com1.command('head -1 /sys/class/drm/card0-Virtual-1/modes', 120));
    tries++
  ) {
    expect(tries < 30, 'the driver does not hear of another monitor')
    await sleep(2000)
  }
  await com1.command('DISPLAY=:0 xrandr --output Virtual-1 --auto', 300)
  await seat.untilPicture('screen of 1280 × 800', ({ width, height }) => width === 1280 && height === 800, 300)
  const all = { x: 1100, y: 300, width: 150, height: 300 }
  await seat.untilPicture('background', picture => countColor(picture, BACKGROUND, all) === 45_000, 300)
  await seat.look('1280x800')
}

/** The desktop. */
export function desktop(vga: 'std' | 'virtio'): Check {
  return {
    name: `desktop-${vga}`,
    how: `Debian's generic kernel, loaded directly, X, icewm and xterm on a virtio disk; --vga ${vga}`,
    shows: 'console and desktop, pixel by pixel as the guest has them; menu, keys, a window that is moved',
    async use({ say, start }) {
      const folder = await mkdtemp(join(tmpdir(), 'typetwo-desktop-'))
      try {
        const scratch = join(folder, 'scratch.img')
        const file = await open(scratch, 'w')
        await file.truncate(SCRATCH)
        await file.close()
        const font = findFont(await readFile((await ensureFirmware('seabios'))[1]))!
        const seat = await start([
          ...(await desktopWords(folder, vga, say)),
          ...['--disk', `${scratch},bus=virtio,format=raw`, '--display', 'vnc=127.0.0.1:0', '--serial', 'stdio'],
        ])
        await seat.com1.until(/root@desktop:~# /, 1800)
        const driver = vga === 'std' ? /bochs/ : /virtio_gpu/
        // On a busy host there is a prompt before udev has loaded the driver.
        const ready = 'until [ -e /sys/class/graphics/fb0/name ]; do sleep 1; done; cat /sys/class/graphics/fb0/name'
        const name = await seat.com1.command(ready, 600)
        expect(driver.test(name), `the frame buffer is ${name}'s`)
        await frameBuffer(seat, scratch, font)
        await useDesktop(seat, scratch)
        if (vga === 'virtio') await changeSize(seat)
        seat.com1.type('poweroff\n')
        expect((await seat.com1.ended(600)) === 0, 'it does not turn itself off')
      } finally {
        await rm(folder, { recursive: true, force: true })
      }
    },
  }
}
