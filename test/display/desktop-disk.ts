/** A disk with a small Debian desktop: X, a window manager, a terminal, made by debootstrap on the host, which takes root. */
import { createHash } from 'node:crypto'
import { chmod, mkdir, readdir, readFile, rename, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { UserError } from '../../src/hosts/node/index.ts'
import { execute, hostTool, makeOnce, packagePool, type Say } from '../install/packages.ts'
import { grubDisk } from '../systems/images.ts'

const SUITE = 'bookworm'

/** What is installed besides what every Debian has. */
const PACKAGES = [
  'linux-image-amd64',
  'systemd-sysv',
  'udev',
  'dbus',
  'kmod',
  'procps',
  'xserver-xorg-core',
  'xserver-xorg-input-libinput',
  'xinit',
  'xauth',
  'x11-xserver-utils',
  'xfonts-base',
  'fonts-dejavu-core',
  'icewm',
  'xterm',
  'x11-apps',
  'alsa-utils',
]

/** What debootstrap installs besides, without being asked. */
const WITH_DEBOOTSTRAP = ['usr-is-merged']

/** The desktop's background, and where its terminal is. */
export const DESKTOP_COLOR = '#1e3c5a'
export const DESKTOP_TERMINAL = '+100+80'

/** What the initial RAM file system needs to find its disk, and no more: it is unpacked at each start. */
const MODULES = ['ata_piix', 'ata_generic', 'ahci', 'sd_mod', 'ext4', 'virtio_pci', 'virtio_blk', 'nvme']

/** Files of the system: a root without password, who is logged in at the first terminal and at COM1. */
const FILES: Record<string, string> = {
  'etc/hostname': 'desktop\n',
  'etc/fstab': '/dev/vda1 / ext4 errors=remount-ro 0 1\n',
  'etc/systemd/system/getty@tty1.service.d/typetwo.conf':
    '[Service]\nExecStart=\nExecStart=-/sbin/agetty --autologin root --noclear %I linux\n',
  'etc/systemd/system/serial-getty@ttyS0.service.d/typetwo.conf':
    '[Service]\nExecStart=\nExecStart=-/sbin/agetty --autologin root --keep-baud 115200 %I vt100\n',
  // A busy host is no reason to give up.
  'etc/systemd/system.conf.d/typetwo.conf': '[Manager]\nDefaultTimeoutStartSec=1h\nDefaultDeviceTimeoutSec=1h\n',
  // The processor draws: there is nothing that could do it for it.
  'etc/X11/xorg.conf.d/typetwo.conf':
    'Section "Device"\n  Identifier "card"\n  Driver "modesetting"\n  Option "AccelMethod" "none"\nEndSection\n',
  // Nothing is to be seen that changes by itself: no clock, no blinking cursor, no blank screen.
  'root/.xinitrc': `xset s off -dpms
xsetroot -solid '${DESKTOP_COLOR}'
xterm -geometry 80x24${DESKTOP_TERMINAL} -bg white -fg black -title terminal &
exec icewm
`,
  'root/.icewm/preferences':
    'TaskBarShowClock=0\nTaskBarShowCPUStatus=0\nTaskBarShowNetStatus=0\nTaskBarShowMEMStatus=0\n',
}

const hashOf = (value: unknown) => createHash('sha256').update(JSON.stringify(value)).digest('hex').slice(0, 8)

/** Lays a Debian out in a folder. */
async function installDesktop(root: string, say: Say): Promise<void> {
  if (process.getuid?.() !== 0) throw new UserError('debootstrap needs root: start this as root')
  const pool = await packagePool(`desktop-pool-${hashOf(PACKAGES)}`, SUITE, [...PACKAGES, ...WITH_DEBOOTSTRAP], say)
  say('Laying out a Debian desktop')
  const include = `--include=${PACKAGES.join(',')}`
  await execute('debootstrap', ['--variant=minbase', '--no-check-gpg', include, SUITE, root, `file://${pool}`])
  for (const [path, content] of Object.entries(FILES)) {
    await mkdir(join(root, path, '..'), { recursive: true })
    await writeFile(join(root, path), content)
  }
  await chmod(join(root, 'root/.xinitrc'), 0o755)
  await writeFile(join(root, 'etc/initramfs-tools/modules'), `${MODULES.join('\n')}\n`)
  await writeFile(join(root, 'etc/initramfs-tools/conf.d/typetwo'), 'MODULES=list\nCOMPRESS=gzip\n')
  const inside = (...words: string[]) => execute('chroot', [root, ...words])
  await inside('update-initramfs', '-u')
  await inside('passwd', '-d', 'root')
  await inside('systemctl', 'disable', 'apt-daily.timer', 'apt-daily-upgrade.timer', 'e2scrub_all.timer')
  const boot = join(root, 'boot')
  const files = await readdir(boot)
  for (const [prefix, name] of [
    ['vmlinuz-', 'vmlinuz'],
    ['initrd.img-', 'initrd'],
  ])
    await rename(join(boot, files.find(file => file.startsWith(prefix))!), join(boot, name))
  await execute('sh', ['-c', 'for at in proc sys dev/pts dev; do umount "$1/$at" 2>/dev/null; done; true', 'sh', root])
}

/** What the kernel is started with. A busy host may take a minute until the disk is there; what waits for it sleeps so long at once. */
const APPEND =
  'root=/dev/vda1 ro rootdelay=60 console=tty0 console=ttyS0,115200 mitigations=off cryptomgr.notests quiet'

/** The disk, raw, and its kernel and initial RAM file system, in the cache. */
export interface DesktopDisk {
  disk: string
  /** Unpacked: what the kernel does for itself otherwise takes longer than everything else at a start. */
  kernel: string
  initrd: string
  append: string
}

/** Makes it, if it is not there. */
export async function desktopDisk(say: Say): Promise<DesktopDisk> {
  const name = `desktop-${hashOf([PACKAGES, MODULES, FILES])}`
  const disk = await grubDisk(name, {
    tree: root => installDesktop(root, say),
    configuration: `set root=(hd0,msdos1)\nlinux /boot/vmlinuz ${APPEND}\ninitrd /boot/initrd\nboot\n`,
    size: 2 * 2 ** 30,
    say,
  })
  const folder = await makeOnce(`boot-${name}`, async making => {
    const debugfs = await hostTool('debugfs', ['e2fsprogs'], say)
    for (const file of ['vmlinuz', 'initrd'])
      await debugfs(['-R', `dump /boot/${file} ${join(making, file)}`, `${disk}?offset=${2 ** 20}`])
    await unpackKernel(join(making, 'vmlinuz'), join(making, 'vmlinux'))
  })
  return { disk, kernel: join(folder, 'vmlinux'), initrd: join(folder, 'initrd'), append: APPEND }
}

/** Unpacks a bzImage that is packed by xz, as Debian's generic kernels are (Linux's Documentation/arch/x86/boot.rst). */
export async function unpackKernel(image: string, to: string): Promise<void> {
  const bytes = await readFile(image)
  const start = (bytes[0x1f1] + 1) * 512 + bytes.readUInt32LE(0x248)
  const length = bytes.readUInt32LE(0x24c)
  const script = 'tail -c +"$2" "$1" | head -c "$3" | xz -dc --single-stream >"$4"'
  await execute('sh', ['-c', script, 'sh', image, String(start + 1), String(length), to])
}
