/** Moves between general-purpose registers, memory and immediates (SDM vol. 2, LEA MOV MOVBE MOVNTI XLAT). */
import { RBX } from '../cpu/state.ts'
import { byteSwap } from './bits.ts'
import { type Instruction, instruction } from './definition.ts'
import type { MemoryOperand, Operand } from './semantics.ts'

export const MOV = instruction('MOV', {
  encodings: [
    '88 /r  Eb,Gb',
    '89 /r  Ev,Gv',
    '8A /r  Gb,Eb',
    '8B /r  Gv,Ev',
    'A0 moffs  AL,Ob',
    'A1 moffs  rAX,Ov',
    'A2 moffs  Ob,AL',
    'A3 moffs  Ov,rAX',
    'B0+r ib  Zb,Ib',
    'B8+r iv  Zv,Iv',
    'C6 /0 ib  Eb,Ib',
    'C7 /0 iz  Ev,sIz',
  ],
  execute(_m, destination, source) {
    destination.write(source.read())
  },
})

export const LEA = instruction<[Operand, MemoryOperand]>('LEA', {
  encodings: ['8D /r mem  Gv,M'],
  execute(_m, destination, source) {
    destination.write(source.offset.resize(destination.width))
  },
})

export const MOVBE = instruction('MOVBE', {
  encodings: ['NFx 0F 38 F0 /r mem  Gv,Mv', 'NFx 0F 38 F1 /r mem  Mv,Gv'],
  feature: 'movbe',
  execute(_m, destination, source) {
    destination.write(byteSwap(source.read()))
  },
})

export const MOVNTI = instruction('MOVNTI', {
  encodings: ['NP 0F C3 /r mem  My,Gy'],
  feature: 'sse2',
  execute(_m, destination, source) {
    destination.write(source.read())
  },
})

export const XLAT = instruction<[]>('XLAT', {
  encodings: ['D7'],
  execute(m) {
    const { addressSize, segment } = m.context
    const al = m.register(0, 8)
    const offset = m.register(RBX, addressSize).read().add(al.read().zeroExtend(addressSize))
    al.write(m.memory(segment, offset, 8).read())
  },
})

export const instructions: readonly Instruction[] = [MOV, LEA, MOVBE, MOVNTI, XLAT]
