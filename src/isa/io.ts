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

/** One step, or under REP one that counts rCX down and starts again; interrupts come in between. `run` may do several at once. */
function repeated(m: Semantics, step: () => void, run?: (count: Int) => Int): void {
  if (m.context.rep === 'none') {
    step()
    return
  }
  const counter = m.register(RCX, m.context.addressSize)
  const count: Int = counter.read()
  m.if(count.isNonZero(), () => {
    const done = run?.(count)
    if (done) m.if(done.isZero(), step)
    else step()
    const left = count.sub(done ? done.isZero().select(m.const(1, 32), done).resize(count.width) : 1)
    counter.write(left)
    m.if(left.isNonZero(), () => m.restart())
  })
}

/** Fewer elements are not worth asking whether they can be had in one go. */
const LEAST_RUN = 4

/**
 * Elements of a repeated INS that come in one go, at most to the end of a page: firmware reads disks so, a word at a time. It is one
 * call for all in place of three for each.
 * @returns how many it were, 32 bits: 0 where they have to come one by one
 */
function inputRun(m: Semantics, count: Int, width: 8 | 16 | 32): Int {
  const { addressSize } = m.context
  const pointer = m.register(RDI, addressSize)
  const offset = pointer.read()
  const most = m.elementsInPage([[ES, offset]], width)
  const wide = (value: Int) => value.zeroExtend(count.width === 64 ? 64 : 32)
  const elements = m.variable(32, wide(count).ltU(wide(most)).select(wide(count), wide(most)).truncate(32)).value
  const shift = Math.log2(width / 8)
  let wanted = elements.geU(LEAST_RUN).and(m.interrupted().or(m.flags.direction).not())
  // Offsets of 16 bits must not begin anew at 0 in between.
  if (addressSize === 16) wanted = wanted.and(offset.zeroExtend(32).add(elements.shl(shift)).leU(0x10000))
  const done = m.variable(32, 0)
  m.if(wanted, () => {
    done.value = m.inputRun(port(m), ES, offset, elements, width)
    pointer.write(offset.add(done.value.shl(shift).resize(addressSize)))
  })
  return done.value
}

const port = (m: Semantics): Int => m.register(RDX, 16).read().zeroExtend(32)

const strings = (
  mnemonic: string,
  opcode: number,
  step: (m: Semantics, width: 8 | 16 | 32) => void,
  run?: (m: Semantics, count: Int, width: 8 | 16 | 32) => Int,
): Instruction[] =>
  [0, 1].map(wide =>
    instruction<[]>(wide ? mnemonic : `${mnemonic}B`, {
      encodings: [(opcode + wide).toString(16).toUpperCase()],
      repeatable: 'rep',
      execute(m) {
        const width = !wide ? 8 : m.context.operandSize === 16 ? 16 : 32
        repeated(m, () => step(m, width), run && (count => run(m, count, width)))
      },
    }),
  )

/** The port is read only when the write to memory cannot fault any more. */
export const INS = strings(
  'INS',
  0x6c,
  (m, width) => {
    const { place, advance } = element(m, RDI, ES, width)
    m.service('checkPort', port(m), width / 8)
    place.probeWrite(width / 8)
    m.service('readPort', port(m), width / 8)
    place.write(m.serviceResult(width))
    advance()
  },
  inputRun,
)

export const OUTS = strings('OUTS', 0x6e, (m, width) => {
  const { place, advance } = element(m, RSI, m.context.segment, width)
  m.service('checkPort', port(m), width / 8)
  m.service('writePort', port(m), width / 8, place.read().zeroExtend(32))
  advance()
})

export const instructions: readonly Instruction[] = [IN, OUT, ...INS, ...OUTS]
