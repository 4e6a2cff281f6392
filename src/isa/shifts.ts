/** Shifts and rotations (SDM vol. 2, RCL/RCR/ROL/ROR, SAL/SAR/SHL/SHR, SHLD, SHRD). */
import { type Instruction, instruction } from './definition.ts'
import type { Int, Operand, Semantics } from './semantics.ts'

/** The encodings of the shift group: by an immediate, by one, by CL. */
const groupEncodings = (...extensions: number[]): string[] =>
  extensions.flatMap(extension => [
    `C0 /${extension} ib  Eb,Ib`,
    `C1 /${extension} ib  Ev,Ib`,
    `D0 /${extension}  Eb,1`,
    `D1 /${extension}  Ev,1`,
    `D2 /${extension}  Eb,CL`,
    `D3 /${extension}  Ev,CL`,
  ])

/** The count of a shift: 5 bits, 6 for 64-bit operands, as an Int of 32 bits. */
const countOf = (operand: Operand, width: number): Int =>
  operand
    .read()
    .resize(32)
    .and(width === 64 ? 63 : 31)

/** Does something unless the count is 0: then the flags keep their values. */
function unlessZero(m: Semantics, count: Int, change: () => void): void {
  if (count.constant === undefined) m.if(count.isNonZero(), change)
  else if (count.constant !== 0n) change()
}

/** The two top bits of a result differ: OF of a shift or rotation to the right. */
const topBitsDiffer = (result: Int): Int => result.xor(result.shl(1)).isNegative()

/**
 * Flags of a shift. AF is undefined: AMD's processors set it. OF is defined for a count of 1 only; for others it follows
 * the same rule, as on hardware.
 */
function setShiftFlags(m: Semantics, result: Int, carry: Int, overflow: Int): void {
  m.flags.set({ result, carry, overflow, adjust: m.bool(true) })
}

/** The bit that left last at the top of a value shifted left by a count other than 0. */
const lastOutAtTop = (value: Int, count: Int): Int =>
  value.width < 32 ? value.zeroExtend(32).shl(count).bit(value.width) : value.rotl(count).bit(0)

/** The bit that left last at the bottom of a value shifted right by a count other than 0, zeros coming in. */
const lastOutAtBottom = (value: Int, count: Int): Int =>
  value.width < 32 ? value.zeroExtend(32).shl(1).shr(count).bit(0) : value.rotr(count).isNegative()

/** SAL is the same, and /6 another encoding of it (APM vol. 3, table A-6). */
export const SHL = instruction('SHL', {
  encodings: groupEncodings(4, 6),
  execute(m, destination, source) {
    const a = destination.read()
    const count = countOf(source, a.width)
    // Counts are taken modulo 32 by shl; beyond 8 or 16 bits nothing is left.
    const result = a.shl(count)
    destination.write(result)
    unlessZero(m, count, () => {
      const carry = lastOutAtTop(a, count)
      setShiftFlags(m, result, carry, result.isNegative().xor(carry))
    })
  },
})

export const SHR = instruction('SHR', {
  encodings: groupEncodings(5),
  execute(m, destination, source) {
    const a = destination.read()
    const count = countOf(source, a.width)
    const result = a.shr(count)
    destination.write(result)
    unlessZero(m, count, () => setShiftFlags(m, result, lastOutAtBottom(a, count), topBitsDiffer(result)))
  },
})

export const SAR = instruction('SAR', {
  encodings: groupEncodings(7),
  execute(m, destination, source) {
    const a = destination.read()
    const count = countOf(source, a.width)
    const result = a.sar(count)
    destination.write(result)
    unlessZero(m, count, () => {
      // With fewer than 32 bits the sign comes in many times before the bit asked for leaves.
      const carry = a.width < 32 ? a.signExtend(32).sar(count.sub(1)).bit(0) : a.rotr(count).isNegative()
      setShiftFlags(m, result, carry, m.bool(false))
    })
  },
})

export const ROL = instruction('ROL', {
  encodings: groupEncodings(0),
  execute(m, destination, source) {
    const a = destination.read()
    const count = countOf(source, a.width)
    const result = a.rotl(count)
    destination.write(result)
    unlessZero(m, count, () => {
      const carry = result.bit(0)
      m.flags.set({ carry, overflow: result.isNegative().xor(carry) })
    })
  },
})

