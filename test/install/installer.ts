/** What runs in the guest while it installs: a first process from the initial RAM file system, and the script of the system on the CD. */

/** How a system is to be installed. */
export interface InstallPlan {
  firmware: 'bios' | 'uefi'
  /** Debian's name of the release. */
  suite: string
  /** What is installed besides the base: by debootstrap, and by apt once there is a file system. */
  base: readonly string[]
  boot: readonly string[]
  /** Disk as the guest names it, and its partitions' prefix. */
  disk: string
  partition: string
  password: string
}

/** What the installed system says of itself when all is done. */
export const INSTALLED = 'typetwo: the system is installed'

/** The packages of a plan. */
export function planOf(firmware: InstallPlan['firmware'], disk = '/dev/sda'): InstallPlan {
  return {
    firmware,
    suite: 'bookworm',
    base: ['systemd-sysv', 'udev', 'dbus', 'kmod', 'cron', 'procps', 'iproute2'],
    boot: ['linux-image-cloud-amd64', firmware === 'uefi' ? 'grub-efi-amd64' : 'grub-pc'],
    disk,
    partition: /\d$/.test(disk) ? `${disk}p` : disk,
    password: 'typetwo',
  }
}

/** The first process: it finds the CD and starts the script of the system there. Its words come from the kernel's command line. */
export const FIRST_PROCESS = `#!/bin/busybox sh
/bin/busybox --install -s /bin
export PATH=/bin
mount -t devtmpfs dev /dev
mount -t proc proc /proc
mount -t sysfs sys /sys
exec </dev/console >/dev/console 2>&1
/bin/load-modules
modprobe -a isofs ext4 vfat nls_cp437 nls_ascii nls_iso8859_1 nls_utf8 2>/dev/null
mkdir -p /cdrom
for try in 1 2 3 4 5 6 7 8 9; do
  mount -t iso9660 -o ro /dev/sr0 /cdrom 2>/dev/null && break
  sleep 1
done
live=/cdrom/live
for folder in tmp run var/log media; do mount -t tmpfs tmpfs $live/$folder; done
mkdir $live/run/target $live/media/cdrom
mount --bind /dev $live/dev
mount --bind /proc $live/proc
mount --bind /sys $live/sys
mount --bind /cdrom $live/media/cdrom
PATH=/usr/sbin:/usr/bin:/sbin:/bin chroot $live /install.sh || echo "typetwo: the installation failed with status $?"
sync
poweroff -f
`

/**
 * The installation as it is described by a plan, for a shell of the system on the CD. With UEFI the boot loader also goes where firmware
 * looks without having been told, so that the disk boots in another machine.
 */
export function installScript(plan: InstallPlan): string {
  const uefi = plan.firmware === 'uefi'
  const root = `${plan.partition}${uefi ? 2 : 1}`
  const partitions = uefi
    ? 'label: gpt\nstart=2048, size=64MiB, type=U\ntype=L'
    : 'label: dos\nstart=2048, type=83, bootable'
  const step = (text: string) => `echo "typetwo: ${text} ($(cut -d. -f1 /proc/uptime) s)"`
  return `#!/bin/bash
set -e
export DEBIAN_FRONTEND=noninteractive LC_ALL=C HOME=/root
target=/run/target
${step('partitions')}
sfdisk --quiet --wipe always ${plan.disk} <<END
${partitions}
END
sleep 1
mkfs.ext4 -q -F ${root}
mount ${root} $target
${uefi ? `mkfs.vfat -F 32 ${plan.partition}1 >/dev/null\nmkdir -p $target/boot/efi\nmount ${plan.partition}1 $target/boot/efi` : ''}
# As in small systems: no manuals and translations, and files are flushed when all is done.
mkdir -p $target/etc/dpkg/dpkg.cfg.d
cat >$target/etc/dpkg/dpkg.cfg.d/small <<'END'
force-unsafe-io
path-exclude=/usr/share/doc/*
path-exclude=/usr/share/man/*
path-exclude=/usr/share/info/*
path-exclude=/usr/share/locale/*
END
${step('debootstrap')}
debootstrap --no-check-gpg --merged-usr --variant=minbase --include=${plan.base.join(',')} ${plan.suite} $target file:///media/cdrom
${step('configuration')}
echo typetwo >$target/etc/hostname
echo "127.0.0.1 localhost typetwo" >$target/etc/hosts
echo "UUID=$(blkid -s UUID -o value ${root}) / ext4 errors=remount-ro 0 1" >$target/etc/fstab
${uefi ? `echo "UUID=$(blkid -s UUID -o value ${plan.partition}1) /boot/efi vfat umask=0077 0 1" >>$target/etc/fstab` : ''}
echo "deb [trusted=yes] file:///media/cdrom ${plan.suite} main" >$target/etc/apt/sources.list
mkdir -p $target/etc/systemd/system.conf.d
# By the host's clock systemd gives up on a device or a service after 90 seconds, of which a busy host leaves the guest a few.
printf '[Manager]\\nDefaultTimeoutStartSec=30min\\nDefaultDeviceTimeoutSec=30min\\n' >$target/etc/systemd/system.conf.d/patience.conf
mkdir -p $target/etc/initramfs-tools/conf.d $target/etc/default $target/media/cdrom
# The disk may be at any bus when it boots. The file is made once, at the end.
echo MODULES=list >$target/etc/initramfs-tools/conf.d/modules
printf '%s\\n' ext4 sd_mod ata_piix ahci nvme virtio_pci virtio_blk >$target/etc/initramfs-tools/modules
printf 'COMPRESS=gzip\\nCOMPRESSLEVEL=1\\n' >$target/etc/initramfs-tools/conf.d/compress
echo update_initramfs=no >$target/etc/initramfs-tools/update-initramfs.conf
cat >$target/etc/default/grub <<'END'
GRUB_DEFAULT=0
GRUB_TIMEOUT=1
GRUB_CMDLINE_LINUX="console=ttyS0,115200"
GRUB_TERMINAL=console
GRUB_DISABLE_OS_PROBER=true
END
# GRUB names the root by its UUID, as a disk needs that moves from bus to bus, where udev would have made this.
mkdir -p /dev/disk/by-uuid
ln -sf ${root} /dev/disk/by-uuid/$(blkid -s UUID -o value ${root})
mount --bind /dev $target/dev
mount --bind /proc $target/proc
mount --bind /sys $target/sys
mount --bind /media/cdrom $target/media/cdrom
${step('kernel and boot loader')}
chroot $target apt-get -q update
chroot $target apt-get -q -y --no-install-recommends -o Dpkg::Options::=--force-unsafe-io -o Dpkg::Options::=--force-confold install ${plan.boot.join(' ')}
echo update_initramfs=yes >$target/etc/initramfs-tools/update-initramfs.conf
# The kernel's package has made one, unless it came before initramfs-tools.
ls $target/boot/initrd.img-* >/dev/null 2>&1 || chroot $target update-initramfs -c -k all
chroot $target grub-install ${uefi ? '--no-nvram --force-extra-removable' : plan.disk}
chroot $target update-grub
echo root:${plan.password} | chroot $target chpasswd
rm -f $target/var/cache/apt/archives/*.deb
${step('done')}
umount $target/media/cdrom $target/dev $target/proc
${uefi ? 'umount $target/boot/efi' : ''}
umount $target/sys
umount $target
echo "${INSTALLED}"
`
}
