/** CDs and disks with boot loaders and Debian's kernels on them, made without being root and kept in the cache. */
import { spawn } from 'node:child_process'
import { createHash } from 'node:crypto'
import { copyFile, mkdir, readdir, readFile, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { writeCpio } from '../../src/hosts/node/guest/cpio.ts'
import { GUEST_FILES, GUEST_MODULES } from '../../src/hosts/node/guest/init.ts'
import { buildGuest } from '../../src/hosts/node/guest/initramfs.ts'
import { ensureDefaultGuest, type GuestArchitecture } from '../../src/hosts/node/index.ts'
import { makeEspImage } from '../install/cd.ts'
import { execute, hostTool, makeOnce, type Say, unpackedKernel, unpackedPackages } from '../install/packages.ts'

/** A file for a CD or disk: where it goes, and the host's file or the content. */
export type Files = Record<string, string | { content: string | Uint8Array }>

const BOOT_LOADERS = ['isolinux', 'syslinux-common', 'grub-pc-bin', 'grub-efi-amd64-bin', 'grub-common'] as const

/** Debian's boot loaders, unpacked. */
export function bootLoaders(say: Say): Promise<string> {
  return unpackedPackages('boot-loaders', BOOT_LOADERS, { say })
}

/** Lays files out as a tree. */
async function layOut(root: string, files: Files): Promise<void> {
  for (const [path, source] of Object.entries(files)) {
    await mkdir(join(root, path, '..'), { recursive: true })
    if (typeof source === 'string') await copyFile(source, join(root, path))
    else await writeFile(join(root, path), source.content)
  }
}

/** A name for what is made of files: it changes with them. */
async function versionOf(files: Files, ...more: string[]): Promise<string> {
  const hash = createHash('sha256').update(more.join('\0'))
  for (const [path, source] of Object.entries(files))
    hash.update(path).update(typeof source === 'string' ? await readFile(source) : source.content)
  return hash.digest('hex').slice(0, 12)
}

/** A CD that starts a Linux kernel by isolinux, on BIOS only. */
export async function isolinuxCd(
  name: string,
  {
    kernel,
    initrd,
    append,
    more = {},
    say,
  }: { kernel: string; initrd?: string; append: string; more?: Files; say: Say },
): Promise<string> {
  const loader = await bootLoaders(say)
  const files: Files = {
    ...more,
    linux: kernel,
    ...(initrd && { 'initrd.gz': initrd }),
    'isolinux/isolinux.bin': join(loader, 'usr/lib/ISOLINUX/isolinux.bin'),
    'isolinux/ldlinux.c32': join(loader, 'usr/lib/syslinux/modules/bios/ldlinux.c32'),
    'isolinux/isolinux.cfg': {
      content: `default it\nlabel it\n  kernel /linux\n  append ${initrd ? 'initrd=/initrd.gz ' : ''}${append}\n`,
    },
  }
  const folder = await makeOnce(`cd-${name}-${await versionOf(files)}`, async making => {
    await layOut(join(making, 'root'), files)
    await makeIso(making, ['-b', 'isolinux/isolinux.bin', '-c', 'isolinux/boot.cat', ...NO_EMULATION], say)
  })
  return join(folder, 'cd.iso')
}

const NO_EMULATION = ['-no-emul-boot', '-boot-load-size', '4', '-boot-info-table']

/** Makes `cd.iso` of the folder `root`, which goes. */
async function makeIso(making: string, boot: readonly string[], say: Say): Promise<void> {
  const xorriso = await hostTool('xorriso', ['xorriso'], say)
  const root = join(making, 'root')
  await xorriso(['-as', 'mkisofs', '-quiet', '-r', '-J', '-V', 'TYPETWO', '-o', join(making, 'cd.iso'), ...boot, root])
  await execute('rm', ['-r', root])
}

/** GRUB's modules for a menu that is read from CDs and disks, and for what it starts. */
const GRUB_MODULES = [
  'biosdisk',
  'configfile',
  'iso9660',
  'part_msdos',
  'ext2',
  'fat',
  'search',
  'normal',
  'linux',
  'multiboot',
  'multiboot2',
  'serial',
  'terminal',
  'echo',
  'gzio',
  'boot',
  'ls',
  'cat',
  'chain',
  'linux16',
]

/** GRUB as one file, with a first configuration in it. */
export async function grubImage(
  format: 'i386-pc' | 'i386-pc-eltorito',
  configuration: string,
  making: string,
  say: Say,
): Promise<string> {
  const loader = await bootLoaders(say)
  const mkimage = await hostTool('grub-mkimage', ['grub-common'], say)
  const [file, embedded] = [join(making, `core-${format}.img`), join(making, 'embedded.cfg')]
  await writeFile(embedded, configuration)
  const modules = join(loader, 'usr/lib/grub/i386-pc')
  await mkimage(['-d', modules, '-O', format, '-p', '/boot/grub', '-c', embedded, '-o', file, ...GRUB_MODULES])
  return file
}

/** A CD that starts by GRUB with a configuration, by BIOS and by UEFI. */
export async function grubCd(name: string, configuration: string, files: Files, say: Say): Promise<string> {
  const loader = await bootLoaders(say)
  const all: Files = {
    ...files,
    'boot/grub/grub.cfg': { content: configuration },
    '.disk/info': { content: 'typetwo\n' },
  }
  const folder = await makeOnce(`cd-${name}-${await versionOf(all, ...GRUB_MODULES)}`, async making => {
    const root = join(making, 'root')
    await layOut(root, all)
    const core = await grubImage(
      'i386-pc-eltorito',
      'set root=(cd)\nset prefix=(cd)/boot/grub\nconfigfile /boot/grub/grub.cfg\n',
      making,
      say,
    )
    await copyFile(core, join(root, 'boot/grub/eltorito.img'))
    await makeEspImage(join(root, 'boot/efi.img'), join(loader, 'usr/lib/grub/x86_64-efi/monolithic/gcdx64.efi'), say)
    const uefi = ['-eltorito-alt-boot', '-e', 'boot/efi.img', '-no-emul-boot']
    await makeIso(making, ['-b', 'boot/grub/eltorito.img', ...NO_EMULATION, ...uefi], say)
  })
  return join(folder, 'cd.iso')
}

const MiB = 2 ** 20

/** A disk with one partition of ext4 that holds a tree, and GRUB in front of it with a configuration. @returns its path, raw */
export async function grubDisk(
  name: string,
  {
    tree,
    configuration,
    size,
    say,
  }: { tree: (root: string) => Promise<void>; configuration: string; size: number; say: Say },
): Promise<string> {
  const loader = await bootLoaders(say)
  const folder = await makeOnce(
    `disk-${name}-${createHash('sha256').update(configuration).digest('hex').slice(0, 12)}`,
    async making => {
      const root = join(making, 'root')
      await mkdir(root)
      await tree(root)
      const image = join(making, 'disk.img')
      await execute('truncate', ['-s', String(size), image])
      const mke2fs = await hostTool('mke2fs', ['e2fsprogs'], say)
      const start = MiB
      await mke2fs([
        '-q',
        '-t',
        'ext4',
        '-d',
        root,
        '-E',
        `offset=${start},root_owner=0:0`,
        image,
        `${(size - start) / 1024}k`,
      ])
      const core = await readFile(await grubImage('i386-pc', configuration, making, say))
      if (core.length > start - 512) throw new Error('GRUB is larger than the room in front of the partition')
      const sector = await readFile(join(loader, 'usr/lib/grub/i386-pc/boot.img'))
      // The partition table, in place of code for floppies: one of type 83h, active.
      sector.fill(0, 440)
      const entry = Buffer.alloc(16)
      entry.set([0x80, 0xfe, 0xff, 0xff, 0x83, 0xfe, 0xff, 0xff])
      entry.writeUInt32LE(start / 512, 8)
      entry.writeUInt32LE((size - start) / 512, 12)
      sector.set(entry, 446)
      sector.set([0x55, 0xaa], 510)
      const { open } = await import('node:fs/promises')
      const file = await open(image, 'r+')
      await file.write(sector, 0, 512, 0)
      await file.write(core, 0, core.length, 512)
      await file.close()
      await execute('rm', ['-r', root])
    },
  )
  return join(folder, 'disk.img')
}

/** In the initial RAM file system: finds the disk that is the root, and goes on there. */
export const SWITCH_ROOT = `#!/bin/busybox sh
/bin/busybox --install -s /bin
export PATH=/bin
mount -t devtmpfs dev /dev
mount -t proc proc /proc
mount -t sysfs sys /sys
load-modules
for try in 1 2 3 4 5 6 7 8 9; do
  for partition in /dev/[sv]da1 /dev/nvme0n1p1; do
    [ -e $partition ] && mount -t ext4 $partition /mnt && break 2
  done
  sleep 1
done
umount /sys /proc /dev
exec switch_root /mnt /init
`

/**
 * Debian's generic kernel with busybox, as the default guest is made, whose kernel for the cloud has no driver for SATA.
 * @returns paths
 */
async function genericGuest(architecture: GuestArchitecture, say: Say): Promise<{ kernel: string; initrd: string }> {
  // That of i386 is generic.
  if (architecture === 'i386') return ensureDefaultGuest({ arch: architecture })
  const trees = [
    await unpackedKernel('linux-image-amd64', { say }),
    await unpackedPackages('busybox', ['busybox-static'], { say }),
  ]
  const recipe = createHash('sha256')
    .update(JSON.stringify([GUEST_FILES, GUEST_MODULES]))
    .digest('hex')
    .slice(0, 12)
  const folder = await makeOnce(`guest-generic-amd64-${recipe}`, async making => {
    const archives = trees.map(
      tree => spawn('tar', ['-c', '-C', tree, '.'], { stdio: ['ignore', 'pipe', 'inherit'] }).stdout,
    )
    const { kernel, initrd } = await buildGuest(archives)
    await writeFile(join(making, 'vmlinuz'), kernel)
    await writeFile(join(making, 'initrd'), initrd)
  })
  return { kernel: join(folder, 'vmlinuz'), initrd: join(folder, 'initrd') }
}

/** A disk with that guest, and GRUB in front of it. @returns its path, raw */
export async function genericDisk(architecture: GuestArchitecture, configuration: string, say: Say): Promise<string> {
  const guest = await genericGuest(architecture, say)
  const version = createHash('sha256')
    .update(await readFile(guest.initrd))
    .digest('hex')
    .slice(0, 12)
  const tree = (root: string) => rootOfGuest(guest, root)
  return grubDisk(`generic-${architecture}-${version}`, { tree, configuration, size: 256 * MiB, say })
}

/** Fills a root with Debian's generic kernel, an initial RAM file system that goes on to it, and the default guest's programs. */
async function rootOfGuest(guest: { kernel: string; initrd: string }, root: string): Promise<void> {
  await mkdir(join(root, 'boot'))
  await copyFile(guest.kernel, join(root, 'boot/vmlinuz'))
  const script = {
    kind: 'file',
    path: 'switch-root',
    mode: 0o755,
    content: new TextEncoder().encode(SWITCH_ROOT),
  } as const
  await writeFile(join(root, 'boot/initrd'), Buffer.concat([await readFile(guest.initrd), writeCpio([script])]))
  // Devices cannot be made by everybody, and the kernel makes them.
  const unpack = 'cpio -idu --quiet --no-preserve-owner <"$1" 2>/dev/null; test -x init'
  await execute('sh', ['-c', unpack, 'sh', guest.initrd], { cwd: root })
}

/** The newest file of a folder whose name begins so. */
export async function fileThatBegins(folder: string, prefix: string): Promise<string> {
  const name = (await readdir(folder)).find(name => name.startsWith(prefix))
  if (name === undefined) throw new Error(`${folder} has no ${prefix}…`)
  return join(folder, name)
}
