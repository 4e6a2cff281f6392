/** Bitwise logic (SDM vol. 2, AND NOT OR TEST XOR). */
import { rowEncodings } from './arithmetic.ts'
import { type Instruction, instruction } from './definition.ts'

export const OR = instruction('OR', {
  encodings: rowEncodings(1),
  lockable: true,
  execute(m, destination, source) {
    const result = destination.read().or(source.read())
    destination.write(result)
    m.flags.setLogic(result)
  },
})

export const AND = instruction('AND', {
  encodings: rowEncodings(4),
  lockable: true,
  execute(m, destination, source) {
    const result = destination.read().and(source.read())
    destination.write(result)
    m.flags.setLogic(result)
  },
})

export const XOR = instruction('XOR', {
  encodings: rowEncodings(6),
  lockable: true,
  execute(m, destination, source) {
    const result = destination.read().xor(source.read())
    destination.write(result)
    m.flags.setLogic(result)
  },
})

export const TEST = instruction('TEST', {
  // F6 /1 and F7 /1 are not in the manual, but every processor takes them for /0 (APM vol. 3, table A-6).
  encodings: [
    '84 /r  Eb,Gb',
    '85 /r  Ev,Gv',
    'A8 ib  AL,Ib',
    'A9 iz  rAX,sIz',
    'F6 /0 ib  Eb,Ib',
    'F7 /0 iz  Ev,sIz',
    'F6 /1 ib  Eb,Ib',
    'F7 /1 iz  Ev,sIz',
  ],
  execute(m, first, second) {
    m.flags.setLogic(first.read().and(second.read()))
  },
})

export const NOT = instruction('NOT', {
  encodings: ['F6 /2  Eb', 'F7 /2  Ev'],
  lockable: true,
  execute(_m, destination) {
    destination.write(destination.read().not())
  },
})

export const instructions: readonly Instruction[] = [OR, AND, XOR, TEST, NOT]
