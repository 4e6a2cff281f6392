/** Reads the encoding notation of src/isa/definition.ts into {@link Form}s: what the decoder's tables are made of. */
import type { Instruction } from './definition.ts'

/** What an operand of an encoding names. */
export type OperandKind =
  /** E: a general register or memory by ModRM.rm. */
  | 'rm'
  /** M: memory by ModRM.rm. */
  | 'memory'
  /** R: a general register by ModRM.rm. */
  | 'rmRegister'
  /** G: a general register by ModRM.reg. */
  | 'reg'
  /** Z: a general register by the low three bits of the opcode. */
  | 'opcodeRegister'
  /** A general register that the encoding implies: AL, rAX, CL, DX. */
  | 'register'
  /** I and sI, and the constant 1. */
  | 'immediate'
  | 'one'
  /** J: a displacement to RIP of the next instruction. */
  | 'relative'
  /** Ap gives two operands: the selector, then the offset. */
  | 'farSelector'
  | 'farOffset'
  /** O: memory at an absolute offset in DS. */
  | 'absolute'
  /** S: a segment register by ModRM.reg; ES … GS: one implied. */
  | 'segment'
  | 'fixedSegment'
  /** C and D: by ModRM.reg. */
  | 'control'
  | 'debug'
  /** ST, and ST(i) by ModRM.rm. */
  | 'st'
  | 'sti'
  /** P by reg, Q by rm or memory, N by rm. */
  | 'mmx'
  | 'mmxRm'
  | 'mmxRegister'
  /** V by reg, W by rm or memory, U by rm, and the implied XMM0. */
  | 'xmm'
  | 'xmmRm'
  | 'xmmRegister'
  | 'xmm0'
  /** B: a general register by VEX.vvvv. */
  | 'vexRegister'
  /** H by VEX.vvvv, L by the upper half of the immediate byte. */
  | 'vexXmm'
  | 'immediateXmm'
  /** VM: memory addressed by a vector of indices. */
  | 'vectorMemory'

/** Size letters of the manual's opcode map; `none` where the operand has no size of its own. */
export type OperandSize = 'b' | 'w' | 'd' | 'q' | 't' | 'dq' | 'qq' | 'v' | 'y' | 'z' | 'none'

/** One operand of an encoding. */
export interface OperandSpec {
  readonly kind: OperandKind
  readonly size: OperandSize
  /** Number of an implied register (general or segment); -1 for the others. */
  readonly number: number
  /** Immediates: sign-extended to the operand size. */
  readonly signed: boolean
  /** As written, for listings. */
  readonly text: string
}

/** Immediate bytes, in the order of the code. */
export type ImmediateKind = 'ib' | 'iw' | 'id' | 'iz' | 'iv' | 'iq' | 'cb' | 'cz' | 'ap' | 'moffs' | 'is4'

/** How the decoder reads an immediate: kind and extension in one small number, {@link immediateCode}. */
export const IMMEDIATE_NONE = 0
export const IMMEDIATE_IB = 1
export const IMMEDIATE_SIB = 2
export const IMMEDIATE_IW = 3
export const IMMEDIATE_ID = 4
export const IMMEDIATE_IZ = 5
export const IMMEDIATE_SIZ = 6
export const IMMEDIATE_IV = 7
export const IMMEDIATE_IQ = 8
export const IMMEDIATE_CB = 9
export const IMMEDIATE_CZ = 10
export const IMMEDIATE_AP = 11
export const IMMEDIATE_MOFFS = 12

