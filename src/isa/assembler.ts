/**
 * Makes instructions from forms, for tests: {@link encode} from chosen parts, {@link randomInstance} from a source of
 * random numbers. What they make decodes to the form that they were given (`assembler.test.ts` holds them to it).
 *
 *     const random = randomSource(seed)
 *     const bytes = randomInstance(form, { mode: { mode: 'long', codeSize: 64, stackSize: 64 } }, random)
 *
 * A conformance test that runs an instance natively restricts it: `memory: 'base'` gives only `[base]` and `[base+disp8]`
 * of the register named, `registers` the registers that may appear at all.
 */
import type { DecodeMode } from './decoder.ts'
import { type Form, type ImmediateKind, operandWidth } from './encoding.ts'

/** A memory operand to encode. Registers by number; left out: none. */
export interface MemoryPart {
  /** 0–15, or `rip`. With 16-bit addresses the pairs of the manual's table 2-1 only: BX or BP, SI or DI. */
  base?: number | 'rip'
  index?: number
  /** 1, 2, 4 or 8. */
  scale?: 1 | 2 | 4 | 8
  displacement?: number
  /** Bytes of displacement; the fewest that hold it if left out. */
  displacementBytes?: 0 | 1 | 2 | 4
}

/** The parts of an instruction that its form leaves open. */
export interface EncodeParts {
  /** 32 in 32- and 64-bit code, 16 in 16-bit code by default. Ignored where the form fixes it. */
  operandSize?: 16 | 32 | 64
  /** The code size by default. */
  addressSize?: 16 | 32 | 64
  /** The register in ModRM.reg (any kind of register). */
  reg?: number
  /** The register in ModRM.rm; leave it out for a memory operand. */
  rm?: number
  /** The register in the opcode. */
  opcodeRegister?: number
  /** The register in VEX.vvvv. */
  vexRegister?: number
  /** The register in the upper half of the immediate byte (/is4). */
  immediateRegister?: number
  /** VEX.L and VEX.W where the form ignores them: 0 by default. */
  vexL?: 0 | 1
  vexW?: 0 | 1
  /** The VEX prefix of three bytes even where two would do. */
  longVex?: boolean
  memory?: MemoryPart
  /** Immediates in the order of the code; 8-byte ones as bigint or number. `ap`: the offset, then {@link selector}. */
  immediates?: readonly (number | bigint)[]
  selector?: number
  /** A segment override prefix by segment number. */
  segment?: number
  lock?: boolean
  rep?: 'rep' | 'repne'
  /** An 8-bit register 4–7 means SPL BPL SIL DIL: forces a REX prefix in 64-bit code. Without it, AH CH DH BH. */
  rex?: boolean
}

/** Where an instruction is to run. */
export interface EncodeContext {
  mode: DecodeMode
  /** Registers (0–15) that random instances may name as operands and addresses; all by default. */
  registers?: readonly number[]
  /**
   * Kinds of memory operand: `any`; `base`: only the register {@link base} with displacements of up to 8 bits, so that a
   * test can point it at its buffer; `none`: registers only, where the form allows.
   */
  memory?: 'any' | 'base' | 'none'
  base?: number
  /** Whether a memory operand is wanted where the form allows both: half of the time by default. */
  preferMemory?: boolean
  /** Prefixes that change nothing or little: redundant segment overrides, LOCK and REP where they are allowed. */
  prefixes?: boolean
}

/** A source of random numbers: an integer from 0 to below `bound`. */
export type Random = (bound: number) => number

/** A repeatable source of random numbers (xorshift over 32 bits). */
export function randomSource(seed: number): Random {
  let state = (seed | 0) ^ 0x5bd1e995 || 1
  return bound => {
    state ^= state << 13
    state ^= state >>> 17
    state ^= state << 5
    return Math.floor(((Math.imul(state, 0x9e3779b1) >>> 0) / 0x1_0000_0000) * bound)
  }
}

const SEGMENT_PREFIXES = [0x26, 0x2e, 0x36, 0x3e, 0x64, 0x65]

