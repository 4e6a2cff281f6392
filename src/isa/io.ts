/** Port input and output (SDM vol. 2, IN INS OUT OUTS). Permission is the service's matter. */
import { ES, RCX, RDI, RDX, RSI } from '../cpu/state.ts'
import { type Instruction, instruction } from './definition.ts'
import type { Int, Operand, Semantics } from './semantics.ts'

export const IN = instruction('IN', {
  encodings: ['E4 ib  AL,Ib', 'E5 ib  eAX,Ib', 'EC  AL,DX', 'ED  eAX,DX'],
  execute(m, destination, port) {
    m.service('readPort', port.read().zeroExtend(32), destination.width / 8)
    destination.write(m.serviceResult(destination.width))
  },
})

export const OUT = instruction('OUT', {
  encodings: ['E6 ib  Ib,AL', 'E7 ib  Ib,eAX', 'EE  DX,AL', 'EF  DX,eAX'],
  execute(m, port, source) {
    m.service('writePort', port.read().zeroExtend(32), source.width / 8, source.read().zeroExtend(32))
  },
})

/** An element of a string, and the move of its pointer to the next. */
function element(m: Semantics, register: number, segment: number, width: 8 | 16 | 32) {
  const pointer: Operand = m.register(register, m.context.addressSize)
  const offset = pointer.read()
  const step = m.flags.direction.select(m.const(-(width / 8), offset.width), width / 8)
  return { place: m.memory(segment, offset, width), advance: () => pointer.write(offset.add(step)) }
}

/** One step, or under REP one that counts rCX down and starts again; interrupts come in between. */
function repeated(m: Semantics, step: () => void): void {
  if (m.context.rep === 'none') {
    step()
    return
  }
  const counter = m.register(RCX, m.context.addressSize)
  const count: Int = counter.read()
  m.if(count.isNonZero(), () => {
    const left = count.sub(1)
    step()
    counter.write(left)
    m.if(left.isNonZero(), () => m.restart())
  })
}

const port = (m: Semantics): Int => m.register(RDX, 16).read().zeroExtend(32)

const strings = (mnemonic: string, opcode: number, step: (m: Semantics, width: 8 | 16 | 32) => void): Instruction[] =>
  [0, 1].map(wide =>
    instruction<[]>(wide ? mnemonic : `${mnemonic}B`, {
      encodings: [(opcode + wide).toString(16).toUpperCase()],
      repeatable: 'rep',
      execute(m) {
        const width = !wide ? 8 : m.context.operandSize === 16 ? 16 : 32
        repeated(m, () => step(m, width))
      },
    }),
  )

/** The port is read only when the write to memory cannot fault any more. */
export const INS = strings('INS', 0x6c, (m, width) => {
  const { place, advance } = element(m, RDI, ES, width)
  m.service('checkPort', port(m), width / 8)
  place.probeWrite(width / 8)
  m.service('readPort', port(m), width / 8)
  place.write(m.serviceResult(width))
  advance()
})

export const OUTS = strings('OUTS', 0x6e, (m, width) => {
  const { place, advance } = element(m, RSI, m.context.segment, width)
  m.service('checkPort', port(m), width / 8)
  m.service('writePort', port(m), width / 8, place.read().zeroExtend(32))
  advance()
})

export const instructions: readonly Instruction[] = [IN, OUT, ...INS, ...OUTS]
