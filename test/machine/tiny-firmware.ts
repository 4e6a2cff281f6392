/** Firmware of a few bytes, for tests of what a PC has before an operating system. */

const SIZE = 0x10000

/** A 64 KiB image that begins with 16-bit code at F000:0000, where the reset vector jumps; `parts` lie at offsets. */
export function firmwareImage(
  code: readonly number[],
  parts: Readonly<Record<number, readonly number[]>> = {},
): Uint8Array {
  const image = new Uint8Array(SIZE).fill(0xf4)
  image.set(code)
  for (const [offset, bytes] of Object.entries(parts)) image.set(bytes, Number(offset))
  image.set([0xea, 0, 0, 0, 0xf0], SIZE - 16)
  return image
}

const imm16 = (value: number) => [value & 0xff, (value >> 8) & 0xff]

/** `mov dx, port; mov al, value; out dx, al`. */
export const outb = (port: number, value: number) => [0xba, ...imm16(port), 0xb0, value, 0xee]

/** `mov dx, port; out dx, al`. */
export const outAl = (port: number) => [0xba, ...imm16(port), 0xee]

/** Writes a byte of the configuration space of the host bridge. */
export const configure = (offset: number, value: number) => [
  ...[0xba, ...imm16(0xcf8), 0x66, 0xb8, offset & 0xfc, 0, 0, 0x80, 0x66, 0xef],
  ...outb(0xcfc + (offset & 3), value),
]

/** `mov ax, value; mov ds, ax`. */
export const loadDs = (value: number) => [0xb8, ...imm16(value), 0x8e, 0xd8]
/** `mov byte [offset], value`. */
export const storeByte = (offset: number, value: number) => [0xc6, 0x06, ...imm16(offset), value]
/** `mov al, [offset]`, and AL to COM1. */
export const printByte = (offset: number) => [0xa0, ...imm16(offset), ...outAl(0x3f8)]
