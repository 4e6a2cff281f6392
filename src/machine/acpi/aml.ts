/**
 * A small encoder of ACPI Machine Language (ACPI 6.5, chapter 20): each function gives the bytes of one term. Only what
 * the tables of this machine need.
 */

/** The bytes of a term. */
export type Aml = number[]

/** `count` bytes of `value`, least significant first. */
function little(value: number, count: number): Aml {
  return Array.from({ length: count }, (_, i) => Math.floor(value / 2 ** (8 * i)) % 256)
}

/** A NameString (20.2.2) such as `'\\_SB.PCI0'` or `'_CRS'`; segments are padded with underscores. */
export function nameString(name: string): Aml {
  const root = name.startsWith('\\')
  const segments = name
    .slice(root ? 1 : 0)
    .split('.')
    .filter(segment => segment !== '')
  const bytes: Aml = root ? [0x5c] : []
  if (segments.length === 0) bytes.push(0x00)
  else if (segments.length === 2) bytes.push(0x2e)
  else if (segments.length > 2) bytes.push(0x2f, segments.length)
  for (const segment of segments) {
    if (!/^[A-Z_][A-Z0-9_]{0,3}$/.test(segment)) throw new Error(`'${segment}' is no AML name`)
    for (const character of segment.padEnd(4, '_')) bytes.push(character.charCodeAt(0))
  }
  return bytes
}

/** `content` behind its PkgLength (20.2.4), which counts itself. */
function withLength(content: Aml): Aml {
  const length = content.length
  if (length + 1 < 0x40) return [length + 1, ...content]
  for (const extra of [1, 2, 3]) {
    const total = length + 1 + extra
    if (total < 2 ** (4 + 8 * extra)) return [(extra << 6) | (total & 0x0f), ...little(total >>> 4, extra), ...content]
  }
  throw new Error('an AML package of 256 MiB or more cannot be encoded')
}

/** An integer in its shortest form (20.2.3). */
export function integer(value: number): Aml {
  if (value === 0) return [0x00]
  if (value === 1) return [0x01]
  if (value < 2 ** 8) return [0x0a, value]
  if (value < 2 ** 16) return [0x0b, ...little(value, 2)]
  if (value < 2 ** 32) return [0x0c, ...little(value, 4)]
  return [0x0e, ...little(value, 8)]
}

/** A string of ASCII. */
export function string(value: string): Aml {
  return [0x0d, ...Array.from(value, character => character.charCodeAt(0)), 0x00]
}

/** A compressed EISA identifier such as `'PNP0A03'`, as an integer (19.3.4). */
export function eisaId(id: string): Aml {
  const letter = (i: number) => id.charCodeAt(i) - 0x40
  const digits = Number.parseInt(id.slice(3), 16)
  const word = (letter(0) << 10) | (letter(1) << 5) | letter(2)
  return [0x0c, word >>> 8, word & 0xff, digits >>> 8, digits & 0xff]
}

/** Package. */
export function packageOf(...elements: Aml[]): Aml {
  return [0x12, ...withLength([elements.length, ...elements.flat()])]
}

/** Buffer with its content. */
export function buffer(content: Aml): Aml {
  return [0x11, ...withLength([...integer(content.length), ...content])]
}

/** Name: a named object with a constant value. */
export function name(path: string, value: Aml): Aml {
  return [0x08, ...nameString(path), ...value]
}

/** Scope. */
export function scope(path: string, ...terms: Aml[]): Aml {
  return [0x10, ...withLength([...nameString(path), ...terms.flat()])]
}

/** Device. */
export function device(path: string, ...terms: Aml[]): Aml {
  return [0x5b, 0x82, ...withLength([...nameString(path), ...terms.flat()])]
}

/** Method, not serialised. `argumentCount` is 0 to 7. */
export function method(path: string, argumentCount: number, ...terms: Aml[]): Aml {
  return [0x14, ...withLength([...nameString(path), argumentCount, ...terms.flat()])]
}

/** Return. */
export function returns(value: Aml): Aml {
  return [0xa4, ...value]
}

/** Store `value` in the named object. */
export function store(value: Aml, path: string): Aml {
  return [0x70, ...value, ...nameString(path)]
}

/** If with an Else. */
export function ifElse(condition: Aml, then: Aml, otherwise: Aml): Aml {
  return [0xa0, ...withLength([...condition, ...then]), 0xa1, ...withLength(otherwise)]
}

/** The method's first argument. */
export const ARG0: Aml = [0x68]

/** A resource template (6.4) as a buffer, with its end tag. */
export function resources(...descriptors: Aml[]): Aml {
  return buffer([...descriptors.flat(), 0x79, 0x00])
}

/** `length` ports from `first`, decoding 16 bits (6.4.2.5). */
export function ioPorts(first: number, length: number): Aml {
  return [0x47, 0x01, ...little(first, 2), ...little(first, 2), 0x01, length]
}

/** An ISA interrupt, edge-triggered and active high (6.4.2.1). */
export function irq(number: number): Aml {
  return [0x22, ...little(1 << number, 2)]
}

/** An ISA DMA channel of bytes (6.4.2.2): compatible timing, no bus master. */
export function dma(channel: number): Aml {
  return [0x2a, 1 << channel, 0x00]
}

/** A fixed range below 4 GiB (6.4.3.4). */
export function memory32Fixed(address: number, length: number, writable: boolean): Aml {
  return [0x86, 0x09, 0x00, writable ? 1 : 0, ...little(address, 4), ...little(length, 4)]
}

/** Kinds of address space in descriptors (6.4.3.5). */
export type AddressSpaceType = 'memory' | 'io' | 'bus'

const TYPES = { memory: 0, io: 1, bus: 2 } as const
/** Memory: read-write, not cacheable. I/O: the entire range. */
const TYPE_FLAGS = { memory: 0x01, io: 0x03, bus: 0x00 } as const
/** Both ends fixed, positive decode, producer. */
const PRODUCER = 0x0c

/** A window of `first` to `last` that a bridge hands down, with fields of 2, 4 or 8 bytes. */
export function window(size: 2 | 4 | 8, type: AddressSpaceType, first: number, last: number): Aml {
  const tag = { 2: 0x88, 4: 0x87, 8: 0x8a }[size]
  const fields = [0, first, last, 0, last - first + 1].flatMap(value => little(value, size))
  return [tag, ...little(3 + fields.length, 2), TYPES[type], PRODUCER, TYPE_FLAGS[type], ...fields]
}
