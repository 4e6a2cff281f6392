/** Linux's own drivers of the display adapters: text that the console draws, and a program's picture in the frame buffer, pixel by pixel. */
import { mkdtemp, readdir, readFile, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { basename, join } from 'node:path'
import { findFont } from '../../src/devices/vga/text-mode.ts'
import { ensureFirmware } from '../../src/hosts/node/firmware.ts'
import { writeCpio } from '../../src/hosts/node/guest/cpio.ts'
import { ensureDefaultGuest } from '../../src/hosts/node/index.ts'
import { unpackedKernel } from '../install/packages.ts'
import { fileThatBegins } from '../systems/images.ts'
import type { Check } from './checks.ts'
import { unpackKernel } from './desktop-disk.ts'
import { readText } from './picture.ts'

const WIDTH = 1024
const HEIGHT = 768

/** The first process: loads drivers, draws, and waits for a line between. */
const SCRIPT = `#!/bin/busybox sh
/bin/busybox --install -s /bin
export PATH=/bin
mount -t devtmpfs dev /dev
mount -t proc proc /proc
mount -t sysfs sys /sys
exec </dev/ttyS0 >/dev/ttyS0 2>&1
for module in $(cat /modules); do insmod /ko/$module; done
echo "frame buffer: $(cat /sys/class/graphics/fb0/name)"
printf '\\033[2J\\033[Hthere is 42\\n' >/dev/tty0
echo text; read line
printf '\\033[2J\\033[?25l' >/dev/tty0
cat /pattern >/dev/fb0
echo pattern; read line
poweroff -f
`

/** A module and those that it depends on, in the order in which they are loaded. */
async function modulesOf(root: string, names: readonly string[]): Promise<string[]> {
  const files = new Map<string, string>()
  for (const entry of await readdir(join(root, 'lib/modules'), { recursive: true, withFileTypes: true }))
    if (entry.name.endsWith('.ko'))
      files.set(basename(entry.name, '.ko').replaceAll('-', '_'), join(entry.parentPath, entry.name))
  const order: string[] = []
  const add = async (name: string) => {
    const file = files.get(name)
    // What is no file is part of the kernel.
    if (file === undefined || order.includes(file)) return
    const depends = /\0depends=([^\0]*)\0/.exec(await readFile(file, 'latin1'))?.[1] ?? ''
    for (const other of depends.split(',')) await add(other)
    order.push(file)
  }
  for (const name of names) await add(name)
  return order
}

/** One adapter, by Linux's driver. */
export function frameBuffer(vga: 'std' | 'virtio'): Check {
  return {
    name: `frame-buffer-${vga}`,
    how: `Debian's generic kernel with ${vga === 'std' ? 'bochs' : 'virtio_gpu'}; --vga ${vga}`,
    shows: 'text drawn by the console, and 786,432 pixels that a program wrote',
    async use({ say, start }) {
      const folder = await mkdtemp(join(tmpdir(), 'typetwo-frame-buffer-'))
      try {
        const root = await unpackedKernel('linux-image-amd64', { say })
        const kernel = join(folder, 'vmlinux')
        await unpackKernel(await fileThatBegins(join(root, 'boot'), 'vmlinuz-'), kernel)
        const pattern = Uint32Array.from(
          { length: WIDTH * HEIGHT },
          (_, i) => (Math.imul(i, 2654435761) >>> 8) & 0xffffff,
        )
        const modules = await modulesOf(root, ['virtio_pci', vga === 'std' ? 'bochs' : 'virtio_gpu'])
        const text = new TextEncoder()
        const file = (path: string, content: Uint8Array, mode = 0o644) =>
          ({ kind: 'file', path, mode, content }) as const
        const guest = await ensureDefaultGuest({ arch: 'amd64' })
        const more = writeCpio([
          file('draw', text.encode(SCRIPT), 0o755),
          file('modules', text.encode(`${modules.map(path => basename(path)).join('\n')}\n`)),
          file('pattern', new Uint8Array(pattern.buffer)),
          { kind: 'folder', path: 'ko', mode: 0o755 } as const,
          ...(await Promise.all(modules.map(async path => file(`ko/${basename(path)}`, await readFile(path))))),
        ])
        const initrd = join(folder, 'initrd')
        await writeFile(initrd, Buffer.concat([await readFile(guest.initrd), more]))
        const append = 'rdinit=/draw console=tty0 console=ttyS0,115200 mitigations=off cryptomgr.notests quiet'
        const seat = await start([
          ...['--memory', '256M', '--vga', vga, '--kernel', kernel, '--initrd', initrd, '--append', append],
        ])
        await seat.com1.until(vga === 'std' ? /frame buffer: bochs/ : /frame buffer: virtio_gpu/, 1800)
        await seat.com1.until(/^text/m, 600)
        const font = findFont(await readFile((await ensureFirmware('seabios'))[1]))!
        await seat.untilPicture(
          'text drawn by the console',
          picture => /^there is 42$/m.test(readText(picture, font)),
          600,
        )
        await seat.look('text')
        seat.com1.type('\n')
        await seat.com1.until(/^pattern/m, 600)
        const isPattern = ({ width, height, pixels }: { width: number; height: number; pixels: Uint32Array }) =>
          width === WIDTH && height === HEIGHT && pixels.every((pixel, i) => pixel === pattern[i])
        await seat.untilPicture('pattern', isPattern, 600)
        await seat.look('pattern')
        seat.com1.type('\n')
        if ((await seat.com1.ended(600)) !== 0) throw new Error('it does not turn itself off')
      } finally {
        await rm(folder, { recursive: true, force: true })
      }
    },
  }
}
