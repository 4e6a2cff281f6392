/** Decimal adjustment (SDM vol. 2, AAA AAD AAM AAS DAA DAS). None exists in 64-bit mode. */
import { type Instruction, instruction } from './definition.ts'
import { DE, type Int, type Semantics } from './semantics.ts'

/** Whether the low digit is beyond nine or AF says that it was. */
const lowDigitNeedsAdjustment = (m: Semantics, value: Int): Int => value.and(15).gtU(9).or(m.flags.adjust)

/** DAA and DAS: OF is undefined; processors leave what adding or subtracting the adjustment gives, here it is cleared. */
const packed = (mnemonic: string, opcode: string, subtract: boolean): Instruction =>
  instruction<[]>(mnemonic, {
    encodings: [`${opcode} i64`],
    execute(m) {
      const al = m.register(0, 8)
      const value = al.read()
      const carry = m.flags.carry
      const low = lowDigitNeedsAdjustment(m, value)
      const high = value.gtU(0x99).or(carry)
      const adjustment = low.select(m.const(6, 8), 0).or(high.select(m.const(0x60, 8), 0))
      const result = subtract ? value.sub(adjustment) : value.add(adjustment)
      al.write(result)
      // Subtracting 6 from a value below it borrows even where the high digit needs nothing.
      const newCarry = subtract ? high.or(low.and(value.ltU(6))) : high
      m.flags.set({ result, carry: newCarry, adjust: low, overflow: m.bool(false) })
    },
  })

export const DAA = packed('DAA', '27', false)
export const DAS = packed('DAS', '2F', true)

/** AAA and AAS: AX changes as a whole. OF, SF, ZF and PF are undefined. */
const unpacked = (mnemonic: string, opcode: string, subtract: boolean): Instruction =>
  instruction<[]>(mnemonic, {
    encodings: [`${opcode} i64`],
    execute(m) {
      const ax = m.register(0, 16)
      const value = ax.read()
      const adjust = lowDigitNeedsAdjustment(m, value)
      const adjusted = subtract ? value.sub(0x106) : value.add(0x106)
      ax.write(adjust.select(adjusted, value).and(0xff0f))
      m.flags.set({ carry: adjust, adjust })
    },
  })

export const AAA = unpacked('AAA', '37', false)
export const AAS = unpacked('AAS', '3F', true)

export const AAM = instruction('AAM', {
  encodings: ['D4 ib i64  Ib'],
  execute(m, base) {
    const divisor = base.read()
    m.raiseIf(divisor.isZero(), DE)
    const al = m.register(0, 8)
    const value = al.read()
    const digit = value.remU(divisor)
    m.highByte(0).write(value.divU(divisor))
    al.write(digit)
    m.flags.setLogic(digit)
  },
})

export const AAD = instruction('AAD', {
  encodings: ['D5 ib i64  Ib'],
  execute(m, base) {
    const al = m.register(0, 8)
    const result = m.highByte(0).read().mul(base.read()).add(al.read())
    m.register(0, 16).write(result.zeroExtend(16))
    m.flags.setLogic(result)
  },
})

export const instructions: readonly Instruction[] = [DAA, DAS, AAA, AAS, AAM, AAD]
