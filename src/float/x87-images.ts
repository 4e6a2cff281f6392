/** Test support: random x87 states as FSAVE images (32-bit protected-mode format), and what they say. */

import { F, type StateView } from '../cpu/state.ts'
import { generator } from './native.ts'
import { writeStatusWord } from './x87-status.ts'

/** The random numbers of the x87's tests. */
export const random = generator(87)

/** A number in extended format. */
export interface Number80 {
  significand: bigint
  head: number
}

/** A number that finds mistakes, often close to another one. */
export function operand(near?: Number80): Number80 {
  const sign = random.below(2) << 15
  const kind = random.below(16)
  const fractions = [0n, 1n, (1n << 63n) - 1n, 1n << 62n, (1n << 63n) - 2048n, ((1n << 23n) - 1n) << 40n]
  const few = random.bits(63) & (-1n << BigInt(random.below(63)))
  let fraction = random.below(2) ? fractions[random.below(fractions.length)] : random.below(2) ? few : random.bits(63)
  fraction = BigInt.asUintN(63, fraction)
  const top = 1n << 63n
  if (near && kind < 5) {
    const exponent = (near.head & 0x7fff) + random.below(140) - 70
    const significand = random.below(3) === 0 ? near.significand ^ random.bits(3) : top | fraction
    return { significand, head: sign | Math.max(0, Math.min(0x7fff, exponent)) }
  }
  if (kind < 11) return { significand: top | fraction, head: sign | (16383 - 70 + random.below(140)) }
  if (kind === 11) return { significand: top | fraction, head: sign | random.below(0x7fff) }
  const exponents = [
    0,
    0,
    0,
    1,
    2,
    0x7fff,
    0x7fff,
    0x7ffe,
    0x7ffd,
    64,
    16383 + 1023,
    16383 - 1023,
    16383 + 127,
    16383 - 127,
  ]
  const exponent = exponents[random.below(exponents.length)]
  let significand = top | fraction
  if (exponent === 0 && random.below(4)) significand = random.below(3) ? fraction : 0n
  else if (random.below(12) === 0) significand = fraction
  if (exponent === 0x7fff && random.below(2)) significand = top
  return { significand, head: sign | exponent }
}

/** A random stack under a random control word. */
export function fsaveImage(): Uint8Array {
  const image = new Uint8Array(108)
  const view = new DataView(image.buffer)
  let fcw = 0x7f | (random.below(4) << 10) | ([0, 2, 3, 3, 3][random.below(5)] << 8)
  if (random.below(3) === 0) fcw &= ~Number(random.bits(6))
  const top = random.below(8)
  let fsw = (top << 11) | (Number(random.bits(4)) << 8)
  fsw = (fsw & 0xbff) | ((fsw & 0x400) << 4) | (top << 11)
  if (random.below(4) === 0) fsw |= Number(random.bits(6)) & fcw & 0x3f
  let tags = random.below(4) ? 0 : Number(random.bits(16))
  // Loads want room.
  if (random.below(2)) tags |= 3 << (((top + 7) & 7) * 2)
  view.setUint32(0, 0xffff0000 | fcw, true)
  view.setUint32(4, 0xffff0000 | fsw, true)
  view.setUint32(8, 0xffff0000 | tags, true)
  let last: Number80 | undefined
  for (let i = 0; i < 8; i++) {
    last = operand(last)
    view.setBigUint64(28 + 10 * i, last.significand, true)
    view.setUint16(36 + 10 * i, last.head, true)
  }
  return image
}

/** Puts an image into a processor's state. */
export function enter(state: StateView, image: Uint8Array): void {
  const view = new DataView(image.buffer, image.byteOffset)
  const fsw = view.getUint16(4, true)
  state.set32(F.fcw, view.getUint16(0, true))
  writeStatusWord(state, fsw)
  state.set32(F.ftw, view.getUint16(8, true))
  state.set32(F.x87Flags, 0)
  for (let i = 0; i < 8; i++) {
    const n = (i + (fsw >> 11)) & 7
    state.set64(F.fpr, view.getBigUint64(28 + 10 * i, true), n)
    state.bytes[F.fpr.offset + n * 16 + 8] = image[36 + 10 * i]
    state.bytes[F.fpr.offset + n * 16 + 9] = image[37 + 10 * i]
  }
}

/** What an FSAVE image says, for people. Registers that are empty do not matter. */
export function describe(image: Uint8Array): string {
  const view = new DataView(image.buffer, image.byteOffset)
  const fsw = view.getUint16(4, true)
  const tags = view.getUint16(8, true)
  const lines = [`fcw ${view.getUint16(0, true).toString(16)} fsw ${fsw.toString(16)} tags ${tags.toString(16)}`]
  for (let i = 0; i < 8; i++) {
    const n = (i + (fsw >> 11)) & 7
    const empty = ((tags >> (2 * n)) & 3) === 3
    const significand = view
      .getBigUint64(28 + 10 * i, true)
      .toString(16)
      .padStart(16, '0')
    lines.push(`st${i} ${empty ? 'empty' : `${view.getUint16(36 + 10 * i, true).toString(16)} ${significand}`}`)
  }
  return lines.join('\n')
}

/** Kinds of operands in memory. */
export type MemoryKind = 'f32' | 'f64' | 'f80' | 'i16' | 'i32' | 'i64' | 'bcd'

/** Sixteen bytes with such an operand. */
export function memoryFor(kind: MemoryKind | undefined): Uint8Array {
  const bytes = new Uint8Array(16)
  const view = new DataView(bytes.buffer)
  if (kind === 'f80') {
    const { significand, head } = operand()
    view.setBigUint64(0, significand, true)
    view.setUint16(8, head, true)
  } else if (kind === 'bcd') {
    for (let i = 0; i < 9; i++) bytes[i] = random.below(10) | (random.below(10) << 4)
    bytes[9] = random.below(256)
  } else if (kind === 'f32' || kind === 'f64') {
    const [fraction, bias] = kind === 'f32' ? [23, 127] : [52, 1023]
    const exponents = [0, 1, 2 * bias + 1, bias, 2 * bias]
    const exponent = random.below(2) ? exponents[random.below(5)] : bias - 30 + random.below(60)
    const f = random.below(3) ? random.bits(fraction) : BigInt(random.below(2))
    const value =
      (BigInt(random.below(2)) << BigInt(kind === 'f32' ? 31 : 63)) | (BigInt(exponent) << BigInt(fraction)) | f
    view.setBigUint64(0, value, true)
  } else view.setBigUint64(0, random.bits(64) >> BigInt(random.below(3) ? 0 : random.below(64)), true)
  return bytes
}
