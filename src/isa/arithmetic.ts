/** Integer addition and subtraction (SDM vol. 2, ADC ADD CMP SBB SUB). */
import { instruction } from './definition.ts'

/** The eight operations of the first opcode rows share their encodings. */
const encodings = (row: number): string[] => {
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
  encodings: encodings(0),
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
  encodings: encodings(2),
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
