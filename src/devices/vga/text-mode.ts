/** The text mode that a BIOS leaves, 80 × 25 characters, for kernels that are started without one. */
import type { VideoMemory } from './planes.ts'
import { PALETTE_ADDRESS_SOURCE, type VgaState } from './registers.ts'

/** Registers of mode 3 (IBM's table of video parameters). */
const MISCELLANEOUS = 0x67
const SEQUENCER = [0x03, 0x00, 0x03, 0x00, 0x02]
const CRTC = [
  ...[0x5f, 0x4f, 0x50, 0x82, 0x55, 0x81, 0xbf, 0x1f, 0x00, 0x4f, 0x0d, 0x0e, 0x00, 0x00, 0x00, 0x00],
  ...[0x9c, 0x8e, 0x8f, 0x28, 0x1f, 0x96, 0xb9, 0xa3, 0xff],
]
const GRAPHICS = [0x00, 0x00, 0x00, 0x00, 0x00, 0x10, 0x0e, 0x0f, 0xff]
const ATTRIBUTE = [
  ...[0x00, 0x01, 0x02, 0x03, 0x04, 0x05, 0x14, 0x07, 0x38, 0x39, 0x3a, 0x3b, 0x3c, 0x3d, 0x3e, 0x3f],
  ...[0x0c, 0x00, 0x0f, 0x08, 0x00],
]
const CHARACTERS = 80 * 25
const BLANK = 0x0720
/** Lines of a character in a BIOS's font, and in the adapter's memory. */
const HEIGHT = 16
const PLACE = 32
const FONT_BYTES = 256 * HEIGHT

/** A capital A as every VGA BIOS has it, by which its font of 16 lines is found, and the letter behind it. */
const LETTERS = [
  ...[0x00, 0x00, 0x10, 0x38, 0x6c, 0xc6, 0xc6, 0xfe, 0xc6, 0xc6, 0xc6, 0xc6, 0x00, 0x00, 0x00, 0x00],
  ...[0x00, 0x00, 0xfc, 0x66, 0x66, 0x66, 0x7c, 0x66, 0x66, 0x66, 0x66, 0xfc, 0x00, 0x00, 0x00, 0x00],
]

/** The font of 8 × 16 dots in a VGA BIOS: 16 bytes a character. undefined where there is none */
export function findFont(bios: Uint8Array): Uint8Array | undefined {
  const before = 0x41 * HEIGHT
  for (let at = before; at + FONT_BYTES - before <= bios.length; at++)
    if (LETTERS.every((byte, i) => bios[at + i] === byte)) return bios.subarray(at - before, at - before + FONT_BYTES)
  return undefined
}

/** Sets the mode, with a font and nothing on the screen. */
export function setTextMode(state: VgaState, memory: VideoMemory, font: Uint8Array): void {
  state.miscellaneous = MISCELLANEOUS
  state.sequencer.set(SEQUENCER)
  state.crtc.set(CRTC)
  state.graphics.set(GRAPHICS)
  state.attribute.set(ATTRIBUTE)
  state.attributeIndex = PALETTE_ADDRESS_SOURCE
  // The 64 colors of an EGA: two bits each of red, green and blue, the ones that count more below.
  for (let color = 0; color < 64; color++)
    for (const [part, low] of [2, 1, 0].entries())
      state.palette[color * 3 + part] = ((color >> low) & 1) * 42 + ((color >> (low + 3)) & 1) * 21
  const { base, ram, ram32, dirty } = memory
  for (let i = 0; i < CHARACTERS; i++) ram32[(base >> 2) + i] = BLANK
  for (let code = 0; code < 256; code++)
    for (let row = 0; row < HEIGHT; row++) ram[base + (code * PLACE + row) * 4 + 2] = font[code * HEIGHT + row]
  dirty.fill(1)
}
