/** `typetwo run`'s options and manual. */
import { CPU_NAMES } from '../isa/cpu-models.ts'
import { MACHINES, VGA_ADAPTERS, WATCHDOGS } from '../machine/messages.ts'
import type { CommandDescription } from './command.ts'
import { STATUS } from './ending.ts'

const options = {
  kernel: {
    value: 'FILE',
    example: 'vmlinuz',
    help: 'The kernel to boot: a Linux bzImage (32- or 64-bit boot protocol), an ELF vmlinux, an ELF file with a PVH note, or a multiboot 1 image; without firmware it may be compressed by gzip. Default: the kernel of the default guest.',
  },
  initrd: {
    value: 'FILE[,…]',
    example: 'initrd.img',
    help: "The initial RAM disk. For a multiboot or PVH kernel its modules, separated by commas: each a file, and behind a blank what it is to be told (a comma is written twice), as 'vmlinuz console=hvc0,initrd.img'. Default: with the default kernel that of the default guest, with another kernel none.",
  },
  append: {
    value: 'TEXT',
    example: "'console=ttyS0'",
    help: "The kernel command line. With the default kernel it is added to the default guest's own, and the later word wins. With another kernel it is all there is; when it is not given, a bzImage gets 'console=ttyS0', and with a display 'console=tty0' behind it.",
  },
  bios: {
    value: 'FILE',
    example: 'seabios',
    help: "Starts the machine in firmware: an image that is mapped beneath 4 GiB, or the word seabios for SeaBIOS of Debian's package, which is got on first use and kept in the cache. Without a display the firmware speaks on COM1. Default: seabios where there are drives or --boot, and no --kernel, --initrd or --append; otherwise none, and a kernel is loaded directly.",
  },
  uefi: {
    value: 'FILE',
    example: 'vars.fd',
    help: "Starts the machine in UEFI firmware, that of Debian's package ovmf, and keeps its variables in this file, which is made where it is missing. With --bios the firmware is that one.",
  },
  boot: {
    value: 'HOW',
    example: 'order=cdrom:disk,menu=on',
    help: 'What the firmware boots: order=DEVICE:DEVICE… names kinds of devices (floppy, disk, cdrom, network), the first to try first; menu=on lets it show its boot menu when Esc is pressed. Default: order=disk:cdrom:floppy,menu=off.',
  },
  name: {
    value: 'NAME',
    example: 'web1',
    help: "The machine's name, by which the other commands reach it while it runs: letters, digits, and _ . - behind the first. Default: one is made up and shown.",
  },
  detach: {
    help: "Runs the machine in the background and prints its name, as soon as it has started. COM1 then leads nowhere unless --serial says otherwise; 'typetwo console NAME' attaches to it. What typetwo says of it goes to NAME.log beside its control socket.",
  },
  memory: {
    value: 'SIZE',
    example: '256M',
    help: "The guest's memory: a number and K, M or G (powers of 1024). Default: 256M.",
  },
  disk: {
    value: 'FILE[,…]',
    example: 'disk.img',
    repeatable: true,
    help: "A hard disk: an image file, or a block device of the host. After the path may follow, each behind a comma: bus=ide (default), sata, nvme or virtio; cache=writeback (default: on the host's disk once the guest flushes), writethrough (once it is written) or unsafe (flushes do nothing); readonly; format=NAME (default: by content and name; say raw for a raw image that its guest has written); serial=TEXT; werror=enospc (default: while the host's disk is full the machine is paused, and goes on by itself once there is room), stop (the same for every error of a write) or report (the guest hears of it). A comma in the path is written twice. May be given more than once.",
  },
  cdrom: {
    value: 'FILE[,…]',
    example: 'install.iso',
    repeatable: true,
    help: "A CD-ROM drive with the image of a CD or DVD; 'none' is a drive that is empty. After the path may follow bus=ide (default) or sata. May be given more than once.",
  },
  floppy: {
    value: 'FILE[,…]',
    example: 'boot.img',
    repeatable: true,
    help: "A floppy drive with the image of a floppy; 'none' is a drive that is empty. After the path may follow readonly. May be given twice.",
  },
  serial: {
    value: 'WHERE',
    example: 'tcp:localhost:4000',
    repeatable: true,
    help: "Where a serial port leads; the first is COM1's, up to four. stdio: this terminal (COM1's default); none: nowhere, as with an unplugged cable (the others' default; typetwo console can attach to it all the same); file:PATH: a file, made anew, or with ,append behind it added to; tcp:HOST:PORT: listens there for up to 16 connections at a time (port 0: a free one, which is told), or with ,connect behind it connects to who listens there; unix:PATH: the same by a Unix socket. While nobody is connected the guest sees an unplugged cable. A reader that is slow slows the guest; one that takes nothing for a second loses what comes until it does.",
  },
  parallel: {
    value: 'WHERE',
    example: 'file:printed.txt',
    help: 'Where what the guest prints goes: none (default: the guest finds the port, but no printer), file:PATH, tcp:HOST:PORT or unix:PATH, as with --serial.',
  },
  engine: {
    value: 'NAME',
    choices: ['auto', 'interpreter', 'translator'],
    help: 'What executes the guest: interpreter, translator (to WebAssembly), or auto, which interprets cold code and translates hot code. Default: auto.',
  },
  cpu: {
    value: 'NAME',
    choices: CPU_NAMES,
    help: 'Which processor CPUID describes, for systems that stumble over what came later: 486 (DX4), pentium (with MMX), pentium3, core2, or max, which has everything. Default: max.',
  },
  machine: {
    value: 'NAME',
    choices: MACHINES,
    help: "The chipset: pc is Intel's i440FX with PIIX3 and PIIX4, as of 1996; q35 the Q35 with ICH9, as of 2007, with PCI Express configuration space in memory. Default: pc.",
  },
  watchdog: {
    value: 'NAME',
    choices: WATCHDOGS,
    help: "A watchdog, which resets the machine when the guest's system no longer answers: i6300esb is Intel's 6300ESB at PCI (Linux's driver i6300esb), none leaves it out. With --machine q35 there is the ICH9's in any case (Linux's driver iTCO_wdt). Default: none.",
  },
  display: {
    value: 'HOW',
    example: 'vnc=127.0.0.1:5900',
    repeatable: true,
    help: "How the screen is seen. none (default): not at all. terminal: in this terminal, text in colors and graphics in half blocks; keys go to the guest, and Ctrl-] quits; COM1 leads nowhere then unless --serial says otherwise. vnc=HOST:PORT: by VNC viewers (port 0: a free one, which is told); behind it may follow password-file=FILE, whose first line is the password, of which VNC takes 8 characters, and which every address but this host's own needs; tls-cert=FILE,tls-key=FILE, a certificate and its key as PEM: viewers then have to come by TLS (VeNCrypt). What the viewer's clipboard holds is typed when Ctrl-Alt-V is pressed there. web=HOST:PORT: in a page that has screen, serial ports, drives and the power button; beyond this host only with the token in the URL that is told; behind it may follow media=FOLDER, a folder with images of CDs and floppies which the page may put in, and where it may put more, host-name=NAME, another name under which browsers reach this host, and tls-cert and tls-key for https. May be given more than once.",
  },
  vga: {
    value: 'NAME',
    choices: VGA_ADAPTERS,
    help: "The display adapter: std is a VGA with VESA modes up to 2560×1600, with the BIOS of Debian's package seabios; virtio has a virtio GPU besides, whose driver systems of today have, with a hardware cursor and a size that follows the viewer's window where the guest lets it; none leaves it out. Default: std where the machine starts in firmware or has a display, otherwise none.",
  },
  sound: {
    value: 'WHERE',
    example: 'wav:sound.wav',
    help: "What becomes of the guest's sound: none (default: the machine has nothing that sounds), or wav:FILE, a file that is made anew and holds all that is played, with silences of no more than two seconds. Behind it may follow which card the guest has besides the PC's speaker: sb16 (Sound Blaster 16 with OPL3 at ports 220h and 388h, IRQ 5, DMA 1 and 5), ac97 (Intel's ICH with an AC'97 codec) or all (default). A comma in the path is written twice.",
  },
  clock: {
    value: 'NAME',
    choices: ['host', 'instructions'],
    help: "What the guest's time follows: host is real time; with instructions it is counted in executed instructions, so that two runs with the same input are identical. Default: host.",
  },
  'no-reboot': { help: 'Ends typetwo when the guest resets the machine, instead of starting the guest again.' },
  verbose: {
    help: 'Tells on standard error what the machine notices of its guest: registers, ports and addresses that do not exist, each once, and resets.',
  },
  stats: {
    help: 'Prints to standard error at the end: guest instructions, their rate, translated regions, size of the code, exits by kind; and where the time went, by engine, by kind of exit and by guest address, as looks at every second millisecond tell.',
  },
  'dump-code': {
    value: 'DIR',
    example: 'code',
    help: "Writes translated code to a folder, which is made if it is missing: for each region a file with the guest's bytes and their disassembly beside the text of the WebAssembly function made of them, and index.txt with address, mode, sizes and how much of the time was spent there.",
  },
  symbols: {
    value: 'FILE',
    example: 'System.map',
    help: "Names of the guest kernel's addresses for --stats: a System.map, an ELF vmlinux, or what root reads from /proc/kallsyms in the guest. Default: the kernel's own symbols, where it is an ELF file that has them.",
  },
} as const

