/** BMI1, BMI2 and LZCNT: bit manipulation in general registers (SDM vol. 2, ANDN to TZCNT; vol. 1, 5.1.16). */
import { RDX } from '../cpu/state.ts'
import { type Instruction, instruction } from './definition.ts'
import { product } from './multiply.ts'
import { type Int, type Operand, type Routine, routine, type Semantics } from './semantics.ts'

/** ZF and SF by the result, CF as given, OF clear. AF and PF are undefined: AF is cleared, PF is the result's. */
const setFlags = (m: Semantics, result: Int, carry: Int): void =>
  m.flags.set({ result, carry, overflow: m.bool(false), adjust: m.bool(false) })

export const ANDN = instruction<[Operand, Operand, Operand]>('ANDN', {
  encodings: ['VEX.LZ.0F38 F2 /r  Gy,By,Ey'],
  feature: 'bmi1',
  execute(m, destination, inverted, source) {
    const b = source.read()
    const result = inverted.read().not().and(b)
    destination.write(result)
    m.flags.setLogic(result)
  },
})

/** All ones in the low `count` bits (0 to 255) of a width; where there are more than the width, in all. */
function lowMask(m: Semantics, width: 32 | 64, count: Int): Int {
  const ones = m.const(-1, width)
  return count.gtU(width - 1).select(ones, ones.shl(count.resize(width)).not())
}

/** As in BZHI and the shifts, the register of VEX.vvvv comes last. */
export const BEXTR = instruction<[Operand, Operand, Operand]>('BEXTR', {
  encodings: ['VEX.LZ.0F38 F7 /r  Gy,Ey,By'],
  feature: 'bmi1',
  execute(m, destination, source, control) {
    const width = destination.width as 32 | 64
    const value = source.read()
    const fields = control.read().truncate(32)
    const start = fields.and(0xff)
    const shifted = start.gtU(width - 1).select(m.const(0, width), value.shr(start))
    const result = shifted.and(lowMask(m, width, fields.shr(8).and(0xff)))
    destination.write(result)
    const no = m.bool(false)
    // Of the undefined flags AMD's processors set AF and clear SF.
    m.flags.set({ result, sign: no, carry: no, overflow: no, adjust: m.bool(true) })
  },
})

/** The three operations on the lowest one bit: what they make, and whether CF says that there was one or that there was none. */
const lowest = (mnemonic: string, extension: number, result: (value: Int) => Int, carry: (value: Int) => Int) =>
  instruction<[Operand, Operand]>(mnemonic, {
    encodings: [`VEX.LZ.0F38 F3 /${extension}  By,Ey`],
    feature: 'bmi1',
    execute(m, destination, source) {
      const value = source.read()
      const made = result(value)
      const none = carry(value)
      destination.write(made)
      setFlags(m, made, none)
    },
  })

export const BLSR = lowest(
  'BLSR',
  1,
  value => value.sub(1).and(value),
  value => value.isZero(),
)
export const BLSMSK = lowest(
  'BLSMSK',
  2,
  value => value.sub(1).xor(value),
  value => value.isZero(),
)
export const BLSI = lowest(
  'BLSI',
  3,
  value => value.neg().and(value),
  value => value.isNonZero(),
)

/**
 * Counts zeros; CF: there was no one bit; ZF: no zero was counted. The other flags are undefined: as on AMD's processors
 * OF stays and the rest is cleared.
 */
const countZeros = (mnemonic: string, opcode: string, feature: string, count: (value: Int) => Int) =>
  instruction(mnemonic, {
    encodings: [`F3 0F ${opcode} /r  Gv,Ev`],
    feature,
    execute(m, destination, source) {
      const value = source.read()
      const zeros = count(value)
      destination.write(zeros)
      const no = m.bool(false)
      m.flags.set({ carry: value.isZero(), zero: zeros.isZero(), sign: no, parity: no, adjust: no })
    },
  })

export const TZCNT = countZeros('TZCNT', 'BC', 'bmi1', value => value.ctz())
export const LZCNT = countZeros('LZCNT', 'BD', 'abm', value => value.clz())

