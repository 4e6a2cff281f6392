/** Decodes instructions: bytes of any mode to a {@link Decoded}, by the tables that src/isa/opcode-map.ts makes. */
import { CS, DS, ES, FS, GS, NO_SEGMENT, SS } from '../cpu/state.ts'
import {
  type Form,
  IMMEDIATE_AP,
  IMMEDIATE_CB,
  IMMEDIATE_CZ,
  IMMEDIATE_IB,
  IMMEDIATE_ID,
  IMMEDIATE_IQ,
  IMMEDIATE_IV,
  IMMEDIATE_IW,
  IMMEDIATE_IZ,
  IMMEDIATE_MOFFS,
  IMMEDIATE_NONE,
  IMMEDIATE_SIB,
  IMMEDIATE_SIZ,
} from './encoding.ts'
import {
  groupForms,
  makeSlot,
  type OpcodeSlot,
  PREFIX_66,
  PREFIX_F2,
  PREFIX_F3,
  PREFIX_NONE,
  VEX_SLOTS,
} from './opcode-map.ts'
import type { Mode } from './semantics.ts'

/** What the meaning of bytes depends on besides themselves. */
export interface DecodeMode {
  readonly mode: Mode
  /** Default operand and address size: CS.D, and 64 in 64-bit mode (where the default operand size is 32). */
  readonly codeSize: 16 | 32 | 64
  /** Width of the stack pointer. */
  readonly stackSize: 16 | 32 | 64
}

/** Outcomes of {@link Decoder.decode}. */
export const DECODED = 0
/** The bytes end at `limit` before the instruction does: fetch the next page, or raise its fault. */
export const MORE_BYTES = 1
/** #UD. */
export const UNDEFINED = 2
/** Longer than 15 bytes: #GP(0). */
export const TOO_LONG = 3
export type DecodeOutcome = typeof DECODED | typeof MORE_BYTES | typeof UNDEFINED | typeof TOO_LONG

/** The longest instruction, in bytes. */
export const MAXIMUM_LENGTH = 15

/** `base` and `index` of a memory operand that has none: element 16 of the state's `gpr`, which is zero. */
export const NO_REGISTER = 16
/** `base` of a RIP-relative operand: element 17. */
export const RIP_BASE = 17

/** A decoded instruction. Made once and filled again by each call of {@link Decoder.decode}. */
export class Decoded {
  /** The encoding it is; only valid after DECODED. */
  form: Form = undefined as unknown as Form
  /** Bytes. */
  length = 0
  operandSize: 16 | 32 | 64 = 32
  addressSize: 16 | 32 | 64 = 32
  /** The REX prefix (40–4F), 0 without one. */
  rex = 0
  /** The last segment override, -1 without one. ES CS SS DS do not count in 64-bit mode. */
  segmentOverride = -1
  /**
   * Segment of the memory operand, or of memory that the instruction addresses itself: the override, else SS for bases
   * rSP and rBP, else DS. In 64-bit mode it tells #SS from #GP, but only FS and GS have a base: {@link baseSegment}.
   */
  segment: number = DS
  /** REP prefix, `none` on instructions that do not repeat and where F2 or F3 is part of the opcode. */
  repPrefix: 'none' | 'rep' | 'repne' = 'none'
  lock = false
  /** The ModRM byte, 0 without one. */
  modrm = 0
  /** ModRM.mod; 3 where the opcode ignores it. */
  mod = 3
  /** ModRM.reg with REX.R. */
  reg = 0
  /** ModRM.rm with REX.B: a register where mod is 3. */
  rm = 0
  /** The low three bits of the opcode with REX.B. */
  opcodeRegister = 0
  /** The register of VEX.vvvv. */
  vexRegister = 0
  /** The register that the upper half of the immediate byte names (/is4). */
  immediateRegister = 0
  /** The XMM or YMM register that holds the indices of a {@link Form.vectorIndex}; {@link index} is {@link NO_REGISTER}. */
  vectorIndex = 0
  /** ModRM names memory, or there is an absolute offset. */
  hasMemory = false
  /** 0–15, {@link NO_REGISTER} or {@link RIP_BASE}. */
  base = NO_REGISTER
  /** 0–15 or {@link NO_REGISTER}. */
  index = NO_REGISTER
  /** Shift of the index, 0–3. */
  scale = 0
  /** Low half of the displacement or absolute offset, signed; sums are cut to the address size. */
  displacement = 0
  /** High half: the sign, or that of a 64-bit absolute offset. */
  displacementHigh = 0
  /**
   * The immediate as a value of its operand's width, zero-extended to 64 bits (sI: sign-extended to the operand size
   * first); the displacement of a jump sign-extended to 64 bits; the offset of a far pointer. Signed halves.
   */
  immLow = 0
  immHigh = 0
  /** The second immediate: ENTER's level, the selector of a far pointer. */
  imm2 = 0
}

