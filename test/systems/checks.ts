/** Systems that are to boot, how, and what shows that they did. */
import { join } from 'node:path'
import { ensureDefaultGuest } from '../../src/hosts/node/index.ts'
import type { Console } from '../install/console.ts'
import { type Say, unpackedKernel, unpackedPackages } from '../install/packages.ts'
import { fileThatBegins, genericDisk, grubCd, isolinuxCd } from './images.ts'

/** One system, booted in one way. */
export interface Check {
  name: string
  /** For the table: by which firmware, from what, on which machine. */
  how: string
  /** What shows that it works. */
  shows: string
  /** Makes what it boots. @returns the words of `typetwo run` */
  words(say: Say): Promise<string[]>
  /** Talks with it. */
  talk(machine: Console): Promise<void>
  /** Seconds at most. */
  seconds: number
  /** What executes it, whatever is asked for. */
  engine?: 'interpreter'
}

/** How much longer than otherwise a check may take that is interpreted. */
const INTERPRETED = 6

/** A check of the interpreter alone. */
function interpreted(check: Check): Check {
  const { name, how, seconds } = check
  return {
    ...check,
    name: `${name}-interpreted`,
    how: `${how}, interpreted`,
    seconds: INTERPRETED * seconds,
    engine: 'interpreter',
  }
}

const rescue = (say: Say) =>
  unpackedPackages('grub-rescue', ['grub-rescue-pc'], { say }).then(root => join(root, 'usr/lib/grub-rescue'))

/** GRUB's menu, and its command line. */
async function grubShell(machine: Console): Promise<void> {
  await machine.until(/GNU GRUB {2}version 2/, 300 * INTERPRETED)
  await machine.until(/highlighted entry/, 300)
  machine.type('c')
  await machine.until(/grub> /, 300)
  // Keys wait in the BIOS's buffer, which has 15 places, however long GRUB takes for each.
  for (const word of ['echo six ', 'times ', 'seven']) {
    await machine.typeSlowly(word)
    await machine.until(new RegExp(word.trim()), 300)
  }
  machine.type('\r')
  await machine.until(/^six times seven/m, 300)
}

async function installerDialog(machine: Console): Promise<void> {
  await machine.until(/Linux version/, 600)
  await machine.until(/Select a language/, 1800)
}

