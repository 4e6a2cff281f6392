/** What the rules need to know of a captured instruction: prefixes, opcode, ModR/M byte and the memory that it reaches. */
import { BP, BX, CX, DI, DS, ES, FLAGS, SI, SP, SS, type VectorTest } from './moo.ts'

/** A captured instruction taken apart. */
export interface Instruction {
  readonly prefixes: readonly number[]
  /** One byte, or 0F and the second byte. */
  readonly opcode: number
  readonly modrm: number
  readonly mod: number
  /** Bits 3–5 of the ModR/M byte. */
  readonly reg: number
  readonly rm: number
  /** Displacement of the ModR/M operand, or the offset of an operand without one. */
  readonly displacement: number
  /** The byte after ModR/M and displacement, or after the opcode. */
  readonly immediate: number
  /** The nesting level of ENTER. */
  readonly level: number
  /** Bytes, without the HLT that follows. */
  readonly length: number
}

const PREFIXES = new Set([0x26, 0x2e, 0x36, 0x3e, 0xf0, 0xf2, 0xf3])

/** Opcodes of one byte with a ModR/M byte. */
function hasModrm(opcode: number): boolean {
  if (opcode < 0x40) return (opcode & 7) < 4
  if (opcode > 0xff) return true
  return (
    (opcode >= 0x80 && opcode <= 0x8f) ||
    (opcode >= 0xd0 && opcode <= 0xd3) ||
    (opcode >= 0xd8 && opcode <= 0xdf) ||
    [0x62, 0x63, 0x69, 0x6b, 0xc0, 0xc1, 0xc4, 0xc5, 0xc6, 0xc7, 0xf6, 0xf7, 0xfe, 0xff].includes(opcode)
  )
}

/** Bytes of the immediate of MOV to ModR/M, by opcode; the other immediates are not needed. */
const immediateBytes = (opcode: number): number => (opcode === 0xc7 ? 2 : opcode === 0xc6 ? 1 : 0)

/** Takes a test's instruction apart. @param withHalt whether its bytes end with an HLT of the test's */
export function parseInstruction(bytes: Uint8Array, withHalt: boolean): Instruction {
  let at = 0
  while (PREFIXES.has(bytes[at])) at++
  const prefixes = [...bytes.subarray(0, at)]
  let opcode = bytes[at++]
  if (opcode === 0x0f) opcode = 0xf00 | bytes[at++]
  const word = (): number => {
    at += 2
    return (bytes[at - 2] | (bytes[at - 1] << 8)) & 0xffff
  }
  let modrm = 0xc0
  let displacement = 0
  if (hasModrm(opcode)) {
    modrm = bytes[at++]
    const mod = modrm >> 6
    if (mod === 2 || (mod === 0 && (modrm & 7) === 6)) displacement = word()
    else if (mod === 1) displacement = ((bytes[at++] << 24) >> 24) & 0xffff
  } else if (opcode >= 0xa0 && opcode <= 0xa3) displacement = word()
  return {
    prefixes,
    opcode,
    modrm,
    mod: modrm >> 6,
    reg: (modrm >> 3) & 7,
    rm: modrm & 7,
    displacement,
    immediate: bytes[at] ?? 0,
    level: opcode === 0xc8 ? bytes[at + 2] & 31 : 0,
    // Disassemblers cut short what is invalid.
    length: Math.max(withHalt ? bytes.length - 1 : bytes.length, at + immediateBytes(opcode)),
  }
}

/** Whether the ModR/M byte names memory. */
export const hasMemory = (i: Instruction): boolean => i.mod !== 3

const STRINGS = new Set([0x6c, 0x6d, 0x6e, 0x6f, 0xa4, 0xa5, 0xa6, 0xa7, 0xaa, 0xab, 0xac, 0xad, 0xae, 0xaf])

/** MOVS CMPS STOS LODS SCAS INS OUTS. */
export const isString = (i: Instruction): boolean => STRINGS.has(i.opcode)

/** Whether a REP prefix is there. */
export const isRepeated = (i: Instruction): boolean => i.prefixes.includes(0xf2) || i.prefixes.includes(0xf3)

/** The offset of the ModR/M operand in its segment. */
export function effectiveAddress(i: Instruction, registers: Uint16Array): number {
  const bases = [
    registers[BX] + registers[SI],
    registers[BX] + registers[DI],
    registers[BP] + registers[SI],
    registers[BP] + registers[DI],
    registers[SI],
    registers[DI],
    i.mod === 0 ? 0 : registers[BP],
    registers[BX],
  ]
  return (bases[i.rm] + i.displacement) & 0xffff
}

