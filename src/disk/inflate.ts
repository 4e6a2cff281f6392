/**
 * Uncompresses deflate (RFC 1951) and zlib (RFC 1950), for hosts without a library that stops where the stream does: a cluster
 * says in sectors how long it is, and what follows it is none of its business.
 */

/** Codes are looked up by so many bits at once; longer ones take a second step, bit by bit. */
const FAST_BITS = 10
const LONGEST_CODE = 15

/** A Huffman code (3.2.2): what the next bits mean. */
interface Code {
  /** By the next {@link FAST_BITS} bits: symbol << 4 | length, or 0 where the code is longer or there is none. */
  fast: Uint16Array
  /** How many codes there are of each length, */
  counts: Uint16Array
  /** and their symbols in the order of the codes. */
  symbols: Uint16Array
}

/** Base and extra bits of the lengths 257 … 285 and of distances (3.2.5). */
const LENGTH_BASE = [
  3, 4, 5, 6, 7, 8, 9, 10, 11, 13, 15, 17, 19, 23, 27, 31, 35, 43, 51, 59, 67, 83, 99, 115, 131, 163, 195, 227, 258,
]
const LENGTH_EXTRA = [0, 0, 0, 0, 0, 0, 0, 0, 1, 1, 1, 1, 2, 2, 2, 2, 3, 3, 3, 3, 4, 4, 4, 4, 5, 5, 5, 5, 0]
const DISTANCE_BASE = [
  1, 2, 3, 4, 5, 7, 9, 13, 17, 25, 33, 49, 65, 97, 129, 193, 257, 385, 513, 769, 1025, 1537, 2049, 3073, 4097, 6145,
  8193, 12289, 16385, 24577,
]
const DISTANCE_EXTRA = [
  0, 0, 0, 0, 1, 1, 2, 2, 3, 3, 4, 4, 5, 5, 6, 6, 7, 7, 8, 8, 9, 9, 10, 10, 11, 11, 12, 12, 13, 13,
]
/** In which order the lengths of the code of lengths come (3.2.7). */
const LENGTHS_ORDER = [16, 17, 18, 0, 8, 7, 9, 6, 10, 5, 11, 4, 12, 3, 13, 2, 14, 1, 15]

function makeCode(lengths: ArrayLike<number>): Code {
  const counts = new Uint16Array(LONGEST_CODE + 1)
  for (let i = 0; i < lengths.length; i++) counts[lengths[i]]++
  counts[0] = 0
  let left = 1
  const offsets = new Uint16Array(LONGEST_CODE + 2)
  const next = new Uint16Array(LONGEST_CODE + 2)
  for (let length = 1; length <= LONGEST_CODE; length++) {
    left = left * 2 - counts[length]
    if (left < 0) throw new RangeError('a code has too many symbols')
    offsets[length + 1] = offsets[length] + counts[length]
    next[length + 1] = (next[length] + counts[length]) << 1
  }
  const symbols = new Uint16Array(lengths.length)
  const fast = new Uint16Array(1 << FAST_BITS)
  for (let symbol = 0; symbol < lengths.length; symbol++) {
    const length = lengths[symbol]
    if (length === 0) continue
    symbols[offsets[length]++] = symbol
    const code = next[length]++
    if (length > FAST_BITS) continue
    // Codes come with their highest bit first, everything else with its lowest.
    let reversed = 0
    for (let bit = 0; bit < length; bit++) reversed |= ((code >> bit) & 1) << (length - 1 - bit)
    for (let at = reversed; at < fast.length; at += 1 << length) fast[at] = (symbol << 4) | length
  }
  return { fast, counts, symbols }
}

/** The codes that need not be told (3.2.6). */
function fixedCodes(): { literals: Code; distances: Code } {
  const lengths = Array.from({ length: 288 }, (_, i) => (i < 144 ? 8 : i < 256 ? 9 : i < 280 ? 7 : 8))
  return { literals: makeCode(lengths), distances: makeCode(new Array(30).fill(5)) }
}

/** The bits of a stream, from the lowest of each byte. */
class Bits {
  readonly #bytes: Uint8Array
  #at: number
  #bits = 0
  #count = 0

  constructor(bytes: Uint8Array, at: number) {
    this.#bytes = bytes
    this.#at = at
  }