/** One encoding of an instruction, parsed. */
export interface Form {
  readonly instruction: Instruction
  /** Dense number among all forms of the table that it was made for. */
  readonly index: number
  /** The encoding as written. */
  readonly encoding: string
  /** 0: one-byte opcodes, 1: 0F, 2: 0F 38, 3: 0F 3A. */
  readonly map: 0 | 1 | 2 | 3
  /** What VEX.L must be: 0, 1, or either (LIG). Undefined for encodings without VEX. */
  readonly vexLength: 0 | 1 | 'any' | undefined
  /** VEX.W changes nothing (WIG), not even the operand size. */
  readonly ignoresW: boolean
  /** VEX.vvvv names an operand; where it does not it must be 1111. */
  readonly usesVvvv: boolean
  /** The memory operand has a vector of indices (VSIB). */
  readonly vectorIndex: boolean
  /** The opcode byte; with {@link opcodeRegister} the first of eight. */
  readonly opcode: number
  /** +r. */
  readonly opcodeRegister: boolean
  /** NFx: neither F3 nor F2, and 66 is the operand size; undefined: prefixes do not choose. */
  readonly mandatoryPrefix: 'NP' | 'NFx' | '66' | 'F3' | 'F2' | undefined
  /** What REX.W must be, if it must. */
  readonly rexW: 0 | 1 | undefined
  /** No ModRM byte, /r, or the opcode extension in ModRM.reg. */
  readonly modrm: undefined | 'r' | number
  readonly rmFixed: number | undefined
  /** Which ModRM.mod it takes; `ignored`: rm names a register whatever mod is (MOV to and from CR and DR). */
  readonly modKind: 'any' | 'mem' | 'reg' | 'ignored'
  readonly immediates: readonly ImmediateKind[]
  readonly only64: boolean
  readonly not64: boolean
  readonly default64: boolean
  readonly force64: boolean
  readonly operands: readonly OperandSpec[]

  /** Codes of up to two immediates (IMMEDIATE_…). */
  readonly immediate1: number
  readonly immediate2: number
  /** LOCK is allowed with a memory operand. */
  readonly lockable: boolean
  /** Which number of ModRM.reg is undefined: 1 segment read, 2 segment written, 3 control, 4 debug registers; 0: none. */
  readonly regCheck: number
  // What decoding asks of the instruction, whose objects are of many shapes.
  readonly modes: Instruction['modes']
  readonly repeatable: Instruction['repeatable']
  readonly popsIntoMemory: boolean
  readonly endsBlock: boolean
  /** It needs a unit: x87, MMX, SSE … */
  readonly hasUnit: boolean
}

const SIZES: Record<string, OperandSize> = {
  b: 'b',
  w: 'w',
  d: 'd',
  q: 'q',
  t: 't',
  dq: 'dq',
  qq: 'qq',
  v: 'v',
  y: 'y',
  z: 'z',
}

const KINDS: Record<string, OperandKind> = {
  E: 'rm',
  M: 'memory',
  R: 'rmRegister',
  G: 'reg',
  Z: 'opcodeRegister',
  I: 'immediate',
  J: 'relative',
  O: 'absolute',
  S: 'segment',
  C: 'control',
  D: 'debug',
  P: 'mmx',
  Q: 'mmxRm',
  N: 'mmxRegister',
  V: 'xmm',
  W: 'xmmRm',
  U: 'xmmRegister',
  B: 'vexRegister',
  H: 'vexXmm',
  L: 'immediateXmm',
}

const FIXED: Record<string, readonly [OperandKind, OperandSize, number]> = {
  AL: ['register', 'b', 0],
  CL: ['register', 'b', 1],
  AX: ['register', 'w', 0],
  DX: ['register', 'w', 2],
  eAX: ['register', 'z', 0],
  rAX: ['register', 'v', 0],
  '1': ['one', 'b', -1],
  ES: ['fixedSegment', 'w', 0],
  CS: ['fixedSegment', 'w', 1],
  SS: ['fixedSegment', 'w', 2],
  DS: ['fixedSegment', 'w', 3],
  FS: ['fixedSegment', 'w', 4],
  GS: ['fixedSegment', 'w', 5],
  ST: ['st', 't', 0],
  STi: ['sti', 't', -1],
  XMM0: ['xmm0', 'dq', 0],
  M: ['memory', 'none', -1],
}

const specs = new Map<string, readonly OperandSpec[]>()

/**
 * The operand specifications of one word; undefined when it is no operand. Parsed once a word: there are about a hundred.
 * @param wide what size x means: 256 bits instead of 128
 */