export const ROR = instruction('ROR', {
  encodings: groupEncodings(1),
  execute(m, destination, source) {
    const a = destination.read()
    const count = countOf(source, a.width)
    const result = a.rotr(count)
    destination.write(result)
    unlessZero(m, count, () => m.flags.set({ carry: result.isNegative(), overflow: topBitsDiffer(result) }))
  },
})

/** A rotation through CF by `count` (32 bits, masked): the new value and the new CF. */
type ThroughCarry = (a: Int, carry: Int, count: Int) => { result: Int; carry: Int }

/** Rotations of 9, 17 or 33 bits fit the next wider type: the value with CF on top of it. */
const throughCarryNarrow =
  (left: boolean): ThroughCarry =>
  (a, carry, count) => {
    const bits = a.width + 1
    const wide = a.width === 32 ? 64 : 32
    const value = a.zeroExtend(wide).or(carry.zeroExtend(wide).shl(a.width))
    const turn = a.width === 32 ? count : count.remU(bits)
    const back = turn.neg().add(bits)
    const turned = left ? value.shl(turn).or(value.shr(back)) : value.shr(turn).or(value.shl(back))
    return { result: turned.truncate(a.width), carry: turned.bit(a.width) }
  }

const throughCarryWide =
  (left: boolean): ThroughCarry =>
  (a, carry, count) => {
    const c = carry.zeroExtend(64)
    const less = count.sub(1)
    const back = count.neg()
    const turned = left
      ? a.shl(count).or(c.shl(less)).or(a.shr(1).shr(back))
      : a.shr(count).or(c.shl(back)).or(a.shl(1).shl(back))
    const none = count.isZero()
    return {
      result: none.select(a, turned),
      carry: none.select(carry, left ? a.rotl(count).bit(0) : a.rotr(count).isNegative()),
    }
  }

const throughCarry = (mnemonic: string, extension: number, left: boolean): Instruction =>
  instruction(mnemonic, {
    encodings: groupEncodings(extension),
    execute(m, destination, source) {
      const a = destination.read()
      const count = countOf(source, a.width)
      const rotate = a.width === 64 ? throughCarryWide(left) : throughCarryNarrow(left)
      const { result, carry } = rotate(a, m.flags.carry, count)
      destination.write(result)
      unlessZero(m, count, () => {
        m.flags.set({ carry, overflow: left ? result.isNegative().xor(carry) : topBitsDiffer(result) })
      })
    },
  })

export const RCL = throughCarry('RCL', 2, true)
export const RCR = throughCarry('RCR', 3, false)

/**
 * Shifts left, bits of the source coming in. 16-bit operands with a count above 16 are undefined: AMD's processors go on
 * with the source's bits again, and clear CF and OF.
 */
export const SHLD = instruction('SHLD', {
  encodings: ['0F A4 /r ib  Ev,Gv,Ib', '0F A5 /r  Ev,Gv,CL'],
  execute(m, destination, source, by) {
    const a = destination.read()
    const b = source.read()
    const count = countOf(by, a.width)
    let result: Int
    if (a.width === 16) {
      const both = b.zeroExtend(32).or(b.zeroExtend(32).shl(16)).zeroExtend(64)
      result = a.zeroExtend(64).shl(32).or(both).shl(count).shr(32).truncate(16)
    } else result = a.shl(count).or(b.shr(1).shr(count.xor(a.width - 1)))
    destination.write(result)
    unlessZero(m, count, () => {
      const carry = lastOutAtTop(a, count)
      const overflow = result.isNegative().xor(carry)
      setShiftFlags(m, result, carry, a.width === 16 ? overflow.and(count.leU(16)) : overflow)
    })
  },
})

/** Shifts right, bits of the source coming in; see {@link SHLD}. */
export const SHRD = instruction('SHRD', {
  encodings: ['0F AC /r ib  Ev,Gv,Ib', '0F AD /r  Ev,Gv,CL'],
  execute(m, destination, source, by) {
    const a = destination.read()
    const b = source.read()
    const count = countOf(by, a.width)
    let result: Int
    if (a.width === 16) {
      const all = a.zeroExtend(32).or(b.zeroExtend(32).shl(16)).zeroExtend(64).or(b.zeroExtend(64).shl(32))
      result = all.shr(count).truncate(16)
    } else result = a.shr(count).or(b.shl(1).shl(count.xor(a.width - 1)))
    destination.write(result)
    unlessZero(m, count, () => setShiftFlags(m, result, lastOutAtBottom(a, count), topBitsDiffer(result)))
  },
})

export const instructions: readonly Instruction[] = [SHL, SHR, SAR, ROL, ROR, RCL, RCR, SHLD, SHRD]