function pushLittleEndian(to: number[], value: number | bigint, bytes: number): void {
  let rest = BigInt.asUintN(bytes * 8, BigInt(value))
  for (let i = 0; i < bytes; i++) {
    to.push(Number(rest & 0xffn))
    rest >>= 8n
  }
}

/** Bytes of an immediate at an operand and address size (a far pointer: of its offset). */
export function immediateBytes(kind: ImmediateKind, operandSize: number, addressSize: number): number {
  switch (kind) {
    case 'ib':
    case 'is4':
    case 'cb':
      return 1
    case 'iw':
      return 2
    case 'id':
      return 4
    case 'iq':
      return 8
    case 'iz':
    case 'cz':
    case 'ap':
      return operandSize === 16 ? 2 : 4
    case 'iv':
      return operandSize / 8
    case 'moffs':
      return addressSize / 8
  }
}

/** ModRM.mod and rm, SIB and displacement of a memory operand, with the REX bits X and B that it needs. */
function encodeMemory(
  part: MemoryPart,
  addressSize: number,
  is64: boolean,
  vectorIndex: boolean,
): { mod: number; rm: number; rex: number; tail: number[] } {
  const { base, index, displacement = 0 } = part
  const tail: number[] = []
  const bytesOf = (longest: 2 | 4, mustHave: boolean): number =>
    part.displacementBytes ??
    (displacement === 0 && !mustHave ? 0 : displacement >= -128 && displacement <= 127 ? 1 : longest)
  if (addressSize === 16) {
    if (base === undefined && index === undefined) {
      pushLittleEndian(tail, displacement, 2)
      return { mod: 0, rm: 6, rex: 0, tail }
    }
    const pairs = ['3+6', '3+7', '5+6', '5+7', '6+', '7+', '5+', '3+']
    const rm = pairs.indexOf(`${base ?? ''}+${index ?? ''}`)
    if (rm < 0) throw new Error('no such 16-bit address')
    const bytes = bytesOf(2, rm === 6)
    pushLittleEndian(tail, displacement, bytes)
    return { mod: bytes === 0 ? 0 : bytes === 1 ? 1 : 2, rm, rex: 0, tail }
  }
  if (base === 'rip') {
    pushLittleEndian(tail, displacement, 4)
    return { mod: 0, rm: 5, rex: 0, tail }
  }
  if (base === undefined) {
    // Without a base: a SIB byte, but in 32-bit code an absolute address alone needs none.
    if (index === undefined && !is64) {
      pushLittleEndian(tail, displacement, 4)
      return { mod: 0, rm: 5, rex: 0, tail }
    }
    tail.push((Math.log2(part.scale ?? 1) << 6) | (((index ?? 4) & 7) << 3) | 5)
    pushLittleEndian(tail, displacement, 4)
    return { mod: 0, rm: 4, rex: index !== undefined && index >= 8 ? 2 : 0, tail }
  }
  if (index === 4 && !vectorIndex) throw new Error('rSP cannot be an index')
  const bytes = bytesOf(4, (base & 7) === 5)
  const mod = bytes === 0 ? 0 : bytes === 1 ? 1 : 2
  const rex = (base >> 3) | (index !== undefined && index >= 8 ? 2 : 0)
  const sib = index !== undefined || (base & 7) === 4
  if (sib) tail.push((Math.log2(part.scale ?? 1) << 6) | (((index ?? 4) & 7) << 3) | (base & 7))
  pushLittleEndian(tail, displacement, bytes)
  return { mod, rm: sib ? 4 : base & 7, rex, tail }
}

/**
 * The bytes of a form with given parts. Parts that the form has no place for are ignored, those left out are 0.
 * @throws Error when the parts cannot be had in the mode: R8 in 32-bit code, a form that does not exist there
 */
