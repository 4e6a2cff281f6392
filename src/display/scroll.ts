/** Finds out that a picture has moved up or down, so that viewers can be told to copy what they have. */

/** A part of a picture moves by `dy` rows: what lies at `y - dy` goes to `y`, for the rows `y` to `y + height`. */
export interface Copy {
  readonly x: number
  readonly y: number
  readonly width: number
  readonly height: number
  /** Rows; positive is down. */
  readonly dy: number
}

/** Pixels of a row that are looked at. */
const SAMPLES = 64

/** Fewer rows that agree are chance. */
const LEAST_VOTES = 12

/** Hashes of rows, of some of their pixels. */
function rowHashes(pixels: Uint32Array, start: number, stride: number, width: number, height: number): Int32Array {
  const hashes = new Int32Array(height)
  const step = Math.max(1, Math.floor(width / SAMPLES))
  for (let row = 0; row < height; row++) {
    let hash = 0
    const from = start + row * stride
    for (let x = from + (step >> 1); x < from + width; x += step) hash = (Math.imul(hash, 0x01000193) ^ pixels[x]) | 0
    hashes[row] = hash
  }
  return hashes
}

/** Rows by hash, where a hash is that of one row only. */
function uniqueRows(hashes: Int32Array): Map<number, number> {
  const rows = new Map<number, number>()
  for (let row = 0; row < hashes.length; row++) rows.set(hashes[row], rows.has(hashes[row]) ? -1 : row)
  return rows
}

/**
 * Looks for a move by whole rows between what a rectangle shows and what it will show.
 * @param pixels the picture so far, `stride` pixels a row
 * @param data the rectangle's new pixels, without gaps
 * @returns the rows to copy, or undefined where there is none worth it; the caller still compares the result with the new pixels
 */
export function findScroll(
  pixels: Uint32Array,
  stride: number,
  { x, y, width, height }: { x: number; y: number; width: number; height: number },
  data: Uint32Array,
): Copy | undefined {
  if (width < 64 || height < 32) return undefined
  const before = rowHashes(pixels, y * stride + x, stride, width, height)
  const after = rowHashes(data, 0, width, width, height)
  const rows = uniqueRows(before)
  const votes = new Map<number, number>()
  let best = 0
  let most = 0
  let unmoved = 0
  for (const [hash, row] of uniqueRows(after)) {
    const old = rows.get(hash)
    if (row < 0 || old === undefined || old < 0) continue
    const dy = row - old
    const count = (votes.get(dy) ?? 0) + 1
    votes.set(dy, count)
    if (dy === 0) unmoved = count
    else if (count > most) {
      most = count
      best = dy
    }
  }
  if (most < LEAST_VOTES || most < unmoved) return undefined
  return { x, width, dy: best, y: y + Math.max(0, best), height: height - Math.abs(best) }
}