function operandSpecs(text: string, wide: boolean): readonly OperandSpec[] | undefined {
  if (text.endsWith('x') && !text.startsWith('VM')) text = text.slice(0, -1) + (wide ? 'qq' : 'dq')
  const known = specs.get(text)
  if (known) return known
  const spec = (kind: OperandKind, size: OperandSize, number = -1, signed = false) => ({
    kind,
    size,
    number,
    signed,
    text,
  })
  let made: OperandSpec[] | undefined
  const fixed = FIXED[text]
  if (text.startsWith('VM')) {
    const size = SIZES[text[2]]
    if (size && (text[3] === 'x' || text[3] === 'y')) made = [spec('vectorMemory', size)]
  } else if (text === 'Ap') {
    made = [spec('farSelector', 'w'), spec('farOffset', 'z')]
  } else if (fixed) {
    made = [spec(fixed[0], fixed[1], fixed[2])]
  } else {
    const signed = text.startsWith('sI')
    const letters = signed ? text.slice(1) : text
    const kind = KINDS[letters[0]]
    const size = SIZES[letters.slice(1)]
    if (kind && size) made = [spec(kind, size, -1, signed)]
  }
  if (made) specs.set(text, made)
  return made
}

/** Kinds that ModRM.rm names, and whether as memory only (m), register only (r) or either (e). */
const RM_KINDS: Partial<Record<OperandKind, 'm' | 'r' | 'e'>> = {
  rm: 'e',
  mmxRm: 'e',
  xmmRm: 'e',
  memory: 'm',
  vectorMemory: 'm',
  rmRegister: 'r',
  mmxRegister: 'r',
  xmmRegister: 'r',
  sti: 'r',
}

/** Kinds that ModRM.reg names. */
const REG_KINDS: ReadonlySet<OperandKind> = new Set(['reg', 'segment', 'control', 'debug', 'mmx', 'xmm'])

const IMMEDIATE_KINDS: ReadonlySet<string> = new Set([
  ...['ib', 'iw', 'id', 'iz', 'iv', 'iq', 'cb', 'cz', 'ap', 'moffs', '/is4'],
])

/** Kinds of operands that take an immediate. */
const TAKES_IMMEDIATE: ReadonlySet<OperandKind> = new Set([
  ...(['immediate', 'relative', 'farSelector', 'absolute', 'immediateXmm'] as const),
])

/** Operand words that take an immediate of the bytes. */
const IMMEDIATE_OPERANDS: Record<ImmediateKind, readonly string[]> = {
  ib: ['Ib', 'sIb'],
  iw: ['Iw'],
  id: ['Id'],
  iz: ['Iz', 'sIz'],
  iv: ['Iv'],
  iq: ['Iq'],
  cb: ['Jb'],
  cz: ['Jz'],
  ap: ['Ap'],
  moffs: ['Ob', 'Ov'],
  is4: ['Lx', 'Ldq', 'Lqq'],
}

const CODES: Record<ImmediateKind, number> = {
  ib: IMMEDIATE_IB,
  iw: IMMEDIATE_IW,
  id: IMMEDIATE_ID,
  iz: IMMEDIATE_IZ,
  iv: IMMEDIATE_IV,
  iq: IMMEDIATE_IQ,
  cb: IMMEDIATE_CB,
  cz: IMMEDIATE_CZ,
  ap: IMMEDIATE_AP,
  moffs: IMMEDIATE_MOFFS,
  is4: IMMEDIATE_IB,
}

/** The immediate code of immediate bytes taken by an operand word (undefined: bytes that no operand takes). */
function immediateCode(kind: ImmediateKind | undefined, operand: string | undefined): number {
  if (kind === undefined) return IMMEDIATE_NONE
  if (operand === 'sIb') return IMMEDIATE_SIB
  if (operand === 'sIz') return IMMEDIATE_SIZ
  return CODES[kind]
}

/** What a VEX word says. */
interface VexFields {
  readonly length: 0 | 1 | 'any'
  readonly prefix: 'NP' | '66' | 'F3' | 'F2'
  readonly map: 1 | 2 | 3
  readonly w: 0 | 1 | undefined
  readonly ignoresW: boolean
}

/** Reads `VEX.256.66.0F38.W0`: the prefix may be left out (none), and W (it is the operand size then). */
function vexFields(token: string): VexFields | undefined {
  const parts = token.split('.').slice(1)
  const length = ({ 128: 0, LZ: 0, 256: 1, LIG: 'any' } as const)[parts.shift() as '128']
  const prefix = (['66', 'F3', 'F2'] as const).find(text => text === parts[0])
  if (prefix) parts.shift()
  const map = ({ '0F': 1, '0F38': 2, '0F3A': 3 } as const)[parts.shift() as '0F']
  const last = parts.shift()
  const known = last === undefined || last === 'W0' || last === 'W1' || last === 'WIG'
  if (length === undefined || map === undefined || !known || parts.length > 0) return undefined
  const w = last === 'W0' ? 0 : last === 'W1' ? 1 : undefined
  return { length, prefix: prefix ?? 'NP', map, w, ignoresW: last === 'WIG' }
}

