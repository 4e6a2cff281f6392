/**
 * A system is installed from a CD and boots from its disk: SeaBIOS, isolinux, partitions, a file system, GRUB, a root on the disk. The
 * same with all of Debian is `npm run test:install`.
 */
import assert from 'node:assert/strict'
import { spawnSync } from 'node:child_process'
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, test } from 'node:test'
import { writeCpio } from '../../src/hosts/node/guest/cpio.ts'
import { ensureDefaultGuest, ensureFirmware } from '../../src/hosts/node/index.ts'
import { Machine } from '../../src/hosts/node/machine.ts'
import { execute } from '../install/packages.ts'
import { bootLoaders, grubImage, isolinuxCd, SWITCH_ROOT } from '../systems/images.ts'
import { Transcript } from './debian.ts'

const TYPETWO = new URL('../../bin/typetwo', import.meta.url).pathname
const APPEND = 'console=ttyS0,115200 mitigations=off cryptomgr.notests'
const GRUB = `set root=(hd0,msdos1)
linux /boot/vmlinuz ${APPEND} rdinit=/switch-root TYPETWO_INPUT=pipe
initrd /boot/initrd
boot
`

/** The first process of the CD's system. */
const INSTALL = `#!/bin/busybox sh
/bin/busybox --install -s /bin
export PATH=/bin
mount -t devtmpfs dev /dev
mount -t proc proc /proc
mount -t sysfs sys /sys
exec </dev/console >/dev/console 2>&1
load-modules
until [ -e /dev/vda ] && mkdir -p /cdrom && mount -t iso9660 -o ro /dev/sr0 /cdrom 2>/dev/null; do sleep 0.1; done
(
  set -e
  printf 'o\\nn\\np\\n1\\n2048\\n\\na\\n1\\nw\\n' | fdisk /dev/vda >/dev/null
  until [ -e /dev/vda1 ]; do sleep 0.1; done
  mke2fs -F /dev/vda1 >/dev/null
  mount -t ext4 /dev/vda1 /mnt
  cd /mnt
  cpio -idu </cdrom/initrd.gz 2>/dev/null
  mkdir boot
  cp /cdrom/linux boot/vmlinuz
  cp /cdrom/initrd.gz boot/initrd
  cd /
  umount /mnt
  dd if=/cdrom/boot.img of=/dev/vda bs=440 count=1 conv=notrunc 2>/dev/null
  dd if=/cdrom/core.img of=/dev/vda bs=512 seek=1 conv=notrunc 2>/dev/null
  sync
) && echo installed || echo failed
poweroff -f
`

const folder = await mkdtemp(join(tmpdir(), 'typetwo-install-'))
after(() => rm(folder, { recursive: true }))

/** What the test needs, or why it is not to be had here. */
async function prepare() {
  const say = () => {}
  const guest = await ensureDefaultGuest()
  const [bios] = await ensureFirmware('seabios')
  const loader = await bootLoaders(say)
  const script = (path: string, content: string) =>
    ({ kind: 'file', path, mode: 0o755, content: new TextEncoder().encode(content) }) as const
  const initrd = join(folder, 'initrd')
  const scripts = writeCpio([script('install', INSTALL), script('switch-root', SWITCH_ROOT)])
  await writeFile(initrd, Buffer.concat([await readFile(guest.initrd), scripts]))
  const cd = await isolinuxCd('install-test', {
    kernel: guest.kernel,
    initrd,
    append: `${APPEND} rdinit=/install`,
    more: {
      'boot.img': join(loader, 'usr/lib/grub/i386-pc/boot.img'),
      'core.img': await grubImage('i386-pc', GRUB, folder, say),
    },
    say,
  })
  return { bios: new Uint8Array(await readFile(bios)), cd }
}

const prepared = await prepare().catch((error: Error) => error.message)

test('a CD installs a system onto a qcow2 disk, which boots from it', {
  skip: typeof prepared === 'string' && prepared,
  timeout: 1_800_000,
}, async () => {
  const { bios, cd } = prepared as Exclude<typeof prepared, string>
  const disk = join(folder, 'disk.qcow2')
  await execute(TYPETWO, ['disk', 'create', disk, '--size', '200M'])
  // Counted time: the guest does not notice how busy the host is.
  const common = {
    firmware: bios,
    clock: 'instructions' as const,
    memory: 256 << 20,
    disks: [{ image: disk, bus: 'virtio' as const }],
  }

  const installer = await Machine.create({ ...common, cdroms: [{ image: cd }], boot: { order: ['cdrom', 'disk'] } })
  const installation = new Transcript(installer.serial[0].readable)
  await installer.start()
  assert.equal((await installer.stopped).reason, 'poweroff')
  assert.match(installation.text, /^installed\r$/m)

  const machine = await Machine.create(common)
  const seen = new Transcript(machine.serial[0].readable)
  const writer = machine.serial[0].writable.getWriter()
  await machine.start()
  await seen.until('typetwo:~# ')
  const script = 'mount | grep " / "; echo 6 >/root/six; echo $(($(cat /root/six) * 7)) is the answer\npoweroff -f\n'
  await writer.write(new TextEncoder().encode(script))
  const end = await machine.stopped
  assert.equal(end.reason, 'poweroff', end.message ?? end.reason)
  assert.match(seen.text, /Booting from Hard Disk[\s\S]*\/dev\/vda1 on \/ type ext4[\s\S]*42 is the answer/)

  const check = spawnSync('qemu-img', ['check', disk], { encoding: 'utf8' })
  if (check.error === undefined) assert.equal(check.status, 0, check.stdout + check.stderr)
})
