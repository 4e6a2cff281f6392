/** Single flags (SDM vol. 2, CLC CLD CMC LAHF SAHF SALC STC STD). */
import { AF, CF, DF, PF, SF, ZF } from '../cpu/state.ts'
import { type Instruction, instruction } from './definition.ts'
import type { Semantics } from './semantics.ts'

export const CMC = instruction<[]>('CMC', {
  encodings: ['F5'],
  execute(m) {
    m.flags.set({ carry: m.flags.carry.isZero() })
  },
})

export const CLC = instruction<[]>('CLC', {
  encodings: ['F8'],
  execute(m) {
    m.flags.set({ carry: m.bool(false) })
  },
})

export const STC = instruction<[]>('STC', {
  encodings: ['F9'],
  execute(m) {
    m.flags.set({ carry: m.bool(true) })
  },
})

export const CLD = instruction<[]>('CLD', {
  encodings: ['FC'],
  execute(m) {
    m.flags.writeImage(m.const(0, 32), DF)
  },
})

export const STD = instruction<[]>('STD', {
  encodings: ['FD'],
  execute(m) {
    m.flags.writeImage(m.const(DF, 32), DF)
  },
})

/** LAHF and SAHF exist in 64-bit mode only with a feature of their own. */
const inBothModes = (opcode: string, mnemonic: string, execute: (m: Semantics) => void): Instruction[] => [
  instruction<[]>(mnemonic, { encodings: [`${opcode} i64`], execute }),
  instruction<[]>(mnemonic, { encodings: [`${opcode} o64`], feature: 'lahf_lm', execute }),
]

export const LAHF = inBothModes('9F', 'LAHF', m => {
  m.highByte(0).write(m.flags.readImage().truncate(8))
})

export const SAHF = inBothModes('9E', 'SAHF', m => {
  m.flags.writeImage(m.highByte(0).read().zeroExtend(32), SF | ZF | AF | PF | CF)
})

/** Not in Intel's manual, on all its processors and AMD's: AL becomes FF if CF is set, else 0. */
export const SALC = instruction<[]>('SALC', {
  encodings: ['D6 i64'],
  execute(m) {
    m.register(0, 8).write(m.flags.carry.zeroExtend(8).neg())
  },
})

export const instructions: readonly Instruction[] = [CMC, CLC, STC, CLD, STD, ...LAHF, ...SAHF, SALC]
