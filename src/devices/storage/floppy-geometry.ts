/** Formats of floppies, by the size of an image, and the drives that take them. */

/** Data rates as the configuration control register has them. */
export const RATE = { KBPS_500: 0, KBPS_300: 1, KBPS_250: 2, MBPS_1: 3 } as const

/** A floppy's format; sectors have 512 bytes. */
export interface FloppyFormat {
  cylinders: number
  heads: number
  sectors: number
  /** Rates at which it can be read. */
  rates: readonly number[]
  /** The type of the drive as CMOS register 10h has it: 1 is 360 KiB, 2 1.2 MiB, 3 720 KiB, 4 1.44 MiB, 5 2.88 MiB. */
  drive: number
}

const DOUBLE = [RATE.KBPS_250, RATE.KBPS_300]
const HIGH = [RATE.KBPS_500]
const EXTRA = [RATE.MBPS_1]

/** Cylinders, heads, sectors; rates; drive. Sizes do not repeat. */
const FORMATS: readonly FloppyFormat[] = (
  [
    [40, 1, 8, DOUBLE, 1], // 160 KiB
    [40, 1, 9, DOUBLE, 1],
    [40, 2, 8, DOUBLE, 1],
    [40, 2, 9, DOUBLE, 1], // 360 KiB
    [40, 2, 10, DOUBLE, 1],
    [80, 2, 8, DOUBLE, 3],
    [80, 2, 9, DOUBLE, 3], // 720 KiB
    [80, 2, 10, DOUBLE, 3],
    [82, 2, 10, DOUBLE, 3],
    [83, 2, 10, DOUBLE, 3],
    [80, 2, 13, HIGH, 4],
    [80, 2, 14, HIGH, 4],
    [80, 2, 15, HIGH, 2], // 1.2 MiB
    [80, 2, 18, HIGH, 4], // 1.44 MiB
    [82, 2, 18, HIGH, 4],
    [83, 2, 18, HIGH, 4],
    [80, 2, 20, HIGH, 4],
    [80, 2, 21, HIGH, 4], // 1.68 MiB, as distributions used
    [82, 2, 21, HIGH, 4],
    [83, 2, 21, HIGH, 4],
    [80, 2, 22, HIGH, 4],
    [80, 2, 36, EXTRA, 5], // 2.88 MiB
    [80, 2, 39, EXTRA, 5],
    [80, 2, 40, EXTRA, 5],
    [80, 2, 44, EXTRA, 5],
    [80, 2, 48, EXTRA, 5],
  ] as const
).map(([cylinders, heads, sectors, rates, drive]) => ({ cylinders, heads, sectors, rates, drive }))

/** The format of an image of so many bytes, or undefined if no floppy is so large. */
export function floppyFormat(bytes: number): FloppyFormat | undefined {
  return FORMATS.find(({ cylinders, heads, sectors }) => cylinders * heads * sectors * 512 === bytes)
}

/** The type of an empty drive: what takes most floppies. The size of those that it is made for. */
export const EMPTY_DRIVE_TYPE = 4
export const EMPTY_DRIVE_SIZE = 1474560

/**
 * The size of the floppy that an image is of, whose end may be missing because nothing is there (tools leave it out; a boot sector is
 * an image too): 1.44 MB, or 2.88 MB if it is longer. That of the image itself where a format has just that, or none is so large.
 */
export function wholeFloppy(bytes: number): number {
  if (bytes === 0 || floppyFormat(bytes)) return bytes
  return [EMPTY_DRIVE_SIZE, LARGEST_STANDARD].find(size => bytes < size) ?? bytes
}

const LARGEST_STANDARD = 2949120
