/** Modes of VBE in which a pixel is one, two, three or four bytes. */
import { FIVE_BITS, rgba, SIX_BITS } from './colors.ts'
import type { DispiMode } from './dispi.ts'
import type { Picture } from './picture.ts'
import type { VideoMemory } from './planes.ts'

/** Draws the lines that changed, or with `everything` all. @param palette for pixels of a byte */
export function drawLinear(
  mode: DispiMode,
  memory: VideoMemory,
  picture: Picture,
  palette: Int32Array,
  everything: boolean,
): void {
  const { width, height, depth, pitch, start } = mode
  const { dirty } = memory
  const bytes = width * ((depth + 7) >> 3)
  for (let y = 0; y < height; y++) {
    const at = start + y * pitch
    const last = (at + bytes - 1) >> 12
    let changed = everything
    for (let page = at >> 12; page <= last && !changed; page++) changed = dirty[page] !== 0
    if (!changed) continue
    const from = memory.base + at
    if (depth === 32 && (from & 3) === 0) {
      picture.line.set(memory.ram32.subarray(from >> 2, (from >> 2) + width))
      picture.storeSwapped(y)
    } else {
      drawLine(memory, from, width, depth, picture.line, palette)
      picture.store(y)
    }
  }
}

function drawLine(
  memory: VideoMemory,
  start: number,
  width: number,
  depth: number,
  line: Int32Array,
  palette: Int32Array,
): void {
  if (depth === 32 || depth === 24) drawBytes(memory.ram, start, width, depth >> 3, line)
  else if (depth === 8) for (let x = 0; x < width; x++) line[x] = palette[memory.ram[start + x]]
  else drawShorts(memory.ram, start, width, depth, line)
}

function drawBytes(bytes: Uint8Array, start: number, width: number, size: number, line: Int32Array): void {
  for (let x = 0, from = start; x < width; x++, from += size)
    line[x] = rgba(bytes[from + 2], bytes[from + 1], bytes[from])
}

function drawShorts(bytes: Uint8Array, start: number, width: number, depth: number, line: Int32Array): void {
  for (let x = 0, from = start; x < width; x++, from += 2) {
    const pixel = bytes[from] | (bytes[from + 1] << 8)
    const blue = FIVE_BITS[pixel & 31]
    line[x] =
      depth === 16
        ? rgba(FIVE_BITS[pixel >> 11], SIX_BITS[(pixel >> 5) & 63], blue)
        : rgba(FIVE_BITS[(pixel >> 10) & 31], FIVE_BITS[(pixel >> 5) & 31], blue)
  }
}
