/** Looking at screenshots: what colors there are where, and text that was drawn in a known font. */
import { inflateSync } from 'node:zlib'

/** A picture; pixels are 0xRRGGBB, line after line. */
export interface Picture {
  width: number
  height: number
  pixels: Uint32Array
}

/** A part of a picture. */
export interface Area {
  x: number
  y: number
  width: number
  height: number
}

/** Reads a PNG file of eight bits a color without filters, as `typetwo screenshot` writes it. @throws Error for another */
export function decodePng(png: Uint8Array): Picture {
  const view = new DataView(png.buffer, png.byteOffset, png.byteLength)
  const [width, height] = [view.getUint32(16), view.getUint32(20)]
  if (view.getUint32(24) !== 0x08020000) throw new Error('it is no picture of eight bits a color')
  const parts: Uint8Array[] = []
  for (let at = 8; at < png.length; at += 12 + view.getUint32(at))
    if (view.getUint32(at + 4) === 0x49444154) parts.push(png.subarray(at + 8, at + 8 + view.getUint32(at)))
  const lines = inflateSync(Buffer.concat(parts))
  const pixels = new Uint32Array(width * height)
  for (let y = 0; y < height; y++) {
    const start = y * (3 * width + 1)
    if (lines[start] !== 0) throw new Error('it has filters')
    for (let x = 0; x < width; x++) {
      const at = start + 1 + 3 * x
      pixels[y * width + x] = (lines[at] << 16) | (lines[at + 1] << 8) | lines[at + 2]
    }
  }
  return { width, height, pixels }
}

/** How many pixels of an area have a color. */
export function countColor({ width, pixels }: Picture, color: number, area: Area): number {
  let count = 0
  for (let y = area.y; y < area.y + area.height; y++)
    for (let x = area.x; x < area.x + area.width; x++) if (pixels[y * width + x] === color) count++
  return count
}

/** All of a picture. */
export function whole({ width, height }: Picture): Area {
  return { x: 0, y: 0, width, height }
}

/** Pixels that differ, outside of an area that is not looked at. @throws Error for pictures of different sizes */
export function differences(a: Picture, b: Picture, except?: Area): number {
  if (a.width !== b.width || a.height !== b.height)
    throw new Error(`one has ${a.width} × ${a.height} pixels, the other ${b.width} × ${b.height}`)
  let count = 0
  for (let y = 0; y < a.height; y++)
    for (let x = 0; x < a.width; x++) {
      if (a.pixels[y * a.width + x] === b.pixels[y * a.width + x]) continue
      const out =
        !except || x < except.x || y < except.y || x >= except.x + except.width || y >= except.y + except.height
      if (out) count++
    }
  return count
}

/** Eight pixels a line, sixteen lines a character, 256 characters: the most significant bit is the leftmost pixel. */
export type Font = Uint8Array

/** Dots in which a character may differ from the font's: fonts that go back to the VGA's have letters of their own. */
const MOST_DOTS = 16

/**
 * Reads text of a console that is drawn in cells of 8 × 16 pixels: what has nearly a character's form is that character.
 * @returns the rows, without blanks at their ends
 */
export function readText(picture: Picture, font: Font): string {
  const rows: string[] = []
  const form = new Uint8Array(16)
  const known = new Map<string, string>()
  for (let top = 0; top + 16 <= picture.height; top += 16) {
    let row = ''
    for (let left = 0; left + 8 <= picture.width; left += 8) {
      const background = backgroundOf(picture, left, top)
      for (let y = 0; y < 16; y++) {
        let bits = 0
        for (let x = 0; x < 8; x++)
          bits = (bits << 1) | (picture.pixels[(top + y) * picture.width + left + x] === background ? 0 : 1)
        form[y] = bits
      }
      const key = form.join()
      if (!known.has(key)) known.set(key, nearest(form, font))
      row += known.get(key)
    }
    rows.push(row.trimEnd())
  }
  return rows.join('\n')
}

/** The character that is most like a form. */
function nearest(form: Uint8Array, font: Font): string {
  let best = '\ufffd'
  let least = MOST_DOTS + 1
  for (let code = 0x20; code < 0x7f; code++) {
    let dots = 0
    for (let y = 0; y < 16; y++) for (let bits = form[y] ^ font[16 * code + y]; bits; bits &= bits - 1) dots++
    if (dots >= least) continue
    least = dots
    best = String.fromCharCode(code)
  }
  return best
}

/** The color of most pixels of a cell. */
function backgroundOf({ width, pixels }: Picture, left: number, top: number): number {
  const first = pixels[top * width + left]
  let same = 0
  let other = first
  for (let y = 0; y < 16; y++)
    for (let x = 0; x < 8; x++) {
      const pixel = pixels[(top + y) * width + left + x]
      if (pixel === first) same++
      else other = pixel
    }
  return same >= 64 ? first : other
}
