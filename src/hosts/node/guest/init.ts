/**
 * The small files of the default guest: what runs as process 1 and what it uses. Everything else is Debian's.
 */

/**
 * What the kernel starts. It prepares the terminal, mounts what programs expect, and becomes busybox's init, whose
 * {@link INITTAB} starts the shell: init is who knows how to end a machine, and gives what it starts a fresh set of
 * signals. (A script's background job ignores the interrupt key, and so would all that the shell starts.)
 *
 * The kernel hands words `NAME=value` of its command line to process 1 as its environment; see {@link GuestTerminal}.
 * `crtscts` makes the kernel lower RTS when its input buffer is full, so that input is held and not dropped. It comes
 * first because input may already be waiting; init does not get the console, of which it would undo that. A line to
 * the second serial port then says that piped input may come ({@link MachineOptions.holdInput}), so that the kernel,
 * which echoes until it is told not to, never sees it before.
 *
 * Somebody always holds the console open, init as its file 3: what was typed would be lost when the last one closes it.
 *
 * Modules are loaded before the prompt only when there is a disk, CD or network controller (PCI class 01 or 02), so
 * that what is attached is there for the first command; otherwise behind the prompt, so that nobody waits for them.
 */
const INIT = `#!/bin/busybox sh
[ "$TYPETWO_INPUT" = pipe ] && echo=-echo
/bin/busybox stty crtscts $echo \${TYPETWO_ROWS:+rows "$TYPETWO_ROWS" columns "$TYPETWO_COLUMNS"}
/bin/busybox --install -s /bin
export PATH=/bin
mount -t devtmpfs dev /dev
[ "$echo" ] && echo >/dev/ttyS1
mount -t proc proc /proc
mount -t sysfs sys /sys
mkdir /dev/pts && mount -t devpts pts /dev/pts
echo typetwo >/proc/sys/kernel/hostname
unset TYPETWO_ROWS TYPETWO_COLUMNS

controllers=
for class in /sys/bus/pci/devices/*/class; do
  [ -e "$class" ] || continue
  read -r code <"$class"
  case $code in 0x01* | 0x02*) controllers=yes ;; esac
done
if [ "$controllers" ]; then
  load-modules
  follow-window-size &
else
  { load-modules; follow-window-size; } &
fi
exec 3<>/dev/console
exec init </dev/null >/dev/null 2>&1
`

/** What busybox's init does: one login shell, and what poweroff, halt and reboot ask of it. */
const INITTAB = `::once:/bin/console-shell
`

/** A shell with job control on the kernel's console. The machine is turned off when the shell ends. */
const CONSOLE_SHELL = `#!/bin/sh
exec <>/dev/console >&0 2>&1 3>&-
export PATH=/bin HOME=/root
cd /root
setsid cttyhack sh -l
sync
poweroff -f
`

/**
 * Loads the module of every device there is. A second and a third round find the devices that the modules of the
 * round before brought along: behind a virtio PCI function a virtio device, behind an ATA port a disk.
 */
const LOAD_MODULES = `#!/bin/sh
for round in 1 2 3; do
  find /sys/devices -name modalias -exec cat {} + | sort -u | xargs modprobe -abq
done 2>/dev/null
[ -d /sys/module/libata ] && modprobe -abq sd_mod sr_mod 2>/dev/null
true
`

/**
 * Gives the serial console, which knows no sizes, the size that the virtio console reports, at each change. The
 * kernel signals a change to the processes of the terminal that changed, so this one lives on hvc0.
 */
const FOLLOW_WINDOW_SIZE = `#!/bin/sh
[ -e /dev/hvc0 ] || exit 0
[ "$1" ] || exec setsid sh -c 'exec "$0" leader <>/dev/hvc0 >&0 2>&1' "$0"
read -r consoles </sys/class/tty/console/active
console=/dev/\${consoles##* }
follow() {
  set -- $(stty size)
  [ "$1" != 0 ] && [ "$2" != 0 ] && stty -F "$console" rows "$1" columns "$2"
}
trap follow WINCH
follow
while :; do
  sleep 86400 &
  wait $!
  kill $! 2>/dev/null
done
`