export function encode(form: Form, mode: DecodeMode, parts: EncodeParts): Uint8Array {
  const is64 = mode.codeSize === 64
  if (is64 ? form.not64 : form.only64) throw new Error(`'${form.encoding}' does not exist in ${mode.mode} mode`)
  const addressSize = parts.addressSize ?? mode.codeSize
  const operandSize = operandSizeOf(form, mode, parts.operandSize)
  const bytes: number[] = []
  let rex = 0
  let needRex = parts.rex === true

  if (parts.lock) bytes.push(0xf0)
  if (parts.rep) bytes.push(parts.rep === 'rep' ? 0xf3 : 0xf2)
  if (parts.segment !== undefined) bytes.push(SEGMENT_PREFIXES[parts.segment])
  if (addressSize !== mode.codeSize) bytes.push(0x67)
  const vex = form.vexLength !== undefined
  // The operand size: by REX.W, by 66 or as it is.
  const prefix66 = is64 ? operandSize === 16 : operandSize !== mode.codeSize
  if (form.rexW !== undefined) rex |= form.rexW << 3
  else if (form.ignoresW) rex |= (parts.vexW ?? 0) << 3
  else if (is64 && operandSize === 64 && !form.default64 && !form.force64) rex |= 8
  if (vex) {
    // The prefix is part of VEX.
  } else if (form.mandatoryPrefix === '66' || (prefix66 && form.mandatoryPrefix !== 'NP')) bytes.push(0x66)
  if (!vex && form.mandatoryPrefix === 'F3') bytes.push(0xf3)
  if (!vex && form.mandatoryPrefix === 'F2') bytes.push(0xf2)

  let modrm = 0
  let tail: number[] = []
  if (form.modrm !== undefined) {
    const reg = form.modrm === 'r' ? (parts.reg ?? 0) : form.modrm
    if (reg >= 8) rex |= 4
    if (parts.memory) {
      if (form.modKind === 'reg' || form.modKind === 'ignored')
        throw new Error(`'${form.encoding}' takes no memory operand`)
      const memory = encodeMemory(parts.memory, addressSize, is64, form.vectorIndex)
      rex |= memory.rex
      modrm = (memory.mod << 6) | ((reg & 7) << 3) | memory.rm
      tail = memory.tail
    } else {
      if (form.modKind === 'mem') throw new Error(`'${form.encoding}' needs a memory operand`)
      const rm = form.rmFixed ?? parts.rm ?? 0
      if (rm >= 8) rex |= 1
      modrm = 0xc0 | ((reg & 7) << 3) | (rm & 7)
    }
  }
  let opcode = form.opcode
  if (form.opcodeRegister) {
    const register = parts.opcodeRegister ?? 0
    opcode |= register & 7
    if (register >= 8) rex |= 1
  }
  if (vex) {
    if (!is64 && rex & 7) throw new Error('a register beyond 7 outside 64-bit mode')
    const vvvv = form.usesVvvv ? (parts.vexRegister ?? 0) : 0
    const length = form.vexLength === 'any' ? (parts.vexL ?? 0) : form.vexLength!
    const last = ((~vvvv & 15) << 3) | (length << 2) | ['NP', '66', 'F3', 'F2'].indexOf(form.mandatoryPrefix!)
    if (form.map === 1 && !(rex & 11) && !parts.longVex) bytes.push(0xc5, ((~rex & 4) << 5) | last)
    else bytes.push(0xc4, ((~rex & 7) << 5) | form.map, ((rex & 8) << 4) | last)
  } else {
    if (rex) needRex = true
    if (needRex) {
      if (!is64) throw new Error('a REX prefix outside 64-bit mode')
      bytes.push(0x40 | rex)
    }
    if (form.map > 0) bytes.push(0x0f)
    if (form.map > 1) bytes.push(form.map === 2 ? 0x38 : 0x3a)
  }
  bytes.push(opcode)
  if (form.modrm !== undefined) bytes.push(modrm)
  bytes.push(...tail)
  form.immediates.forEach((kind, i) => {
    const value = kind === 'is4' ? (parts.immediateRegister ?? 0) << 4 : (parts.immediates?.[i] ?? 0)
    pushLittleEndian(bytes, value, immediateBytes(kind, operandSize, addressSize))
    if (kind === 'ap') pushLittleEndian(bytes, parts.selector ?? 0, 2)
  })
  return Uint8Array.from(bytes)
}