export const BZHI = instruction<[Operand, Operand, Operand]>('BZHI', {
  encodings: ['VEX.LZ.0F38 F5 /r  Gy,Ey,By'],
  feature: 'bmi2',
  execute(m, destination, source, index) {
    const width = destination.width as 32 | 64
    const value = source.read()
    const count = index.read().truncate(32).and(0xff)
    const result = value.and(lowMask(m, width, count))
    destination.write(result)
    setFlags(m, result, count.gtU(width - 1))
  },
})

/** RDX times the source, without flags. Where both halves go to one register it gets the high one. */
export const MULX = instruction<[Operand, Operand, Operand]>('MULX', {
  encodings: ['VEX.LZ.F2.0F38 F6 /r  Gy,By,Ey'],
  feature: 'bmi2',
  execute(m, highHalf, lowHalf, source) {
    const b = source.read()
    const { low, high } = product(m.register(RDX, b.width).read(), b, false)
    lowHalf.write(low)
    highHalf.write(high)
  },
})

/** The low bits of a value, to the places that the mask names, lowest first. */
const deposit = routine('depositBits', [64, 64], 64, (code, value, mask) => {
  const result = code.variable(64, 0)
  const bits = code.variable(64, value)
  const rest = code.variable(64, mask)
  code.while(
    () => rest.value.isNonZero(),
    () => {
      // The lowest place if the next bit is set: its negative, or 0, as a mask.
      const place = rest.value.and(rest.value.neg())
      result.value = result.value.or(place.and(bits.value.and(1).neg()))
      bits.value = bits.value.shr(1)
      rest.value = rest.value.and(rest.value.sub(1))
    },
  )
  return result.value
})

/** The bits at the places that the mask names, lowest first, side by side. */
const extract = routine('extractBits', [64, 64], 64, (code, value, mask) => {
  const result = code.variable(64, 0)
  const place = code.variable(64, 1)
  const rest = code.variable(64, mask)
  code.while(
    () => rest.value.isNonZero(),
    () => {
      const bit = value.shr(rest.value.ctz()).and(1)
      result.value = result.value.or(place.value.and(bit.neg()))
      place.value = place.value.shl(1)
      rest.value = rest.value.and(rest.value.sub(1))
    },
  )
  return result.value
})

const byMask = (mnemonic: string, prefix: string, of: Routine) =>
  instruction<[Operand, Operand, Operand]>(mnemonic, {
    encodings: [`VEX.LZ.${prefix}.0F38 F5 /r  Gy,By,Ey`],
    feature: 'bmi2',
    execute(m, destination, source, mask) {
      const places = mask.read().zeroExtend(64)
      destination.write(m.call(of, source.read().zeroExtend(64), places).truncate(destination.width))
    },
  })

export const PDEP = byMask('PDEP', 'F2', deposit)
export const PEXT = byMask('PEXT', 'F3', extract)

export const RORX = instruction<[Operand, Operand, Operand]>('RORX', {
  encodings: ['VEX.LZ.F2.0F3A F0 /r ib  Gy,Ey,Ib'],
  feature: 'bmi2',
  execute(_m, destination, source, count) {
    const value = source.read()
    destination.write(value.rotr(count.read().zeroExtend(value.width)))
  },
})

/** Shifts without flags, by a register's value modulo the width. */
const shift = (mnemonic: string, prefix: string, op: (value: Int, count: Int) => Int) =>
  instruction<[Operand, Operand, Operand]>(mnemonic, {
    encodings: [`VEX.LZ.${prefix}.0F38 F7 /r  Gy,Ey,By`],
    feature: 'bmi2',
    execute(_m, destination, source, count) {
      const value = source.read()
      destination.write(op(value, count.read()))
    },
  })

export const SHLX = shift('SHLX', '66', (value, count) => value.shl(count))
export const SARX = shift('SARX', 'F3', (value, count) => value.sar(count))
export const SHRX = shift('SHRX', 'F2', (value, count) => value.shr(count))

export const instructions: readonly Instruction[] = [
  ANDN,
  BEXTR,
  BLSR,
  BLSMSK,
  BLSI,
  TZCNT,
  LZCNT,
  BZHI,
  MULX,
  PDEP,
  PEXT,
  RORX,
  SHLX,
  SARX,
  SHRX,
]
