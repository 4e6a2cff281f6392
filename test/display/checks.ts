/** Systems that are used by their screens, and what is to be seen. */
import { join } from 'node:path'
import { type Say, unpackedPackages } from '../install/packages.ts'
import { grubCd } from '../systems/images.ts'
import { desktop } from './check-desktop.ts'
import { frameBuffer } from './check-frame-buffer.ts'
import { installerGtk, installerText } from './check-installer.ts'
import { sound } from './check-sound.ts'
import { sideBySide } from './check-two.ts'
import { type Seat, sleep } from './seat.ts'

/** What a check has. */
export interface Tools {
  say: Say
  /** Starts a machine. @param name where there is more than one */
  start(words: readonly string[], name?: string): Promise<Seat>
}

/** One system, used in one way. */
export interface Check {
  name: string
  /** For the table: what is used, and how. */
  how: string
  /** What was seen, if nothing was missing. */
  shows: string
  /** @throws Error naming what is not to be seen */
  use(tools: Tools): Promise<void>
}

/** The columns in which a pattern is, from the left. */
const columns = (text: string, pattern: RegExp) =>
  text.split('\n').flatMap(row => [...row.matchAll(pattern)].map(({ index }) => index))

/** The ship's left edge. */
const ship = (text: string) => columns(text, /\/ \\/g)[0]
const invaders = (text: string) => columns(text, /\*/g).length

/** A game of GRUB's: the ship follows the keys, and what it hits is gone. */
async function playInvaders(seat: Seat): Promise<void> {
  await seat.untilText(/\*[\s\S]*\/ \\/, 300)
  const before = await seat.text()
  const begin = ship(before)
  const many = invaders(before)
  await seat.look('begin')
  for (const [key, steps] of [
    ['left', -5],
    ['right', 5],
  ] as const)
    for (let presses = 0; Math.sign(steps) * (ship(await seat.text()) - begin - steps) < 0; presses++) {
      if (presses > 60) throw new Error(`the ship is in column ${ship(await seat.text())}, and does not go ${key}`)
      await seat.keys(key)
    }
  // The invaders fly to and fro above it.
  for (let shots = 0; invaders(await seat.text()) > many - 3; shots++) {
    if (shots > 60) throw new Error(`${shots} shots hit fewer than three of ${many} invaders`)
    await seat.keys('space')
    if (shots === 0) await seat.untilText(/\|/, 30)
    await sleep(1000)
  }
  await seat.look('hit')
}

function memtest(file: string, bits: string): Check {
  return {
    name: `memtest-${bits}`,
    how: 'memtest86+ of 64 MB, --kernel by the option ROM of SeaBIOS',
    shows: 'its first pass, without errors',
    async use({ say, start }) {
      const root = await unpackedPackages('memtest', ['memtest86+'], { say })
      const words = ['--memory', '64M', '--bios', 'seabios', '--kernel', join(root, 'boot', file), '--append', '']
      const seat = await start([...words, '--vga', 'std'])
      await seat.untilText(/Memtest86\+[\s\S]*Pass[\s\S]*Test/, 300)
      const text = (
        await seat.untilText(/[\s\S]*(?:Pass|PASS)(?:es)?:\s*1\b[\s\S]*|[\s\S]*\*\*\*\s*PASS[\s\S]*/i, 3 * 3600)
      )[0]
      await seat.look('pass')
      if (!/Errors:\s*0\b/.test(text)) throw new Error(`there are errors:\n${text}`)
    },
  }
}

/** All of them. */
export const CHECKS: readonly Check[] = [
  {
    name: 'invaders-kernel',
    how: 'grub-invaders, --kernel without firmware',
    shows: 'the ship that follows the keys, and three invaders less',
    async use({ say, start }) {
      const root = await unpackedPackages('grub-invaders', ['grub-invaders'], { say })
      await playInvaders(await start(['--memory', '32M', '--vga', 'std', '--kernel', join(root, 'boot/invaders.exec')]))
    },
  },
  {
    name: 'invaders-grub',
    how: 'grub-invaders, started by GRUB from a CD; SeaBIOS',
    shows: 'the same',
    async use({ say, start }) {
      const root = await unpackedPackages('grub-invaders', ['grub-invaders'], { say })
      const files = { 'invaders.exec': join(root, 'boot/invaders.exec') }
      const cd = await grubCd('invaders', 'multiboot /invaders.exec\nboot\n', files, say)
      await playInvaders(await start(['--memory', '32M', '--cdrom', cd]))
    },
  },
  memtest('memtest86+x64.bin', '64'),
  memtest('memtest86+ia32.bin', '32'),
  installerText('amd64'),
  installerText('i386'),
  installerGtk('amd64'),
  installerGtk('i386'),
  frameBuffer('std'),
  frameBuffer('virtio'),
  desktop('std'),
  desktop('virtio'),
  sound('instructions'),
  sound('host'),
  sideBySide,
]
