/** The monitor's own description (VESA E-EDID standard, release A), which drivers read for its modes. */

/** What a monitor prefers; more would be slow to draw for a guest without acceleration, and it can still be had. */
export const PREFERRED_SIZE = { width: 1024, height: 768 }
const NAME = 'typetwo'

/** Established timings I and II: 640×480 to 1024×768 at 60 Hz, and 720×400. */
const ESTABLISHED = [0xa1, 0x08, 0x00] as const
/** Further sizes at 60 Hz with their aspect, as standard timings have them. */
const STANDARD: readonly [width: number, aspect: number][] = [
  [2048, 1],
  [1920, 0],
  [1920, 3],
  [1600, 1],
  [1440, 0],
  [1280, 2],
  [1280, 0],
  [1280, 3],
]

/** A detailed timing with reduced blanking, 60 Hz. */
function detailed(width: number, height: number): number[] {
  const horizontalBlank = 160
  const verticalBlank = Math.max(23, Math.round(height * 0.03))
  const clock = Math.round(((width + horizontalBlank) * (height + verticalBlank) * 60) / 10000)
  const [front, sync] = [48, 32]
  const [verticalFront, verticalSync] = [3, 4]
  // At 96 dots an inch.
  const millimetres = (pixels: number) => Math.round((pixels * 25.4) / 96)
  const [wide, high] = [millimetres(width), millimetres(height)]
  return [
    clock & 0xff,
    clock >> 8,
    width & 0xff,
    horizontalBlank & 0xff,
    ((width >> 8) << 4) | (horizontalBlank >> 8),
    height & 0xff,
    verticalBlank & 0xff,
    ((height >> 8) << 4) | (verticalBlank >> 8),
    front,
    sync,
    (verticalFront << 4) | verticalSync,
    0,
    wide & 0xff,
    high & 0xff,
    ((wide >> 8) << 4) | (high >> 8),
    0,
    0,
    0x1a, // digital separate synchronisation, the horizontal one positive
  ]
}

/** A descriptor of text. */
function text(tag: number, words: string): number[] {
  const characters = `${words}\n`.padEnd(13).slice(0, 13)
  return [0, 0, 0, tag, 0, ...new TextEncoder().encode(characters)]
}

/** The 128 bytes. @param preferred what it prefers, at most 4095 pixels each way */
export function edid(preferred = PREFERRED_SIZE): Uint8Array {
  const bytes = new Uint8Array(128)
  bytes.set([0, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0])
  // Manufacturer 'TTW' in five bits each, big-endian; product and serial number; week and year of manufacture; version 1.4.
  const maker = [...'TTW'].reduce((value, letter) => (value << 5) | (letter.charCodeAt(0) - 64), 0)
  bytes.set([maker >> 8, maker & 0xff, 2, 0, 1, 0, 0, 0, 1, 36, 1, 4], 8)
  // Digital, 8 bits a color, DisplayPort; size in centimetres; gamma 2.2; RGB, sRGB, preferred timing is native.
  bytes.set([0xa5, 27, 20, 120, 0x06], 20)
  // Chromaticity of sRGB.
  bytes.set([0xee, 0x91, 0xa3, 0x54, 0x4c, 0x99, 0x26, 0x0f, 0x50, 0x54], 25)
  bytes.set(ESTABLISHED, 35)
  for (const [i, [width, aspect]] of STANDARD.entries()) bytes.set([width / 8 - 31, aspect << 6], 38 + 2 * i)
  bytes.set(detailed(preferred.width, preferred.height), 54)
  // Range limits: 50 to 75 Hz, 30 to 160 kHz, 300 MHz, no further timing formulas.
  bytes.set([0, 0, 0, 0xfd, 0, 50, 75, 30, 160, 30, 1, 0x0a, 0x20, 0x20, 0x20, 0x20, 0x20, 0x20], 72)
  bytes.set(text(0xfc, NAME), 90)
  bytes.set(detailed(2560, 1600), 108)
  bytes[127] = -bytes.reduce((sum, byte) => sum + byte, 0) & 0xff
  return bytes
}