/**
 * Element of the state's `segmentBase` for an address in a segment: in 64-bit mode ES CS SS DS have base 0, whatever
 * their registers hold.
 */
export function baseSegment(segment: number, codeSize: number): number {
  return codeSize === 64 && segment < FS ? NO_SEGMENT : segment
}

/** Whether an 8-bit register operand of this number is AH CH DH BH (number - 4) rather than SPL BPL SIL DIL. */
export function isHighByte(decoded: Decoded, number: number): boolean {
  return decoded.rex === 0 && number >= 4 && number <= 7
}

// What a byte is before the opcode.
const OPCODE = 0
const SEGMENT_PREFIX = 1
const REX_PREFIX = 2
const OPERAND_SIZE = 3
const ADDRESS_SIZE = 4
const LOCK_PREFIX = 5
const REP_PREFIX = 6
const PREFIXES = new Uint8Array(256)
const SEGMENTS = new Uint8Array(256)
for (const [byte, segment] of [
  [0x26, ES],
  [0x2e, CS],
  [0x36, SS],
  [0x3e, DS],
  [0x64, FS],
  [0x65, GS],
]) {
  PREFIXES[byte] = SEGMENT_PREFIX
  SEGMENTS[byte] = segment
}
PREFIXES.fill(REX_PREFIX, 0x40, 0x50)
PREFIXES[0x66] = OPERAND_SIZE
PREFIXES[0x67] = ADDRESS_SIZE
PREFIXES[0xf0] = LOCK_PREFIX
PREFIXES[0xf2] = REP_PREFIX
PREFIXES[0xf3] = REP_PREFIX

/** Mandatory prefixes by VEX.pp. */
const VEX_PREFIXES = [PREFIX_NONE, PREFIX_66, PREFIX_F3, PREFIX_F2]

// Base and index of the 16-bit addressing forms (SDM vol. 2, table 2-1): BX+SI BX+DI BP+SI BP+DI SI DI BP BX.
const BASES_16 = new Uint8Array([3, 3, 5, 5, 6, 7, 5, 3])
const INDEXES_16 = new Uint8Array([6, 7, 6, 7, NO_REGISTER, NO_REGISTER, NO_REGISTER, NO_REGISTER])

/** Decodes by the forms it is made for. Holds nothing of the machine: one serves any number of them. */
export class Decoder {
  private readonly groups: readonly (Form[] | undefined)[]
  /** Made of the groups when they are first needed: a guest uses a third of them. */
  private readonly slots: (OpcodeSlot | undefined)[]

  constructor(forms: readonly Form[]) {
    this.groups = groupForms(forms)
    this.slots = new Array(this.groups.length).fill(undefined)
  }

  private slot(index: number): OpcodeSlot | undefined {
    const group = this.groups[index]
    return group && (this.slots[index] = makeSlot(group))
  }

  /** Makes everything that decoding needs. @throws Error when two forms cannot be told apart */
  prepare(): void {
    for (let index = 0; index < this.groups.length; index++) this.slot(index)
  }