/** The operand size that a form has in a mode when one is wished for: forms with d64, f64, W1 or a prefix have their own. */
export function operandSizeOf(form: Form, mode: DecodeMode, wish?: 16 | 32 | 64): 16 | 32 | 64 {
  if (mode.codeSize !== 64) {
    if (form.vexLength !== undefined) return 32
    const fixed = form.mandatoryPrefix === 'NP' || form.mandatoryPrefix === '66'
    if (fixed || wish === undefined || wish === 64) return mode.codeSize
    return wish
  }
  if (form.force64 || form.rexW === 1) return 64
  if (form.vexLength !== undefined) return form.rexW === 0 || form.ignoresW || wish !== 64 ? 32 : 64
  const small = form.mandatoryPrefix === 'NP' || form.mandatoryPrefix === '66' ? false : wish === 16
  if (small) return 16
  if (form.default64) return 64
  return form.rexW === 0 || wish !== 64 ? 32 : 64
}

/** Whether some operand or immediate of a form changes with the operand size. */
export function dependsOnOperandSize(form: Form): boolean {
  return (
    form.operands.some(spec => spec.size === 'v' || spec.size === 'z' || spec.size === 'y' || spec.signed) ||
    form.immediates.some(kind => kind === 'iz' || kind === 'iv' || kind === 'ap')
  )
}

const BOUNDARIES = [
  0n,
  1n,
  2n,
  0x7fn,
  0x80n,
  0xffn,
  0x7fffn,
  0x8000n,
  0xffffn,
  0x7fff_ffffn,
  0x8000_0000n,
  0xffff_ffffn,
]

/** A random or boundary value of some bytes. */
function randomImmediate(bytes: number, random: Random): bigint {
  const bits = bytes * 8
  if (random(3) === 0) {
    const boundary = BOUNDARIES[random(BOUNDARIES.length)]
    return BigInt.asUintN(bits, random(2) ? boundary : -boundary)
  }
  return BigInt.asUintN(bits, (BigInt(random(0x1_0000_0000)) << 32n) | BigInt(random(0x1_0000_0000)))
}

/**
 * A random instance of a form: every part that the form leaves open is drawn, from the whole range of addressing forms, REX
 * bits, operand and address sizes, displacement and immediate widths, within what the context allows.
 */