/** The prompt of the default guest, its root on a disk. */
async function shellOnDisk(machine: Console, pattern: RegExp): Promise<void> {
  await machine.until(/typetwo:~# /, 900)
  machine.type('mount | grep "on / "; uname -m; echo content >/root/file; sync\n')
  await machine.until(pattern, 300)
  machine.type('poweroff -f\n')
  await machine.ended(300)
}

function netboot(architecture: 'amd64' | 'i386'): Check {
  return {
    name: `installer-${architecture}`,
    how: "SeaBIOS, IDE CD, isolinux; Debian's generic kernel",
    shows: 'the first dialog of the installer on COM1',
    seconds: 2400,
    async words(say) {
      const root = await unpackedPackages(`netboot-${architecture}`, [`debian-installer-12-netboot-${architecture}`], {
        say,
      })
      const files = join(
        root,
        `usr/lib/debian-installer/images/12/${architecture}/text/debian-installer/${architecture}`,
      )
      const append = 'console=ttyS0,115200 TERM=vt102 mitigations=off cryptomgr.notests'
      const images = { kernel: join(files, 'linux'), initrd: join(files, 'initrd.gz') }
      return ['--memory', '1G', '--cdrom', await isolinuxCd(`installer-${architecture}`, { ...images, append, say })]
    },
    talk: installerDialog,
  }
}

function linuxDisk(architecture: 'amd64' | 'i386', bus: string, machine = 'pc'): Check {
  const device = { ide: 'sda1', sata: 'sda1', nvme: 'nvme0n1p1', virtio: 'vda1' }[bus]
  return {
    name: `${architecture}-${bus}${machine === 'pc' ? '' : `-${machine}`}`,
    how: `SeaBIOS, GRUB on a disk at ${bus}, ${machine}`,
    shows: 'a shell whose root is the disk',
    seconds: 1200,
    async words(say) {
      const append = 'console=ttyS0,115200 rdinit=/switch-root mitigations=off cryptomgr.notests'
      const configuration = `set root=(hd0,msdos1)\nlinux /boot/vmlinuz ${append}\ninitrd /boot/initrd\nboot\n`
      const disk = await genericDisk(architecture, configuration, say)
      return ['--machine', machine, '--disk', `${disk},bus=${bus},cache=unsafe`]
    },
    talk: machine =>
      shellOnDisk(
        machine,
        new RegExp(`/dev/${device} on / type ext4[\\s\\S]*${architecture === 'amd64' ? 'x86_64' : 'i686'}`),
      ),
  }
}

function memtest(file: string, architecture: string): Check {
  return {
    name: `memtest-${architecture}`,
    how: 'SeaBIOS, --kernel by the option ROM',
    shows: 'the display of its tests on COM1, without errors',
    seconds: 600,
    async words(say) {
      const root = await unpackedPackages('memtest', ['memtest86+'], { say })
      return [
        '--memory',
        '32M',
        '--bios',
        'seabios',
        '--kernel',
        join(root, 'boot', file),
        '--append',
        'console=ttyS0,115200',
      ]
    },
    async talk(machine) {
      await machine.until(/Memtest86\+/, 300)
      await machine.until(/Pass[\s\S]*Test[\s\S]*Errors/i, 600)
    },
  }
}

const DOM0 = /Linux version[\s\S]*Booting (paravirtualized )?kernel on Xen|Linux version[\s\S]*Hypervisor detected: Xen/

/** Xen's files, and a kernel for its dom0. */
async function xenFiles(say: Say): Promise<{ xen: string; kernel: string }> {
  const root = await unpackedPackages('xen', ['xen-hypervisor-4.17-amd64'], { say })
  const kernel = await unpackedKernel('linux-image-amd64', { say })
  return {
    xen: join(root, 'boot/xen-4.17-amd64.gz'),
    kernel: await fileThatBegins(join(kernel, 'boot'), 'vmlinuz-'),
  }
}

const grubRescueCd: Check = {
  name: 'grub-cd',
  how: 'SeaBIOS, IDE CD',
  shows: 'menu and command line of GRUB on COM1',
  seconds: 300,
  words: async say => ['--cdrom', join(await rescue(say), 'grub-rescue-cdrom.iso')],
  talk: grubShell,
}

const ipxe: Check = {
  name: 'ipxe',
  how: 'SeaBIOS, IDE CD, isolinux',
  shows: 'what it says of the devices that it finds',
  seconds: 300,
  async words(say) {
    const root = await unpackedPackages('ipxe', ['ipxe'], { say })
    return ['--cdrom', join(root, 'usr/lib/ipxe/ipxe.iso')]
  },
  talk: async machine => void (await machine.until(/iPXE 1\.\d[\s\S]*Features:/, 300 * INTERPRETED)),
}

/** All of them. */
export const CHECKS: readonly Check[] = [
  grubRescueCd,
  interpreted(grubRescueCd),
  {
    name: 'grub-sata-cd',
    how: 'SeaBIOS, SATA CD, q35',
    shows: 'menu and command line of GRUB on COM1',
    seconds: 300,
    words: async say => ['--machine', 'q35', '--cdrom', `${join(await rescue(say), 'grub-rescue-cdrom.iso')},bus=sata`],
    talk: grubShell,
  },
  {
    name: 'grub-floppy',
    how: 'SeaBIOS, floppy whose image lacks its end',
    shows: 'menu and command line of GRUB on COM1',
    seconds: 300,
    words: async say => ['--floppy', `${join(await rescue(say), 'grub-rescue-floppy.img')},readonly`],
    talk: grubShell,
  },
  {
    name: 'grub-disk',
    how: 'SeaBIOS, the CD as an IDE disk',
    shows: 'menu and command line of GRUB on COM1',
    seconds: 300,
    words: async say => ['--disk', `${join(await rescue(say), 'grub-rescue-cdrom.iso')},readonly,format=raw`],
    talk: grubShell,
  },
  ipxe,
  interpreted(ipxe),
  memtest('memtest86+x64.bin', '64'),
  memtest('memtest86+ia32.bin', '32'),
  netboot('amd64'),
  netboot('i386'),
  ...(['ide', 'sata', 'nvme', 'virtio'] as const).map(bus => linuxDisk('amd64', bus)),
  ...(['ide', 'sata', 'nvme', 'virtio'] as const).map(bus => linuxDisk('i386', bus)),
  ...(['ide', 'sata', 'nvme', 'virtio'] as const).map(bus => linuxDisk('amd64', bus, 'q35')),
  ...(['ide', 'sata', 'nvme', 'virtio'] as const).map(bus => linuxDisk('i386', bus, 'q35')),
  {
    name: 'xen',
    how: 'SeaBIOS, IDE CD, GRUB, multiboot 2',
    shows: 'the hypervisor, and a dom0 kernel that it starts',
    seconds: 1200,
    async words(say) {
      const { xen, kernel } = await xenFiles(say)
      const configuration = [
        'multiboot2 /xen.gz com1=115200,8n1 console=com1 dom0_mem=256M',
        'module2 /vmlinuz console=hvc0 earlyprintk=xen',
        'boot',
      ].join('\n')
      const files = { 'xen.gz': xen, vmlinuz: kernel }
      return ['--memory', '512M', '--cdrom', await grubCd('xen', configuration, files, say)]
    },
    async talk(machine) {
      await machine.until(/Xen version 4\.17/, 300)
      await machine.until(DOM0, 900)
      // It has no root, which is as far as it can go.
      await machine.until(/Kernel panic - not syncing: VFS|Unable to mount root/, 900)
    },
  },
  {
    name: 'xen-direct',
    how: '--kernel xen.gz, multiboot 1 with two modules, no firmware',
    shows: 'the hypervisor, and as its dom0 the default guest to its shell',
    seconds: 1200,
    async words(say) {
      const { xen, kernel } = await xenFiles(say)
      const { initrd } = await ensureDefaultGuest()
      const append = 'com1=115200,8n1 console=com1 dom0_mem=256M'
      const modules = `${kernel} console=hvc0 mitigations=off,${initrd}`
      return ['--memory', '512M', '--kernel', xen, '--append', append, '--initrd', modules]
    },
    async talk(machine) {
      await machine.until(/Xen version 4\.17/, 300)
      await machine.until(DOM0, 900)
      await machine.until(/typetwo:~# /, 900)
    },
  },
]
