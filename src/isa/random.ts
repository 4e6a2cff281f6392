/** Random numbers (SDM vol. 2, RDRAND RDSEED): from a source that the machine injects. */
import { F } from '../cpu/state.ts'
import { type Instruction, instruction } from './definition.ts'

const random = (mnemonic: string, extension: number, feature: string): Instruction =>
  instruction(mnemonic, {
    encodings: [`NFx 0F C7 /${extension}  Rv`],
    feature,
    execute(m, destination) {
      m.service('random')
      destination.write(m.serviceResult(destination.width))
      const no = m.bool(false)
      const carry = m.get(F.serviceResult2).isNonZero()
      m.flags.set({ carry, parity: no, adjust: no, zero: no, sign: no, overflow: no })
    },
  })

export const RDRAND = random('RDRAND', 6, 'rdrand')
export const RDSEED = random('RDSEED', 7, 'rdseed')

export const instructions: readonly Instruction[] = [RDRAND, RDSEED]