  /** Bits beyond the end read as zeros; taking them is an error. */
  #fill(count: number): void {
    while (this.#count < count) {
      this.#bits |= (this.#bytes[this.#at++] ?? 0) << this.#count
      this.#count += 8
    }
  }

  #drop(count: number): void {
    this.#bits >>>= count
    this.#count -= count
    if (this.#at - (this.#count >> 3) > this.#bytes.length) throw new RangeError('the stream ends too early')
  }

  take(count: number): number {
    this.#fill(count)
    const value = this.#bits & ((1 << count) - 1)
    this.#drop(count)
    return value
  }

  symbol({ fast, counts, symbols }: Code): number {
    this.#fill(LONGEST_CODE)
    const found = fast[this.#bits & ((1 << FAST_BITS) - 1)]
    if (found !== 0) {
      this.#drop(found & 15)
      return found >> 4
    }
    let code = 0
    let first = 0
    let index = 0
    for (let length = 1; length <= LONGEST_CODE; length++) {
      code |= (this.#bits >> (length - 1)) & 1
      const count = counts[length]
      if (code - count < first) {
        this.#drop(length)
        return symbols[index + code - first]
      }
      index += count
      first = (first + count) << 1
      code <<= 1
    }
    throw new RangeError('the stream has bits that are no code')
  }

  /** The bytes of a stored block (3.2.4). */
  stored(): Uint8Array {
    this.#drop(this.#count & 7)
    const length = this.take(16)
    if (this.take(16) !== (length ^ 0xffff)) throw new RangeError('a stored block contradicts itself')
    const from = this.#at - (this.#count >> 3)
    if (from + length > this.#bytes.length) throw new RangeError('the stream ends too early')
    this.#at = from + length
    this.#bits = 0
    this.#count = 0
    return this.#bytes.subarray(from, from + length)
  }
}

/** The codes of a block that brings its own (3.2.7). */
function readCodes(bits: Bits): { literals: Code; distances: Code } {
  const literalCount = bits.take(5) + 257
  const distanceCount = bits.take(5) + 1
  const lengthCount = bits.take(4) + 4
  const own = new Uint8Array(19)
  for (let i = 0; i < lengthCount; i++) own[LENGTHS_ORDER[i]] = bits.take(3)
  const code = makeCode(own)
  const lengths = new Uint8Array(literalCount + distanceCount)
  for (let at = 0; at < lengths.length; ) {
    const symbol = bits.symbol(code)
    if (symbol < 16) {
      lengths[at++] = symbol
      continue
    }
    if (symbol === 16 && at === 0) throw new RangeError('a length is repeated that is not there')
    const value = symbol === 16 ? lengths[at - 1] : 0
    const count = symbol === 16 ? 3 + bits.take(2) : symbol === 17 ? 3 + bits.take(3) : 11 + bits.take(7)
    if (at + count > lengths.length) throw new RangeError('there are too many lengths')
    lengths.fill(value, at, at + count)
    at += count
  }
  return {
    literals: makeCode(lengths.subarray(0, literalCount)),
    distances: makeCode(lengths.subarray(literalCount)),
  }
}

/**
 * Uncompresses a raw deflate stream, whatever follows it.
 * @param size most bytes that it may give
 * @param from where in `bytes` it begins
 * @throws RangeError where the bytes are no such stream
 */
export function inflateRaw(bytes: Uint8Array, size: number, from = 0): Uint8Array {
  const bits = new Bits(bytes, from)
  const out = new Uint8Array(size)
  let at = 0
  const room = (count: number) => {
    if (at + count > size) throw new RangeError(`the stream gives more than ${size} bytes`)
  }
  for (let last = 0; !last; ) {
    last = bits.take(1)
    const type = bits.take(2)
    if (type === 0) {
      const piece = bits.stored()
      room(piece.length)
      out.set(piece, at)
      at += piece.length
      continue
    }
    if (type === 3) throw new RangeError('the stream has a block of no known type')
    const { literals, distances } = type === 1 ? fixedCodes() : readCodes(bits)
    for (;;) {
      const symbol = bits.symbol(literals)
      if (symbol === 256) break
      if (symbol < 256) {
        room(1)
        out[at++] = symbol
        continue
      }
      if (symbol > 285) throw new RangeError('the stream has a length that there is not')
      const length = LENGTH_BASE[symbol - 257] + bits.take(LENGTH_EXTRA[symbol - 257])
      const kind = bits.symbol(distances)
      if (kind > 29) throw new RangeError('the stream has a distance that there is not')
      const distance = DISTANCE_BASE[kind] + bits.take(DISTANCE_EXTRA[kind])
      if (distance > at) throw new RangeError('the stream refers to what is before its beginning')
      room(length)
      if (distance >= length) out.copyWithin(at, at - distance, at - distance + length)
      else for (let i = 0; i < length; i++) out[at + i] = out[at + i - distance]
      at += length
    }
  }
  return out.subarray(0, at)
}

/** Uncompresses a zlib stream, whatever follows it, as {@link inflateRaw} does. Its checksum is not looked at. */
export function inflateZlib(bytes: Uint8Array, size: number): Uint8Array {
  // CM is 8, FDICT is not set, and the two bytes are a multiple of 31 (RFC 1950, 2.2).
  if ((bytes[0] & 15) !== 8 || bytes[1] & 0x20 || ((bytes[0] << 8) | bytes[1]) % 31 !== 0)
    throw new RangeError('the stream does not begin as zlib does')
  return inflateRaw(bytes, size, 2)
}
