/** A guest of 512 bytes that has the BIOS read keys and print them, for measurements from a key to its letter. */

/** `mov ah, 0; int 16h; mov ah, 0eh; int 10h; jmp`: prints what is typed. */
const ECHO = [0xb4, 0x00, 0xcd, 0x16, 0xb4, 0x0e, 0xcd, 0x10, 0xeb, 0xf6]

/** Its disk. */
export function echoDisk(): Uint8Array<ArrayBuffer> {
  const disk = new Uint8Array(1 << 20)
  disk.set(ECHO)
  disk.set([0x55, 0xaa], 510)
  return disk
}

/** Keys that are measured. */
export const KEYS = 60

/** Milliseconds to wait before key `n`: not in step with anything. */
export const keyPause = (n: number): number => 50 + (n % 7) * 11

/** Dots of a text screen (RGBA) that are lit and are no cursor's: a cursor lights the lowest two of sixteen rows only. */
export function lit(data: Uint8Array, width: number, height: number): number {
  let count = 0
  for (let y = 0; y < height; y++) {
    if (y % 16 >= 13) continue
    for (let x = 0; x < width; x++) if (data[(y * width + x) * 4] > 0) count++
  }
  return count
}

/** The median, what 95 of 100 keep, and the longest of some milliseconds. */
export function summary(times: readonly number[]): string[] {
  const sorted = times.toSorted((a, b) => a - b)
  return [0.5, 0.95, 1].map(part => `${sorted[Math.floor(part * (sorted.length - 1))].toFixed(1)} ms`)
}