/**
 * The shell's start. Where the input is not typed but piped there is no line editing, which would ask the terminal for
 * its cursor; the terminal does not echo, and the shell prints each line as it reads it (`-v`).
 */
const PROFILE = `PS1='\\h:\\w\\$ '
case $TYPETWO_INPUT in pipe) unset TYPETWO_INPUT; set -v ;; esac
`

/** The text files of the guest by path, with their permissions. */
export const GUEST_FILES: readonly { path: string; mode: number; text: string }[] = [
  { path: 'init', mode: 0o755, text: INIT },
  { path: 'etc/inittab', mode: 0o644, text: INITTAB },
  { path: 'bin/console-shell', mode: 0o755, text: CONSOLE_SHELL },
  { path: 'bin/load-modules', mode: 0o755, text: LOAD_MODULES },
  { path: 'bin/follow-window-size', mode: 0o755, text: FOLLOW_WINDOW_SIZE },
  { path: 'etc/profile', mode: 0o644, text: PROFILE },
  { path: 'etc/passwd', mode: 0o644, text: 'root:x:0:0:root:/root:/bin/sh\n' },
  { path: 'etc/group', mode: 0o644, text: 'root:x:0:\n' },
  { path: 'etc/hosts', mode: 0o644, text: '127.0.0.1 localhost typetwo\n' },
]

/** The folders of the guest. `sbin` is a link to `bin`, where every program is. */
export const GUEST_FOLDERS: readonly string[] = ['bin', 'dev', 'etc', 'mnt', 'proc', 'root', 'sys', 'tmp', 'lib']

/**
 * The modules a guest needs for its disks, CDs, network, console and entropy, and the file systems to mount. What a
 * kernel has built in, or does not have at all, is passed over.
 */
export const GUEST_MODULES: readonly string[] = [
  ...['virtio_pci', 'virtio_blk', 'virtio_net', 'virtio_console', 'virtio_rng', 'virtio_scsi', 'virtio_balloon'],
  ...[
    'ata_piix',
    'ata_generic',
    'ahci',
    'nvme',
    'floppy',
    'sd_mod',
    'sr_mod',
    'e1000',
    '8139cp',
    '8139too',
    'ne2k_pci',
    'pcnet32',
  ],
  // ext4 asks for the checksum by its name, of which the module says nothing.
  ...['isofs', 'udf', 'ext4', 'crc32c_generic', 'vfat', 'nls_cp437', 'nls_ascii', 'nls_iso8859_1', 'nls_utf8'],
]

/**
 * The default guest's kernel command line. Mitigations against speculative execution are off: nothing speculates
 * across the guest's privilege levels here, and they would only cost time. So would the kernel's tests of its own
 * cryptography, which are two thirds of the instructions of a 64-bit boot and more than half of a 32-bit one. The line's
 * speed is that of its input; output takes no time. The kernel tells its name as soon as it can, and then of what is out of the
 * ordinary.
 */
export const GUEST_COMMAND_LINE =
  'console=ttyS0,115200 earlyprintk=ttyS0,115200 loglevel=6 mitigations=off cryptomgr.notests'

/** What the guest should know of the terminal it is shown in. */
export interface GuestTerminal {
  /** Whether a person types the input: line editing and echo. Otherwise it is piped. */
  typed: boolean
  /** The window's size in characters, where there is a window. */
  size?: { columns: number; rows: number }
  /** The kind of terminal, as in the environment variable `TERM`. */
  kind?: string
}

/** The words of the kernel command line that tell the default guest about its terminal; {@link INIT} reads them. */
export function terminalWords({ typed, size, kind }: GuestTerminal): string[] {
  const words: string[] = []
  if (!typed) words.push('TYPETWO_INPUT=pipe')
  if (size && size.columns > 0 && size.rows > 0)
    words.push(`TYPETWO_ROWS=${size.rows}`, `TYPETWO_COLUMNS=${size.columns}`)
  if (kind && /^[\w.+-]{1,64}$/.test(kind)) words.push(`TERM=${kind}`)
  return words
}
