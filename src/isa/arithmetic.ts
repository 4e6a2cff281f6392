/** Integer addition and subtraction (SDM vol. 2, ADC ADD CMP DEC INC NEG SBB SUB). */
import { type Instruction, instruction } from './definition.ts'
import type { Semantics } from './semantics.ts'

/** The encodings that the eight operations of the first opcode rows share (ADD OR ADC SBB AND SUB XOR CMP: 0–7). */
export const rowEncodings = (row: number): string[] => {
  const op = (column: number) => (row * 8 + column).toString(16).padStart(2, '0').toUpperCase()
  return [
    `${op(0)} /r  Eb,Gb`,
    `${op(1)} /r  Ev,Gv`,
    `${op(2)} /r  Gb,Eb`,
    `${op(3)} /r  Gv,Ev`,
    `${op(4)} ib  AL,Ib`,
    `${op(5)} iz  rAX,sIz`,
    `80 /${row} ib  Eb,Ib`,
    `81 /${row} iz  Ev,sIz`,
    `82 /${row} ib i64  Eb,Ib`,
    `83 /${row} ib  Ev,sIb`,
  ]
}

export const ADD = instruction('ADD', {
  encodings: rowEncodings(0),
  lockable: true,
  execute(m, destination, source) {
    const a = destination.read()
    const b = source.read()
    const result = a.add(b)
    destination.write(result)
    m.flags.setAdd(a, b, result)
  },
})

export const ADC = instruction('ADC', {
  encodings: rowEncodings(2),
  lockable: true,
  execute(m, destination, source) {
    const a = destination.read()
    const b = source.read()
    const carry = m.flags.carry
    const result = a.add(b).add(carry.zeroExtend(a.width))
    destination.write(result)
    m.flags.setAdd(a, b, result, carry)
  },
})

export const SBB = instruction('SBB', {
  encodings: rowEncodings(3),
  lockable: true,
  execute(m, destination, source) {
    const a = destination.read()
    const b = source.read()
    const borrow = m.flags.carry
    const result = a.sub(b).sub(borrow.zeroExtend(a.width))
    destination.write(result)
    m.flags.setSub(a, b, result, borrow)
  },
})

export const SUB = instruction('SUB', {
  encodings: rowEncodings(5),
  lockable: true,
  execute(m, destination, source) {
    const a = destination.read()
    const b = source.read()
    const result = a.sub(b)
    destination.write(result)
    m.flags.setSub(a, b, result)
  },
})

export const CMP = instruction('CMP', {
  encodings: rowEncodings(7),
  execute(m, first, second) {
    const a = first.read()
    const b = second.read()
    m.flags.setSub(a, b, a.sub(b))
  },
})

export const INC = instruction('INC', {
  encodings: ['FE /0  Eb', 'FF /0  Ev', '40+r i64  Zv'],
  lockable: true,
  execute(m, destination) {
    const result = destination.read().add(1)
    destination.write(result)
    m.flags.setIncrement(result)
  },
})

export const DEC = instruction('DEC', {
  encodings: ['FE /1  Eb', 'FF /1  Ev', '48+r i64  Zv'],
  lockable: true,
  execute(m, destination) {
    const result = destination.read().sub(1)
    destination.write(result)
    m.flags.setDecrement(result)
  },
})

export const NEG = instruction('NEG', {
  encodings: ['F6 /3  Eb', 'F7 /3  Ev'],
  lockable: true,
  execute(m: Semantics, destination) {
    const a = destination.read()
    const result = a.neg()
    destination.write(result)
    m.flags.setSub(m.const(0, a.width), a, result)
  },
})

export const instructions: readonly Instruction[] = [ADD, ADC, SBB, SUB, CMP, INC, DEC, NEG]