/** `typetwo run`. */
export const RUN = {
  name: 'run',
  summary: 'runs a machine in this terminal',
  options,
  description: [
    'Starts a PC with one processor and connects its first serial port, COM1, to this terminal: standard output carries what the guest writes there and nothing else. Everything typetwo itself says goes to standard error.',
    'With --disk, --cdrom or --floppy, and neither --kernel, --initrd nor --append, it starts like a PC: SeaBIOS looks for a system on them. --uefi does it by UEFI.',
    "Without any of them it starts the default guest: Debian's 64-bit kernel with a root shell from busybox. On first use it is made of Debian's packages, which the host's own apt downloads without being root, and kept in $XDG_CACHE_HOME/typetwo or ~/.cache/typetwo; from then on no network is needed. Remove that folder to have it made again of today's packages.",
    'When standard input is a terminal, every key goes to the guest, Ctrl-C and Ctrl-Z too, except Ctrl-], which quits. When it is a pipe or file, its bytes are held until the guest reads them, and its end does not end the guest.',
  ],
  sections: [
    {
      title: 'Examples',
      lines: [
        'typetwo run',
        "printf 'uname -a\\npoweroff -f\\n' | typetwo run",
        'typetwo run --kernel vmlinuz --initrd initrd.img --memory 1G',
        'typetwo run --disk disk.img,bus=virtio --cdrom install.iso',
        'typetwo run --serial stdio --serial tcp::4000 --parallel file:printed.txt',
        'typetwo run --clock instructions --no-reboot --stats',
      ],
    },
    {
      title: 'Exit status',
      lines: [
        `${STATUS.ok}      the guest turned its power off, or you quit`,
        `${STATUS.failed}      typetwo could not do it; a sentence says why`,
        `${STATUS.usage}      the words on the command line were wrong`,
        `${STATUS.reset}      the guest reset the machine, under --no-reboot`,
        `${STATUS.tripleFault}      the guest's processor shut down by a triple fault, under --no-reboot`,
        `${STATUS.signal}+N  a signal ended typetwo; ${STATUS.brokenPipe}: nobody read standard output any more`,
        'odd    (V << 1) | 1 when the guest wrote V to the debug exit port, 0xf4',
      ],
    },
  ],
} as const satisfies CommandDescription
