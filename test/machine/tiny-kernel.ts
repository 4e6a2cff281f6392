/** Multiboot kernels of a few bytes, for tests that need a guest and not an operating system. */

/** Where the image is loaded, and where its first instruction is: behind the header. */
const BASE = 0x100000
const HEADER = 32
export const ENTRY = BASE + HEADER

/**
 * A multiboot 1 image by the header's address fields (Multiboot Specification 0.6.96, 3.1).
 * @param code 32-bit code, entered at {@link ENTRY} in protected mode without paging or a stack
 */
export function multibootKernel(code: Uint8Array | readonly number[]): Uint8Array {
  const image = new Uint8Array(HEADER + code.length)
  const view = new DataView(image.buffer)
  const flags = 0x10000
  const end = BASE + image.length
  const words = [0x1badb002, flags, -(0x1badb002 + flags) >>> 0, BASE, BASE, end, end, ENTRY]
  for (const [i, word] of words.entries()) view.setUint32(4 * i, word, true)
  image.set(code, HEADER)
  return image
}

/** The bytes of a 32-bit number. */
const imm32 = (value: number) => [value & 0xff, (value >>> 8) & 0xff, (value >>> 16) & 0xff, value >>> 24]

/** `mov edx, port; mov al, value; out dx, al`. */
export const outb = (port: number, value: number) => [0xba, ...imm32(port), 0xb0, value, 0xee]

/** `mov edx, port; mov eax, value; out dx, eax`. */
export const outl = (port: number, value: number) => [0xba, ...imm32(port), 0xb8, ...imm32(value), 0xef]

/** Writes text to COM1. */
export const print = (text: string) => [...text].flatMap(letter => outb(0x3f8, letter.charCodeAt(0)))

/** Ends the machine by the debug exit port: its status is `(value << 1) | 1`. */
export const debugExit = (value: number) => outl(0xf4, value)

/** Goes to itself for ever. */
export const LOOP = [0xeb, 0xfe]

/** Waits for a byte at COM1, sends it back, and so on for ever. */
export const ECHO = [
  ...[0xba, ...imm32(0x3fd)], // mov edx, 0x3fd: LSR
  ...[0xec, 0xa8, 0x01, 0x74, 0xfb], // in al, dx; test al, 1; jz -5
  ...[0xba, ...imm32(0x3f8), 0xec, 0xee], // mov edx, 0x3f8; in al, dx; out dx, al
  ...[0xeb, 0xed], // jmp to the start
]
