/** Conditional moves and sets (SDM vol. 2, CMOVcc SETcc). */
import { type Instruction, instruction } from './definition.ts'

/** Mnemonic endings of the condition codes 0–15 (SDM vol. 1, appendix B). */
export const CONDITIONS = [
  'O',
  'NO',
  'B',
  'AE',
  'E',
  'NE',
  'BE',
  'A',
  'S',
  'NS',
  'P',
  'NP',
  'L',
  'GE',
  'LE',
  'G',
] as const

/** The sixteen SETcc, by condition code. ModRM.reg means nothing. */
export const SETCC: readonly Instruction[] = CONDITIONS.map((condition, code) =>
  instruction(`SET${condition}`, {
    encodings: [`0F ${(0x90 + code).toString(16).toUpperCase()} /r  Eb`],
    execute(m, destination) {
      destination.write(m.flags.condition(code).zeroExtend(8))
    },
  }),
)

/** The sixteen CMOVcc, by condition code. The source is read, and a 32-bit destination extended, in any case. */
export const CMOVCC: readonly Instruction[] = CONDITIONS.map((condition, code) =>
  instruction(`CMOV${condition}`, {
    encodings: [`0F ${(0x40 + code).toString(16).toUpperCase()} /r  Gv,Ev`],
    feature: 'cmov',
    execute(m, destination, source) {
      const value = source.read()
      destination.write(m.flags.condition(code).select(value, destination.read()))
    },
  }),
)

export const instructions: readonly Instruction[] = [...SETCC, ...CMOVCC]