/** An access of `size` bytes, an operand of the instruction. */
export interface Access {
  /** Number of the segment register as in moo.ts. */
  readonly segment: number
  readonly offset: number
  readonly size: number
}

/** Bytes of the ModR/M operand in memory, 0 where it is not accessed. */
function operandSize({ opcode, reg }: Instruction): number {
  if (opcode === 0x8d) return 0
  if ((opcode & 0xf8) === 0xd8) return 4
  if (opcode === 0x62 || opcode === 0xc4 || opcode === 0xc5) return 4
  if (opcode === 0xff) return reg === 3 || reg === 5 ? 4 : 2
  if (opcode === 0x8c || opcode === 0x8e) return 2
  return opcode & 1 ? 2 : 1
}

const SEGMENT_BY_PREFIX: Readonly<Record<number, number>> = { 38: ES, 46: 4, 54: SS, 62: DS }

/** The segment of an operand by the last override among the prefixes. */
function overridden(i: Instruction, segment: number): number {
  for (const prefix of i.prefixes) segment = SEGMENT_BY_PREFIX[prefix] ?? segment
  return segment
}

/** Words pushed (negative) or popped. */
function stackWords({ opcode, reg, level }: Instruction): number {
  if ((opcode & 0xe7) === 0x06) return -1
  if ((opcode & 0xe7) === 0x07 && opcode < 0x20) return 1
  if (opcode >= 0x50 && opcode <= 0x57) return -1
  if (opcode >= 0x58 && opcode <= 0x5f) return 1
  switch (opcode) {
    case 0x60:
      return -8
    case 0x61:
      return 8
    case 0x68:
    case 0x6a:
    case 0x9c:
    case 0xe8:
      return -1
    case 0x9a:
      return -2
    case 0xc8:
      return -1 - level
    case 0x8f:
    case 0x9d:
    case 0xc2:
    case 0xc3:
      return 1
    case 0xca:
    case 0xcb:
      return 2
    case 0xcc:
    case 0xcd:
    case 0xce:
      return -3
    case 0xcf:
      return 3
    case 0xff:
      return reg === 2 || reg === 6 ? -1 : reg === 3 ? -2 : 0
  }
  return 0
}

/** The accesses to memory that an instruction makes, as far as they can be told from the state before it. */
export function* accesses(i: Instruction, { initial: registers, final }: VectorTest): Iterable<Access> {
  const size = operandSize(i)
  if (hasMemory(i) && size > 0) {
    const throughStack = i.rm === 2 || i.rm === 3 || (i.rm === 6 && i.mod !== 0)
    yield { segment: overridden(i, throughStack ? SS : DS), offset: effectiveAddress(i, registers), size }
  }
  if (i.opcode >= 0xa0 && i.opcode <= 0xa3) {
    yield { segment: overridden(i, DS), offset: i.displacement, size: i.opcode & 1 ? 2 : 1 }
  }
  if (isString(i)) {
    const width = i.opcode & 1 ? 2 : 1
    const step = registers[FLAGS] & 0x400 ? -width : width
    const times = isRepeated(i) ? (registers[CX] - final[CX]) & 0xffff : 1
    const kind = i.opcode & ~1
    for (let n = 0; n < times; n++) {
      if (kind !== 0xaa && kind !== 0xae && kind !== 0x6c) {
        yield { segment: overridden(i, DS), offset: (registers[SI] + n * step) & 0xffff, size: width }
      }
      if (kind !== 0xac && kind !== 0x6e) {
        yield { segment: ES, offset: (registers[DI] + n * step) & 0xffff, size: width }
      }
    }
  }
  // LEAVE, and the frame pointers that ENTER copies.
  if (i.opcode === 0xc9) yield { segment: SS, offset: registers[BP], size: 2 }
  for (let n = 1; n < i.level; n++) yield { segment: SS, offset: (registers[BP] - 2 * n) & 0xffff, size: 2 }
  let pointer = registers[SP]
  for (let n = stackWords(i); n < 0; n++) {
    pointer = (pointer - 2) & 0xffff
    yield { segment: SS, offset: pointer, size: 2 }
  }
  for (let n = stackWords(i); n > 0; n--) {
    yield { segment: SS, offset: pointer, size: 2 }
    pointer = (pointer + 2) & 0xffff
  }
}
