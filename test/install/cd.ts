/** Makes the CD that a Debian is installed from: isolinux for BIOS, GRUB for UEFI, a small system that runs from it, a pool of packages. */
import { chmod, copyFile, mkdir, readdir, readFile, symlink, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { writeCpio } from '../../src/hosts/node/guest/cpio.ts'
import { ensureDefaultGuest } from '../../src/hosts/node/index.ts'
import { FIRST_PROCESS, type InstallPlan, installScript } from './installer.ts'
import { execute, hostTool, makeOnce, packagePool, type Say, unpackedPackages } from './packages.ts'

/** The programs of the system on the CD, by their packages: what debootstrap calls, and what makes partitions and file systems. */
const LIVE_PACKAGES = ['debootstrap', 'wget', 'fdisk', 'dosfstools', 'xz-utils', 'e2fsprogs']
/** What debootstrap asks for besides. */
const DEBOOTSTRAP_PACKAGES = ['usr-is-merged']
/** Folders of packages that nobody reads there. */
const LEFT_OUT = ['usr/share/doc', 'usr/share/man', 'usr/share/locale', 'usr/share/info', 'usr/share/zoneinfo']
const MERGED = ['bin', 'sbin', 'lib', 'lib64']

/** Folders of the live system where something is mounted. */
const MOUNT_POINTS = ['dev', 'proc', 'sys', 'tmp', 'run', 'media', 'var/log']

/** The system on the CD: packages unpacked into one tree, without their scripts. */
function liveSystem(pool: string, say: Say): Promise<string> {
  return makeOnce('install-live', async folder => {
    say('Unpacking the system of the CD')
    for (const name of MERGED) {
      await mkdir(join(folder, 'usr', name), { recursive: true })
      await symlink(`usr/${name}`, join(folder, name))
    }
    for (const file of await readdir(join(pool, 'pool'))) {
      if (!(await isLive(file))) continue
      await execute('sh', [
        '-c',
        `dpkg-deb --fsys-tarfile "$1" | tar -x --no-same-owner --keep-directory-symlink -C "$2" ${LEFT_OUT.map(path => `--exclude=./${path}`).join(' ')}`,
        'sh',
        join(pool, 'pool', file),
        folder,
      ])
    }
    for (const path of MOUNT_POINTS) await mkdir(join(folder, path), { recursive: true })
    const etc = join(folder, 'etc')
    await copyFile(join(folder, 'usr/share/base-passwd/passwd.master'), join(etc, 'passwd'))
    await copyFile(join(folder, 'usr/share/base-passwd/group.master'), join(etc, 'group'))
    for (const [name, target] of [
      ['awk', 'mawk'],
      ['sh', 'dash'],
    ])
      await symlink(target, join(folder, 'usr/bin', name)).catch(() => {})
  })
}

/** Packages that are only for the system that is installed. */
const NOT_LIVE =
  /^(linux-image|grub|initramfs|systemd|udev|dbus|cron|apt_|libapt|iproute2|procps|kmod|klibc|libgnutls|tzdata)/

async function isLive(file: string): Promise<boolean> {
  return !NOT_LIVE.test(file)
}

/**
 * Makes the CD.
 * @returns the path of the image, in the cache
 */
export async function installationCd(plan: InstallPlan, say: Say): Promise<string> {
  const packages = [...new Set([...plan.base, ...plan.boot])]
  const pool = await packagePool(
    `install-pool-${plan.firmware}`,
    plan.suite,
    [...packages, ...LIVE_PACKAGES, ...DEBOOTSTRAP_PACKAGES],
    say,
  )
  const live = await liveSystem(pool, say)
  const loader = await unpackedPackages('boot-loaders', ['isolinux', 'syslinux-common', 'grub-efi-amd64-bin'], { say })
  const guest = await ensureDefaultGuest({ report: say })
  const initrd = Buffer.concat([
    await readFile(guest.initrd),
    writeCpio([{ kind: 'file', path: 'first-process', mode: 0o755, content: new TextEncoder().encode(FIRST_PROCESS) }]),
  ])
  const script = installScript(plan)
  const { createHash } = await import('node:crypto')
  const version = createHash('sha256').update(script).update(initrd).digest('hex').slice(0, 12)
  const folder = await makeOnce(`install-cd-${plan.firmware}-${version}`, async making => {
    say('Making the CD')
    const root = join(making, 'root')
    const append = 'console=ttyS0,115200 rdinit=/first-process mitigations=off cryptomgr.notests'
    for (const path of ['isolinux', 'boot/grub', '.disk']) await mkdir(join(root, path), { recursive: true })
    await copyFile(guest.kernel, join(root, 'boot/vmlinuz'))
    await writeFile(join(root, 'boot/initrd'), initrd)
    await copyFile(join(loader, 'usr/lib/ISOLINUX/isolinux.bin'), join(root, 'isolinux/isolinux.bin'))
    await copyFile(join(loader, 'usr/lib/syslinux/modules/bios/ldlinux.c32'), join(root, 'isolinux/ldlinux.c32'))
    await writeFile(
      join(root, 'isolinux/isolinux.cfg'),
      `serial 0 115200\ndefault install\nlabel install\n  kernel /boot/vmlinuz\n  append initrd=/boot/initrd ${append}\n`,
    )
    await writeFile(join(root, '.disk/info'), 'typetwo installation test\n')
    await writeFile(
      join(root, 'boot/grub/grub.cfg'),
      `set timeout=0\nmenuentry install {\n  linux /boot/vmlinuz ${append}\n  initrd /boot/initrd\n}\n`,
    )
    const installer = join(making, 'install.sh')
    await writeFile(installer, script)
    await chmod(installer, 0o755)
    await makeEspImage(join(root, 'boot/efi.img'), join(loader, 'usr/lib/grub/x86_64-efi/monolithic/gcdx64.efi'), say)
    const xorriso = await hostTool('xorriso', ['xorriso'], say)
    const image = join(making, 'install.iso')
    await xorriso([
      ...['-as', 'mkisofs', '-quiet', '-r', '-J', '-joliet-long', '-V', 'TYPETWO', '-o', image],
      ...['-b', 'isolinux/isolinux.bin', '-c', 'isolinux/boot.cat', '-no-emul-boot'],
      ...['-boot-load-size', '4', '-boot-info-table'],
      ...['-eltorito-alt-boot', '-e', 'boot/efi.img', '-no-emul-boot'],
      '-graft-points',
      `/=${root}`,
      `/live=${live}`,
      `/live/install.sh=${installer}`,
      `/dists=${join(pool, 'dists')}`,
      `/pool=${join(pool, 'pool')}`,
    ])
    // The tree is in the image.
    await execute('rm', ['-r', root, installer])
  })
  return join(folder, 'install.iso')
}

/** A FAT file system with a UEFI boot loader where firmware looks for one on removable media. */
export async function makeEspImage(image: string, loader: string, say: Say): Promise<void> {
  const mformat = await hostTool('mformat', ['mtools'], say)
  const mmd = await hostTool('mmd', ['mtools'], say)
  const mcopy = await hostTool('mcopy', ['mtools'], say)
  // 80 cylinders, 4 heads, 36 sectors: 5.6 MiB.
  await mformat(['-C', '-i', image, '-t', '80', '-h', '4', '-n', '36', '::'])
  await mmd(['-i', image, '::/EFI', '::/EFI/BOOT'])
  await mcopy(['-i', image, loader, '::/EFI/BOOT/BOOTX64.EFI'])
}