export function randomInstance(form: Form, context: EncodeContext, random: Random): Uint8Array {
  const { mode } = context
  const is64 = mode.codeSize === 64
  const allowed = (context.registers ?? [0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15]).filter(
    r => is64 || r < 8,
  )
  const pick = <T>(from: readonly T[]): T => from[random(from.length)]
  const general = (): number => pick(allowed)
  const anyOf = (count: number): number => random(is64 && count === 16 ? 16 : Math.min(count, 8))

  const sizes: (16 | 32 | 64)[] = is64 ? [16, 32, 64] : [16, 32]
  const operandSize = operandSizeOf(form, mode, pick(sizes))
  const restricted = context.memory === 'base'
  const addressSize: 16 | 32 | 64 =
    form.vectorIndex && !is64
      ? 32
      : restricted || random(4) !== 0
        ? mode.codeSize
        : is64
          ? 32
          : mode.codeSize === 32
            ? 16
            : 32

  const parts: EncodeParts = { operandSize, addressSize }
  // Byte registers 4–7 are AH … BH without and SPL … DIL with a REX prefix: with a list of registers only the latter.
  const hasByteRegister = form.operands.some(o => operandWidth(o, operandSize) === 8)
  if (is64 && (random(4) === 0 || (hasByteRegister && context.registers))) parts.rex = true
  for (const spec of form.operands) {
    switch (spec.kind) {
      case 'reg':
        parts.reg = general()
        break
      case 'segment':
        parts.reg = form.regCheck === 2 ? pick([0, 2, 3, 4, 5]) : random(6)
        break
      case 'control':
        parts.reg = pick(is64 ? [0, 2, 3, 4, 8] : [0, 2, 3, 4])
        break
      case 'debug':
      case 'mmx':
        parts.reg = random(8)
        break
      case 'xmm':
        parts.reg = anyOf(16)
        break
      case 'opcodeRegister':
        parts.opcodeRegister = general()
        break
      case 'vexRegister':
        parts.vexRegister = general()
        break
      case 'vexXmm':
        parts.vexRegister = anyOf(16)
        break
      case 'immediateXmm':
        parts.immediateRegister = anyOf(16)
        break
      case 'rm':
      case 'rmRegister':
        parts.rm = general()
        break
      case 'xmmRm':
      case 'xmmRegister':
        parts.rm = anyOf(16)
        break
      case 'mmxRm':
      case 'mmxRegister':
      case 'sti':
        parts.rm = random(8)
        break
    }
  }
  // The plain form lies among those that name a register: NOP is 90 without REX.B, which only parts.rm could set.
  if (form.opcodeRegister && form.opcode === 0x90 && form.map === 0 && parts.opcodeRegister === 0) {
    const others = allowed.filter(r => r !== 0)
    if (others.length) parts.opcodeRegister = pick(others)
  }

  if (form.vexLength !== undefined) {
    parts.rex = false
    parts.longVex = random(2) === 0
    parts.vexL = random(2) ? 1 : 0
    parts.vexW = random(2) ? 1 : 0
  }
  const takesMemory = form.modrm !== undefined && (form.modKind === 'any' || form.modKind === 'mem')
  const wantsMemory = form.modKind === 'mem' || (context.memory !== 'none' && (context.preferMemory ?? random(2) === 0))
  if (takesMemory && wantsMemory) {
    delete parts.rm
    parts.memory = restricted
      ? { base: context.base ?? 3, displacement: random(2) ? 0 : random(256) - 128 }
      : randomMemory(addressSize, is64, allowed, random)
    if (form.vectorIndex) {
      // Three different registers.
      const first = anyOf(16)
      const others = [first ^ 1, first ^ 2, first ^ 5]
      parts.reg = first
      parts.vexRegister = others.splice(random(3), 1)[0]
      const base = parts.memory.base === 'rip' ? undefined : parts.memory.base
      parts.memory = { ...parts.memory, base, index: pick(others), scale: pick([1, 2, 4, 8] as const) }
    }
  }
  parts.immediates = form.immediates.map(kind =>
    randomImmediate(immediateBytes(kind, operandSize, addressSize), random),
  )
  parts.selector = random(0x10000)
  if (context.prefixes) {
    if (form.lockable && parts.memory && random(4) === 0) parts.lock = true
    if (form.instruction.repeatable && random(2) === 0) parts.rep = random(2) ? 'rep' : 'repne'
    if (random(4) === 0) parts.segment = random(is64 ? 4 : 6)
  }
  return encode(form, mode, parts)
}

/** Any memory operand of an address size. */
function randomMemory(addressSize: number, is64: boolean, registers: readonly number[], random: Random): MemoryPart {
  const displacement = random(3) === 0 ? 0 : random(2) ? random(256) - 128 : random(0x1_0000_0000) - 0x8000_0000
  if (addressSize === 16) {
    const pairs: MemoryPart[] = [
      { base: 3, index: 6 },
      { base: 3, index: 7 },
      { base: 5, index: 6 },
      { base: 5, index: 7 },
      { base: 6 },
      { base: 7 },
      { base: 5 },
      { base: 3 },
      {},
    ]
    return { ...pairs[random(9)], displacement: (displacement << 16) >> 16 }
  }
  const scale = ([1, 2, 4, 8] as const)[random(4)]
  const register = (): number => registers[random(registers.length)]
  const indexes = registers.filter(r => r !== 4)
  const index = indexes.length && random(2) ? indexes[random(indexes.length)] : undefined
  switch (random(8)) {
    case 0:
      return is64 ? { base: 'rip', displacement } : { displacement }
    case 1:
      return { index, scale: index === undefined ? 1 : scale, displacement }
    default:
      return { base: register(), index, scale: index === undefined ? 1 : scale, displacement }
  }
}