  /**
   * Decodes the instruction at `bytes[offset]`.
   * @param limit index in `bytes` before which the instruction must end (the end of the page or of the buffer)
   * @param out filled; whole only when the outcome is {@link DECODED}
   */
  decode(bytes: Uint8Array, offset: number, limit: number, mode: DecodeMode, out: Decoded): DecodeOutcome {
    const codeSize = mode.codeSize
    const is64 = codeSize === 64 ? 1 : 0
    const longest = offset + MAXIMUM_LENGTH
    const end = Math.min(limit, longest)
    // What running into `end` means.
    const short = limit < longest ? MORE_BYTES : TOO_LONG
    let p = offset

    let rex = 0
    let operandPrefix = false
    let addressPrefix = false
    let lock = false
    let rep = PREFIX_NONE
    let segmentOverride = -1
    let opcode = 0
    for (;;) {
      if (p >= end) return short
      opcode = bytes[p++]
      const kind = PREFIXES[opcode]
      if (kind === OPCODE) break
      if (kind === REX_PREFIX) {
        if (!is64) break
        rex = opcode
        continue
      }
      // A REX prefix that is not the last prefix does not count.
      rex = 0
      if (kind === SEGMENT_PREFIX) {
        const segment = SEGMENTS[opcode]
        if (!is64 || segment >= FS) segmentOverride = segment
      } else if (kind === OPERAND_SIZE) operandPrefix = true
      else if (kind === ADDRESS_SIZE) addressPrefix = true
      else if (kind === LOCK_PREFIX) lock = true
      else rep = opcode === 0xf3 ? PREFIX_F3 : PREFIX_F2
    }

    let slotIndex = opcode
    let vexL = 0
    // VEX.vvvv as it is encoded, turned around: what must be 0 where it names nothing.
    let vvvv = 0
    let isVex = false
    if ((opcode === 0xc4 || opcode === 0xc5) && p >= end) return short
    if ((opcode === 0xc4 || opcode === 0xc5) && (is64 || bytes[p] >= 0xc0)) {
      // Outside of 64-bit mode a memory operand makes it LES or LDS.
      if (mode.mode === 'real' || mode.mode === 'virtual-8086') return UNDEFINED
      if (lock || rex !== 0 || rep !== PREFIX_NONE || operandPrefix) return UNDEFINED
      isVex = true
      let last = bytes[p++]
      rex = 0x40 | ((~last & 0x80) >> 5)
      let map = 1
      if (opcode === 0xc4) {
        rex |= (~last & 0x60) >> 5
        map = last & 0x1f
        if (map === 0 || map > 3) return UNDEFINED
        if (p >= end) return short
        last = bytes[p++]
        rex |= (last & 0x80) >> 4
      }
      if (!is64) rex &= 0x48
      vvvv = (~last >> 3) & 15
      vexL = (last >> 2) & 1
      rep = VEX_PREFIXES[last & 3]
      if (p >= end) return short
      opcode = bytes[p++]
      slotIndex = VEX_SLOTS | (map << 8) | opcode
    } else if (opcode === 0x0f) {
      if (p >= end) return short
      opcode = bytes[p++]
      slotIndex = 0x100 | opcode
      if (opcode === 0x38 || opcode === 0x3a) {
        slotIndex = opcode === 0x38 ? 0x200 : 0x300
        if (p >= end) return short
        opcode = bytes[p++]
        slotIndex |= opcode
      }
    }
    const slot = this.slots[slotIndex] ?? this.slot(slotIndex)
    if (slot === undefined) return UNDEFINED

    const rexW = (rex >> 3) & 1
    const rexB = (rex & 1) << 3
    const prefix = rep !== PREFIX_NONE ? rep : operandPrefix ? PREFIX_66 : PREFIX_NONE
    let cell = is64 * slot.modeStride + prefix * slot.prefixStride + rexW * slot.wStride + (rex & 1) * slot.bStride
    cell += vexL * slot.lStride
    let modrm = 0
    let mod = 3
    let rm = rexB
    let reg = 0
    if (slot.hasModrm) {
      if (p >= end) return short
      modrm = bytes[p++]
      mod = slot.ignoresMod ? 3 : modrm >> 6
      rm = modrm & 7
      reg = (modrm >> 3) & 7
      cell += reg * slot.regStride + rm * slot.rmStride
      if (mod === 3) cell += slot.modStride
      rm |= rexB
      reg |= (rex & 4) << 1
    }
    const form = slot.cells[cell]
    if (form === undefined) return UNDEFINED

    // Sizes. 66 does not change the operand size where it is part of the opcode.
    let operandSize: 16 | 32 | 64
    if (form.mandatoryPrefix === '66') operandPrefix = false
    if (is64) {
      if ((rexW && !form.ignoresW) || form.force64) operandSize = 64
      else if (operandPrefix) operandSize = 16
      else operandSize = form.default64 ? 64 : 32
    } else operandSize = isVex || operandPrefix === (codeSize === 16) ? 32 : 16
    let addressSize: 16 | 32 | 64
    if (is64) addressSize = addressPrefix ? 32 : 64
    else addressSize = addressPrefix === (codeSize === 16) ? 32 : 16

    let base = NO_REGISTER
    let index = NO_REGISTER
    let vectorIndex = 0
    let scale = 0
    let displacement = 0
    let segment: number = DS
    let hasMemory = false
    if (mod !== 3) {
      hasMemory = true
      let displacementBytes = mod === 2 ? 4 : mod
      if (addressSize === 16) {
        if (mod === 2) displacementBytes = 2
        if (mod === 0 && rm === 6) displacementBytes = 2
        else {
          base = BASES_16[rm]
          index = INDEXES_16[rm]
          if (base === 5) segment = SS
        }
      } else {
        if ((rm & 7) === 4) {
          if (p >= end) return short
          const sib = bytes[p++]
          scale = sib >> 6
          index = ((sib >> 3) & 7) | ((rex & 2) << 2)
          if (form.vectorIndex) {
            vectorIndex = index
            index = NO_REGISTER
          } else if (index === 4) {
            index = NO_REGISTER
            scale = 0
          }
          base = (sib & 7) | rexB
          if (mod === 0 && (sib & 7) === 5) {
            base = NO_REGISTER
            displacementBytes = 4
          }
        } else if (mod === 0 && (rm & 7) === 5) {
          base = is64 ? RIP_BASE : NO_REGISTER
          displacementBytes = 4
        } else base = rm
        if (base === 4 || base === 5) segment = SS
      }
      if (displacementBytes !== 0) {
        if (p + displacementBytes > end) return short
        if (displacementBytes === 1) displacement = (bytes[p] << 24) >> 24
        else if (displacementBytes === 2) displacement = ((bytes[p] << 16) | (bytes[p + 1] << 24)) >> 16
        else displacement = bytes[p] | (bytes[p + 1] << 8) | (bytes[p + 2] << 16) | (bytes[p + 3] << 24)
        p += displacementBytes
      }
    }
    let displacementHigh = displacement >> 31
    if (base === 4 && form.popsIntoMemory) {
      const moved = displacement + (operandSize >> 3)
      displacementHigh = moved > 0x7fffffff ? 0 : moved >> 31
      displacement = moved | 0
    }

    let immLow = 0
    let immHigh = 0
    let imm2 = 0
    let code = form.immediate1
    if (code !== IMMEDIATE_NONE) {
      // Wide kinds become the narrow ones of the operand size.
      if (code === IMMEDIATE_IZ) code = operandSize === 16 ? IMMEDIATE_IW : IMMEDIATE_ID
      else if (code === IMMEDIATE_IV) {
        code = operandSize === 16 ? IMMEDIATE_IW : operandSize === 32 ? IMMEDIATE_ID : IMMEDIATE_IQ
      } else if (code === IMMEDIATE_SIZ && operandSize !== 64) {
        code = operandSize === 16 ? IMMEDIATE_IW : IMMEDIATE_ID
      }
      switch (code) {
        case IMMEDIATE_IB:
          if (p >= end) return short
          immLow = bytes[p++]
          break
        case IMMEDIATE_SIB:
          if (p >= end) return short
          immLow = (bytes[p++] << 24) >> 24
          if (operandSize === 16) immLow &= 0xffff
          else if (operandSize === 64) immHigh = immLow >> 31
          break
        case IMMEDIATE_CB:
          if (p >= end) return short
          immLow = (bytes[p++] << 24) >> 24
          immHigh = immLow >> 31
          break
        case IMMEDIATE_IW:
          if (p + 2 > end) return short
          immLow = bytes[p] | (bytes[p + 1] << 8)
          p += 2
          break
        case IMMEDIATE_ID:
        case IMMEDIATE_SIZ:
          if (p + 4 > end) return short
          immLow = bytes[p] | (bytes[p + 1] << 8) | (bytes[p + 2] << 16) | (bytes[p + 3] << 24)
          p += 4
          if (code === IMMEDIATE_SIZ) immHigh = immLow >> 31
          break
        case IMMEDIATE_CZ:
          if (operandSize === 16) {
            if (p + 2 > end) return short
            immLow = ((bytes[p] << 16) | (bytes[p + 1] << 24)) >> 16
            p += 2
          } else {
            if (p + 4 > end) return short
            immLow = bytes[p] | (bytes[p + 1] << 8) | (bytes[p + 2] << 16) | (bytes[p + 3] << 24)
            p += 4
          }
          immHigh = immLow >> 31
          break
        case IMMEDIATE_IQ:
          if (p + 8 > end) return short
          immLow = bytes[p] | (bytes[p + 1] << 8) | (bytes[p + 2] << 16) | (bytes[p + 3] << 24)
          immHigh = bytes[p + 4] | (bytes[p + 5] << 8) | (bytes[p + 6] << 16) | (bytes[p + 7] << 24)
          p += 8
          break
        case IMMEDIATE_AP: {
          const size = operandSize === 16 ? 2 : 4
          if (p + size + 2 > end) return short
          immLow = bytes[p] | (bytes[p + 1] << 8)
          if (size === 4) immLow |= (bytes[p + 2] << 16) | (bytes[p + 3] << 24)
          p += size
          imm2 = bytes[p] | (bytes[p + 1] << 8)
          p += 2
          break
        }
        case IMMEDIATE_MOFFS: {
          const size = addressSize >> 3
          if (p + size > end) return short
          displacement = bytes[p] | (bytes[p + 1] << 8)
          if (size > 2) displacement |= (bytes[p + 2] << 16) | (bytes[p + 3] << 24)
          displacementHigh =
            size > 4 ? bytes[p + 4] | (bytes[p + 5] << 8) | (bytes[p + 6] << 16) | (bytes[p + 7] << 24) : 0
          p += size
          hasMemory = true
          break
        }
      }
      if (form.immediate2 === IMMEDIATE_IB) {
        if (p >= end) return short
        imm2 = bytes[p++]
      } else if (form.immediate2 === IMMEDIATE_IW) {
        if (p + 2 > end) return short
        imm2 = bytes[p] | (bytes[p + 1] << 8)
        p += 2
      }
    }

    if (isVex) {
      if (!form.usesVvvv && vvvv !== 0) return UNDEFINED
      if (!is64) vvvv &= 7
      if (form.vectorIndex) {
        // A SIB byte, and three different registers.
        if ((modrm & 7) !== 4 || addressSize === 16) return UNDEFINED
        if (reg === vectorIndex || reg === vvvv || vvvv === vectorIndex) return UNDEFINED
      }
    }
    if (lock && !(form.lockable && hasMemory)) return UNDEFINED
    if (form.modes !== undefined && !form.modes.includes(mode.mode)) return UNDEFINED
    switch (form.regCheck) {
      case 1:
      case 2:
        // Segment registers: REX.R is ignored, 6 and 7 do not exist, CS cannot be loaded.
        reg &= 7
        if (reg > GS || (form.regCheck === 2 && reg === CS)) return UNDEFINED
        break
      case 3:
        if (reg !== 0 && reg !== 2 && reg !== 3 && reg !== 4 && reg !== 8) return UNDEFINED
        break
      case 4:
        if (reg > 7) return UNDEFINED
        break
    }

    out.form = form
    out.length = p - offset
    out.operandSize = operandSize
    out.addressSize = addressSize
    out.rex = isVex ? 0 : rex
    out.segmentOverride = segmentOverride
    out.segment = segmentOverride < 0 ? segment : segmentOverride
    out.repPrefix =
      rep === PREFIX_NONE || form.repeatable === undefined
        ? 'none'
        : rep === PREFIX_F3 || form.repeatable === 'rep'
          ? 'rep'
          : 'repne'
    out.lock = lock
    out.modrm = modrm
    out.mod = mod
    out.reg = reg
    out.rm = rm
    out.opcodeRegister = (opcode & 7) | rexB
    out.vexRegister = vvvv
    out.immediateRegister = is64 ? immLow >> 4 : (immLow >> 4) & 7
    out.vectorIndex = vectorIndex
    out.hasMemory = hasMemory
    out.base = base
    out.index = index
    out.scale = scale
    out.displacement = displacement
    out.displacementHigh = displacementHigh
    out.immLow = immLow
    out.immHigh = immHigh
    out.imm2 = imm2
    return DECODED
  }
}
