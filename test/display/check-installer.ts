/** Debian's installer, by its screens: as text on a VGA, and as windows on a frame buffer. */
import { readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { findFont } from '../../src/devices/vga/text-mode.ts'
import { ensureFirmware } from '../../src/hosts/node/firmware.ts'
import { type Say, unpackedPackages } from '../install/packages.ts'
import { isolinuxCd } from '../systems/images.ts'
import type { Check } from './checks.ts'
import { type Area, countColor, type Picture, readText } from './picture.ts'
import { type Seat, sleep } from './seat.ts'

type Architecture = 'amd64' | 'i386'

/** A CD with the installer. */
async function installerCd(
  architecture: Architecture,
  kind: 'text' | 'gtk',
  append: string,
  say: Say,
): Promise<string> {
  const root = await unpackedPackages(`netboot-${architecture}`, [`debian-installer-12-netboot-${architecture}`], {
    say,
  })
  const images = `usr/lib/debian-installer/images/12/${architecture}/${kind}/debian-installer/${architecture}`
  const files = join(root, images)
  return isolinuxCd(`screen-${kind}-${architecture}`, {
    kernel: join(files, 'linux'),
    initrd: join(files, 'initrd.gz'),
    append: `${append} mitigations=off cryptomgr.notests`,
    say,
  })
}

/** Text of 80 × 25 characters, used by keys. */
async function useText(seat: Seat): Promise<void> {
  await seat.untilText(/Select a language[\s\S]*Choose the language[\s\S]*English/, 3000)
  const picture = await seat.look('language')
  if (picture.width !== 720 || picture.height !== 400)
    throw new Error(`it has ${picture.width} × ${picture.height} pixels`)
  const first = selectedRow(picture)
  await seat.keys('down', 'down')
  await seat.untilPicture('other language selected', now => selectedRow(now) === first + 2, 120)
  await seat.keys('up', 'up')
  await seat.untilPicture('first language selected', now => selectedRow(now) === first, 120)
  await seat.keys('enter')
  await seat.untilText(/Select your location[\s\S]*Country, territory or area/, 600)
  await seat.keys('tab', 'enter')
  await seat.untilText(/Select a language[\s\S]*Choose the language/, 600)
  await seat.keys('enter')
  await seat.untilText(/Select your location[\s\S]*Country, territory or area/, 600)
  await seat.keys('enter')
  await seat.untilText(/Configure the keyboard[\s\S]*Keymap to use/, 600)
  await seat.look('keyboard')
}

/** The row of characters with the most red in it: what is selected. */
function selectedRow(picture: Picture): number {
  const red = Array.from({ length: 25 }, (_, row) =>
    countColor(picture, 0xaa0000, { x: 0, y: 16 * row, width: 720, height: 16 }),
  )
  return red.indexOf(Math.max(...red))
}

/** A column of pixels in which only what is selected in a list is green rather than red, and where lists are. */
const COLUMN = 700
const GREEN = 16
const LIST = { top: 220, bottom: 704 }
/** The windows' titles, and the button that goes on. */
const TITLE: Area = { x: 15, y: 85, width: 200, height: 20 }
const CONTINUE = { x: 963, y: 742 }
/** Where German is in the list below English, and how high a line is. */
const GERMAN_BELOW_ENGLISH = 161
const LINE = 23

/** The first line of pixels of what is selected in a list, and how many there are. */
function selection({ width, pixels }: Picture): { top: number; height: number } | undefined {
  const lines: number[] = []
  for (let y = LIST.top; y < LIST.bottom; y++) {
    const pixel = pixels[y * width + COLUMN]
    if (((pixel >> 8) & 0xff) - (pixel >> 16) > GREEN) lines.push(y)
  }
  return lines.length === LINE && lines[LINE - 1] - lines[0] === LINE - 1 ? { top: lines[0], height: LINE } : undefined
}

/** What is in an area, as text. */
function contentOf({ width, pixels }: Picture, { x, y, width: columns, height }: Area): string {
  return Array.from({ length: height }, (_, row) =>
    pixels.subarray((y + row) * width + x, (y + row) * width + x + columns),
  ).join()
}

/** Windows, used by mouse and keys. */
async function useWindows(seat: Seat, font: Uint8Array): Promise<void> {
  const english = await seat.untilPicture('list of languages', picture => selection(picture), 3000)
  await sleep(3000)
  const before = await seat.look('languages')
  if (before.width !== 1024) throw new Error(`it has ${before.width} × ${before.height} pixels`)
  const selectedAt = (top: number) => (picture: Picture) => selection(picture)?.top === top
  const german = english.top + GERMAN_BELOW_ENGLISH
  await seat.mouse(50, german + (LINE >> 1), 'click')
  await seat.untilPicture('language selected by the mouse', selectedAt(german), 300)
  await seat.keys('down')
  await seat.untilPicture('language selected by a key', selectedAt(german + LINE), 300)
  await seat.keys('up')
  await seat.untilPicture('language selected by another', selectedAt(german), 300)
  await seat.mouse(CONTINUE.x, CONTINUE.y, 'click')
  // Another title, and a list.
  const next = (last: Picture) => (picture: Picture) =>
    contentOf(picture, TITLE) !== contentOf(last, TITLE) && selection(picture) !== undefined
  await seat.untilPicture('list of locations', next(before), 600)
  const locations = await seat.look('locations')
  await seat.keys('enter')
  await seat.untilPicture('list of keyboards', next(locations), 600)
  await seat.look('keyboards')
  // What the installer knows now, at a console of its own.
  await seat.keys('ctrl-alt-f2')
  await seat.untilPicture('console', picture => /Please press Enter/.test(readText(picture, font)), 300)
  await seat.keys('enter')
  await seat.untilPicture('prompt', picture => /#$/m.test(readText(picture, font)), 300)
  await seat.type('debconf-get localechooser/languagelist; debconf-get debian-installer/country\n')
  await seat.untilPicture('German and Germany', picture => /^de\nDE$/m.test(readText(picture, font)), 300)
  await seat.look('console')
}

/** The text installer. */
export function installerText(architecture: Architecture): Check {
  return {
    name: `installer-text-${architecture}`,
    how: `Debian's installer (${architecture}) from a CD, 80 × 25 characters`,
    shows: 'languages, locations, back, and keyboards, chosen by keys',
    async use({ say, start }) {
      // Its kernel has drivers of frame buffers, which are kept out: this is about the VGA.
      const cd = await installerCd(architecture, 'text', 'vga=normal fb=false nomodeset', say)
      // With less than 780 MB it does not ask for a language (lowmem of Debian 12, amd64).
      await useText(await start(['--memory', '1G', '--cdrom', cd]))
    },
  }
}

/** The installer with windows. */
export function installerGtk(architecture: Architecture): Check {
  return {
    name: `installer-gtk-${architecture}`,
    how: `Debian's installer (${architecture}) from a CD, with windows`,
    shows:
      'languages, locations and keyboards, chosen by mouse and keys, and what the installer has of it at its console',
    async use({ say, start }) {
      const cd = await installerCd(architecture, 'gtk', 'vga=788', say)
      const font = findFont(await readFile((await ensureFirmware('seabios'))[1]))!
      await useWindows(await start(['--memory', '1G', '--cdrom', cd]), font)
    },
  }
}
