/** What the battery-backed memory of the clock holds when the machine is new: how firmware learns of what is in a PC. */
import { cmosMemorySize } from '../devices/rtc.ts'

/** CMOS indices that firmware and old systems read. */
const FLOPPY_TYPES = 0x10
const HARD_DISK_TYPES = 0x12
const EQUIPMENT = 0x14
/** Types of the first two disks beyond 14, and what type 47 is: nine bytes of parameters a disk. */
const EXTENDED_TYPES = 0x19
const DISK_PARAMETERS = [0x1b, 0x24] as const
const TYPE_IN_EXTENSION = 0x0f
const TYPE_OF_USER = 47
/** Two bits for each IDE disk: how SeaBIOS makes cylinders and heads that programs of int 13h can name. */
const TRANSLATION = 0x39
const TRANSLATION_NONE = 0
const TRANSLATION_LBA = 1
/** Most cylinders that int 13h can name. */
const BIOS_CYLINDERS = 1024
const CHECKED_FIRST = 0x10
const CHECKED_LAST = 0x2d
const CHECKSUM = 0x2e
/** What SeaBIOS reads of boot devices: the third, and flags; the second and the first. */
const BOOT_FLAGS = 0x38
const BOOT_ORDER = 0x3d
const OTHER_PROCESSORS = 0x5f

const EQUIPMENT_FLOPPY = 1
const EQUIPMENT_COPROCESSOR = 2
const EQUIPMENT_MOUSE = 4
const BOOT_NO_SIGNATURE_CHECK = 1

/** The kinds of devices to boot from, in the order of their numbers in CMOS. */
export const BOOT_DEVICES = ['floppy', 'disk', 'cdrom', 'network'] as const
export type BootDevice = (typeof BOOT_DEVICES)[number]

/** Cylinders, heads and sectors a track. */
export interface DiskGeometry {
  cylinders: number
  heads: number
  sectors: number
}

/** What the contents depend on. */
export interface CmosOptions {
  /** Bytes of RAM below 4 GiB, and from there on. */
  below: number
  above: number
  /** Types of the floppy drives: 1 for 360 KB, 2 for 1.2 MB, 3 for 720 KB, 4 for 1.44 MB, 5 for 2.88 MB, 0 for none. */
  floppies?: readonly number[]
  /** What is at the four places of the IDE controller: a disk as it tells of itself, or none (nothing, or another kind of drive). */
  ideDisks?: readonly (DiskGeometry | undefined)[]
  /** Where to look for a system, first things first; by default disk, CD-ROM, floppy. */
  bootOrder?: readonly BootDevice[]
  processors?: number
}

/** CMOS by index, as {@link Rtc} takes it. */
export function cmosContents(options: CmosOptions): Record<number, number> {
  const { below, above, floppies = [], bootOrder = ['disk', 'cdrom', 'floppy'], processors = 1 } = options
  const [first = 0, second = 0] = floppies
  const count = floppies.filter(type => type !== 0).length
  const cmos: Record<number, number> = {
    ...cmosMemorySize(below, above),
    [FLOPPY_TYPES]: (first << 4) | second,
    [HARD_DISK_TYPES]: 0,
    [EQUIPMENT]: EQUIPMENT_COPROCESSOR | EQUIPMENT_MOUSE | (count > 0 ? EQUIPMENT_FLOPPY | ((count - 1) << 6) : 0),
    [OTHER_PROCESSORS]: processors - 1,
  }
  const [a = 0, b = 0, c = 0] = bootOrder.map(device => BOOT_DEVICES.indexOf(device) + 1)
  cmos[BOOT_ORDER] = a | (b << 4)
  cmos[BOOT_FLAGS] = (c << 4) | BOOT_NO_SIGNATURE_CHECK
  describeDisks(cmos, options.ideDisks ?? [])
  let sum = 0
  for (let index = CHECKED_FIRST; index <= CHECKED_LAST; index++) sum += cmos[index] ?? 0
  cmos[CHECKSUM] = (sum >> 8) & 0xff
  cmos[CHECKSUM + 1] = sum & 0xff
  return cmos
}

/** The disks at the IDE controller, as a PC/AT's setup program would enter them: systems without a driver of their own look there. */
function describeDisks(cmos: Record<number, number>, disks: readonly (DiskGeometry | undefined)[]): void {
  for (const [index, disk] of disks.entries()) {
    if (disk === undefined) continue
    const { cylinders, heads, sectors } = disk
    const translation = cylinders > BIOS_CYLINDERS ? TRANSLATION_LBA : TRANSLATION_NONE
    cmos[TRANSLATION] = (cmos[TRANSLATION] ?? 0) | (translation << (2 * index))
    if (index > 1) continue
    cmos[HARD_DISK_TYPES] |= TYPE_IN_EXTENSION << (index === 0 ? 4 : 0)
    cmos[EXTENDED_TYPES + index] = TYPE_OF_USER
    // Cylinders, heads, no write precompensation, control (bit 3: more than 8 heads), landing zone, sectors.
    const control = 0xc0 | (heads > 8 ? 8 : 0)
    const words = [
      cylinders & 0xff,
      cylinders >> 8,
      heads,
      0xff,
      0xff,
      control,
      cylinders & 0xff,
      cylinders >> 8,
      sectors,
    ]
    for (const [i, value] of words.entries()) cmos[DISK_PARAMETERS[index] + i] = value
  }
}