/** The value of a token of two hexadecimal digits, -1 for others. */
function hexByte(token: string): number {
  if (token.length !== 2) return -1
  const a = '0123456789ABCDEF'.indexOf(token[0])
  const b = '0123456789ABCDEF'.indexOf(token[1])
  return a < 0 || b < 0 ? -1 : a * 16 + b
}

/**
 * Parses one encoding of an instruction.
 * @param index the form's number in the table it is made for
 * @throws Error naming instruction, encoding and the word that is not understood or does not fit the others
 */
export function parseEncoding(instruction: Instruction, encoding: string, index: number): Form {
  const fail = (what: string): never => {
    throw new Error(`encoding '${encoding}' of ${instruction.mnemonic}: ${what}`)
  }
  const separator = encoding.indexOf('  ')
  const bytesPart = separator < 0 ? encoding : encoding.slice(0, separator)
  const operandsPart = separator < 0 ? '' : encoding.slice(separator).trim()

  let map: Form['map'] = 0
  let opcode = -1
  let opcodeRegister = false
  let mandatoryPrefix: Form['mandatoryPrefix']
  let rexW: Form['rexW']
  let modrm: Form['modrm']
  let rmFixed: number | undefined
  let modKind: Form['modKind'] = 'any'
  const immediates: ImmediateKind[] = []
  let only64 = false
  let not64 = false
  let default64 = false
  let force64 = false
  let vex: VexFields | undefined

  for (const token of bytesPart.split(' ')) {
    if (token === '') continue
    if (token.startsWith('VEX.')) {
      vex = vexFields(token) ?? fail(`'${token}' is not understood`)
      map = vex.map
      mandatoryPrefix = vex.prefix
      rexW = vex.w
    } else if (
      opcode < 0 &&
      map === 0 &&
      (token === 'NP' || token === 'NFx' || token === '66' || token === 'F3' || token === 'F2')
    ) {
      if (mandatoryPrefix) fail(`two mandatory prefixes`)
      mandatoryPrefix = token
    } else if (token === 'W0') rexW = 0
    else if (token === 'W1') rexW = 1
    else if (token === 'mem') modKind = 'mem'
    else if (token === 'reg') modKind = 'reg'
    else if (token === 'i64') not64 = true
    else if (token === 'o64') only64 = true
    else if (token === 'd64') default64 = true
    else if (token === 'f64') force64 = true
    else if (IMMEDIATE_KINDS.has(token)) immediates.push(token.replace('/', '') as ImmediateKind)
    else if (token === '/r') modrm = 'r'
    else if (token.length === 2 && token[0] === '/' && token[1] >= '0' && token[1] <= '7') modrm = Number(token[1])
    else if (token.length === 4 && token.startsWith('/rm') && token[3] >= '0' && token[3] <= '7')
      rmFixed = Number(token[3])
    else {
      const plus = token.endsWith('+r')
      const byte = hexByte(plus ? token.slice(0, -2) : token)
      if (byte < 0) fail(`'${token}' is not understood`)
      if (opcode >= 0) fail(`'${token}' after the opcode`)
      if (map === 0 && byte === 0x0f) map = 1
      else if (!vex && map === 1 && byte === 0x38) map = 2
      else if (!vex && map === 1 && byte === 0x3a) map = 3
      else {
        opcode = byte
        opcodeRegister = plus
        if (plus && byte & 7) fail(`'${token}' does not name eight opcodes`)
      }
    }
  }
  if (opcode < 0) fail('no opcode')
  if (not64 && (only64 || default64 || force64 || (rexW === 1 && !vex))) fail('i64 contradicts another word')
  // Only 64-bit mode has REX.W.
  if (rexW === 1 && !vex) only64 = true
  if (default64 && force64) fail('both d64 and f64')

  const operands: OperandSpec[] = []
  const takers: string[] = []
  let regCheck = 0
  let usesVvvv = false
  let vectorIndex = false
  if (operandsPart !== '') {
    for (const word of operandsPart.split(',')) {
      const made = operandSpecs(word, vex?.length === 1) ?? fail(`operand '${word}' is not understood`)
      const kind = made[0].kind
      const rm = RM_KINDS[kind]
      if ((rm || REG_KINDS.has(kind)) && modrm === undefined) fail(`operand '${word}' without a ModRM byte`)
      if (REG_KINDS.has(kind) && modrm !== 'r') fail(`operand '${word}' needs /r`)
      if (kind === 'opcodeRegister' && !opcodeRegister) fail(`operand '${word}' without +r`)
      if (rm === 'm') {
        if (modKind === 'reg') fail(`memory operand '${word}' with reg`)
        modKind = 'mem'
      } else if (rm === 'r') {
        if (modKind === 'mem') fail(`register operand '${word}' with mem`)
        modKind = 'reg'
      }
      if (kind === 'vexRegister' || kind === 'vexXmm') {
        if (!vex) fail(`operand '${word}' without VEX`)
        usesVvvv = true
      }
      if (kind === 'vectorMemory') vectorIndex = true
      if (kind === 'segment') regCheck = operands.length === 0 ? 2 : 1
      else if (kind === 'control' || kind === 'debug') regCheck = kind === 'control' ? 3 : 4
      if (TAKES_IMMEDIATE.has(kind)) {
        const bytes = immediates[takers.length]
        if (!bytes || !IMMEDIATE_OPERANDS[bytes].includes(word)) fail(`no immediate bytes for operand '${word}'`)
        takers.push(word)
      }
      operands.push(...made)
    }
  }
  if (regCheck >= 3) modKind = 'ignored'
  if (rmFixed !== undefined) {
    if (modrm === undefined) fail('/rm without a ModRM byte')
    if (modKind === 'mem') fail('/rm with a memory operand')
    modKind = 'reg'
  }
  if (modKind !== 'any' && modrm === undefined) fail('mem or reg without a ModRM byte')
  if (immediates.length > 2) fail('more than two immediates')
  if (immediates.length === 2 && immediates[1] !== 'ib' && immediates[1] !== 'iw') {
    fail('a second immediate other than ib and iw')
  }
  return {
    instruction,
    index,
    encoding,
    map,
    vexLength: vex?.length,
    ignoresW: vex?.ignoresW === true,
    usesVvvv,
    vectorIndex,
    opcode,
    opcodeRegister,
    mandatoryPrefix,
    rexW,
    modrm,
    rmFixed,
    modKind,
    immediates,
    only64,
    not64,
    default64,
    force64,
    operands,
    immediate1: immediateCode(immediates[0], takers[0]),
    immediate2: immediateCode(immediates[1], takers[1]),
    lockable: instruction.lockable === true && (operands[0]?.kind === 'rm' || operands[0]?.kind === 'memory'),
    regCheck,
    modes: instruction.modes,
    repeatable: instruction.repeatable,
    popsIntoMemory: instruction.popsIntoMemory === true,
    endsBlock: instruction.endsBlock === true,
    hasUnit: instruction.unit !== undefined,
  }
}

/** All forms of instructions, numbered from 0 in their order. @throws Error as {@link parseEncoding} */
export function parseForms(instructions: readonly Instruction[]): Form[] {
  const forms: Form[] = []
  for (const instruction of instructions) {
    for (const encoding of instruction.encodings) forms.push(parseEncoding(instruction, encoding, forms.length))
  }
  return forms
}

/**
 * Bits of an operand at an operand size; 0 for operands without a size of their own (M). Memory in an absolute or
 * ModRM place has the same width as the register that could stand there; sIb and sIz are as wide as the operand size they
 * are extended to; ST is 80, MMX 64, XMM registers 128, YMM registers 256.
 */
export function operandWidth(spec: OperandSpec, operandSize: number): number {
  if (spec.signed) return operandSize
  switch (spec.size) {
    case 'b':
      return 8
    case 'w':
      return 16
    case 'd':
      return 32
    case 'q':
      return 64
    case 't':
      return 80
    case 'dq':
      return 128
    case 'qq':
      return 256
    case 'v':
      return operandSize
    case 'y':
      return operandSize === 64 ? 64 : 32
    case 'z':
      return operandSize === 16 ? 16 : 32
    case 'none':
      return 0
  }
}
