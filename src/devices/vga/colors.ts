/** From what lies in video memory to RGBA words, red in the lowest byte. */
import { AR, ATTRIBUTE_PALETTE_SIZE, type VgaState } from './registers.ts'

const OPAQUE = 0xff000000 | 0

/** A color of 8 bits each. */
export const rgba = (red: number, green: number, blue: number): number => OPAQUE | (blue << 16) | (green << 8) | red

/** The 256 colors of the palette behind the PEL mask. @param wide whether they have 8 bits instead of 6 */
export function paletteColors(state: VgaState, wide: boolean, into: Int32Array): void {
  const { palette, pelMask } = state
  const scale = wide ? (value: number) => value : (value: number) => ((value & 63) << 2) | ((value & 63) >> 4)
  for (let i = 0; i < 256; i++) {
    const at = (i & pelMask) * 3
    into[i] = rgba(scale(palette[at]), scale(palette[at + 1]), scale(palette[at + 2]))
  }
}

/** The 16 colors of text and planar modes, through the attribute controller's palette. */
export function attributeColors({ attribute }: VgaState, palette: Int32Array, into: Int32Array): void {
  const select = attribute[AR.COLOR_SELECT]
  const enabled = attribute[AR.PLANE_ENABLE] & 15
  for (let i = 0; i < 16; i++) {
    let color = attribute[i & enabled] & 63
    if (attribute[AR.MODE_CONTROL] & ATTRIBUTE_PALETTE_SIZE) color = (color & 15) | ((select & 3) << 4)
    into[i] = palette[color | ((select & 12) << 4)]
  }
}

/** Five and six bits to eight. */
export const FIVE_BITS = Uint8Array.from({ length: 32 }, (_, value) => (value << 3) | (value >> 2))
export const SIX_BITS = Uint8Array.from({ length: 64 }, (_, value) => (value << 2) | (value >> 4))
