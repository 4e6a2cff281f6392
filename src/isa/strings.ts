/** String instructions (SDM vol. 2, CMPS LODS MOVS SCAS STOS, and REP/REPE/REPNE). */
import { ES, RAX, RCX, RDI, RSI } from '../cpu/state.ts'
import { type Instruction, instruction } from './definition.ts'
import type { Int, Operand, Semantics } from './semantics.ts'

/** One element at rSI (in DS or an override) or rDI (always in ES), and the move to the next. */
interface Element {
  readonly place: Operand
  advance(): void
}

function element(m: Semantics, register: number, segment: number, width: 8 | 16 | 32 | 64): Element {
  const pointer = m.register(register, m.context.addressSize)
  const offset = pointer.read()
  const bytes = width / 8
  return {
    place: m.memory(segment, offset, width),
    advance: () => pointer.write(offset.add(m.flags.direction.select(m.const(-bytes, offset.width), bytes))),
  }
}

/** Most steps that a repeated instruction does before it starts again: what an interrupt may have to wait for. */
const MOST_STEPS = 512

/** Elements of a repeated instruction that may be done in one go. */
interface Run {
  /** How many elements come before the end of a page: at least 1, 32 bits. */
  most(): Int
  /** Does so many, pointers and all, if that is possible; whether it was. */
  all(elements: Int): Int
}

/** Elements of a repeated comparison that do not end it, which may be passed over in one go. */
interface Passing {
  /** How many elements come before the end of a page: at least 1, 32 bits. */
  most(): Int
  /** Of so many elements, how many may be passed over: the first ones. */
  passed(elements: Int): Int
  /** Moves the pointers on. */
  advance(elements: Int): void
}

/**
 * Does one step, or with a repeat prefix as many as rCX says and `step` wants (it gives a condition, or undefined for
 * always). A step commits nothing before all that can fault and then counts rCX down, so that a fault, and whatever comes
 * in between two steps, finds the registers as they are before an instruction. After a number of steps, or when something
 * waits to come in, the instruction starts again.
 */
function repeated(m: Semantics, step: () => Int | undefined, run?: Run, passing?: Passing): void {
  if (m.context.rep === 'none') {
    step()
    return
  }
  const counter = m.register(RCX, m.context.addressSize)
  const remaining = () => counter.read().isNonZero()
  const steps = m.variable(32, MOST_STEPS)
  if (run) {
    // As many elements whether they go at once or one by one, so that the count of instructions is the same.
    const wide = (value: Int) => value.zeroExtend(counter.width === 64 ? 64 : 32)
    const most = wide(run.most())
    const count = wide(counter.read())
    steps.value = count.ltU(most).select(count, most).truncate(32)
    m.if(m.interrupted(), () => steps.set(1))
    m.if(run.all(steps.value), () => {
      counter.write(counter.read().sub(steps.value.resize(counter.width)))
      steps.set(0)
    })
  }
  if (passing) {
    // The flags are those of the last element compared, so that one is left to be compared; steps count as ever.
    const count = counter.read()
    const [most, few] = [passing.most(), count.ltU(MOST_STEPS).select(count, MOST_STEPS).resize(32)]
    const elements = m.variable(32, most.ltU(few).select(most, few))
    m.if(elements.value.isNonZero().and(m.interrupted().not()), () => {
      const last = m.variable(32, elements.value.sub(1)).value
      const all = m.variable(32, passing.passed(elements.value)).value
      const passed = m.variable(32, all.ltU(last).select(all, last)).value
      // A register of 32 bits that is not moved on keeps its upper half.
      m.if(passed.isNonZero(), () => {
        passing.advance(passed)
        counter.write(counter.read().sub(passed.resize(counter.width)))
        steps.value = steps.value.sub(passed)
      })
    })
  }
  const goesOn = m.variable(1, 1)
  m.while(
    () => remaining().and(steps.value.isNonZero()),
    () => {
      const left = counter.read().sub(1)
      const condition = step()
      counter.write(left)
      steps.value = m.interrupted().select(m.const(0, 32), steps.value.sub(1))
      if (condition) {
        goesOn.value = condition
        m.if(condition.isZero(), () => steps.set(0))
      }
    },
  )
  m.if(remaining().and(goesOn.value), () => m.restart())
}

/** A string instruction in its two forms: bytes, and elements of the operand size. */
const forms = (
  mnemonic: string,
  opcode: number,
  repeatable: 'rep' | 'repe/repne',
  step: (m: Semantics, width: 8 | 16 | 32 | 64) => Int | undefined,
  run?: (m: Semantics, width: 8 | 16 | 32 | 64) => Run,
  passing?: (m: Semantics, width: 8 | 16 | 32 | 64) => Passing,
): Instruction[] =>
  [0, 1].map(wide =>
    instruction<[]>(wide ? mnemonic : `${mnemonic}B`, {
      encodings: [(opcode + wide).toString(16).toUpperCase()],
      repeatable,
      execute(m) {
        const width = wide ? m.context.operandSize : 8
        repeated(m, () => step(m, width), run?.(m, width), passing?.(m, width))
      },
    }),
  )

/** Moves a pointer on by elements (32 bits) of a width. */
function advanceBy(m: Semantics, register: number, elements: Int, width: number): void {
  const pointer = m.register(register, m.context.addressSize)
  pointer.write(pointer.read().add(elements.shl(Math.log2(width / 8)).resize(pointer.width)))
}

export const MOVS = forms(
  'MOVS',
  0xa4,
  'rep',
  (m, width) => {
    const source = element(m, RSI, m.context.segment, width)
    const destination = element(m, RDI, ES, width)
    destination.place.write(source.place.read())
    source.advance()
    destination.advance()
    return undefined
  },
  (m, width) => {
    const { segment } = m.context
    const [from, to] = [RSI, RDI].map(register => m.register(register, m.context.addressSize).read())
    return {
      most: () =>
        m.elementsInPage(
          [
            [segment, from],
            [ES, to],
          ],
          width,
        ),
      all(elements) {
        const done = m.copyRun(segment, from, to, elements, width)
        m.if(done, () => {
          for (const register of [RSI, RDI]) advanceBy(m, register, elements, width)
        })
        return done
      },
    }
  },
)

/** Whether a comparison's result lets REPE or REPNE go on. */
const goesOn = (m: Semantics, a: Int, b: Int): Int => (m.context.rep === 'repne' ? a.ne(b) : a.eq(b))

export const CMPS = forms(
  'CMPS',
  0xa6,
  'repe/repne',
  (m, width) => {
    const source = element(m, RSI, m.context.segment, width)
    const destination = element(m, RDI, ES, width)
    // Where both are out of reach, processors report the destination.
    const b = destination.place.read()
    const a = source.place.read()
    source.advance()
    destination.advance()
    m.flags.setSub(a, b, a.sub(b))
    return goesOn(m, a, b)
  },
  undefined,
  (m, width) => {
    const { segment } = m.context
    const [first, second] = [RSI, RDI].map(register => m.register(register, m.context.addressSize).read())
    return {
      most: () =>
        m.elementsInPage(
          [
            [segment, first],
            [ES, second],
          ],
          width,
        ),
      passed: elements => m.compareRun(segment, first, second, elements, width, m.context.rep !== 'repne'),
      advance(elements) {
        for (const register of [RSI, RDI]) advanceBy(m, register, elements, width)
      },
    }
  },
)

export const STOS = forms(
  'STOS',
  0xaa,
  'rep',
  (m, width) => {
    const destination = element(m, RDI, ES, width)
    destination.place.write(m.register(RAX, width).read())
    destination.advance()
    return undefined
  },
  (m, width) => {
    const to = m.register(RDI, m.context.addressSize).read()
    return {
      most: () => m.elementsInPage([[ES, to]], width),
      all(elements) {
        const done = m.fillRun(ES, to, elements, m.register(RAX, width).read())
        m.if(done, () => advanceBy(m, RDI, elements, width))
        return done
      },
    }
  },
)

export const LODS = forms('LODS', 0xac, 'rep', (m, width) => {
  const source = element(m, RSI, m.context.segment, width)
  m.register(RAX, width).write(source.place.read())
  source.advance()
  return undefined
})

export const SCAS = forms(
  'SCAS',
  0xae,
  'repe/repne',
  (m, width) => {
    const destination = element(m, RDI, ES, width)
    const a = m.register(RAX, width).read()
    const b = destination.place.read()
    destination.advance()
    m.flags.setSub(a, b, a.sub(b))
    return goesOn(m, a, b)
  },
  undefined,
  (m, width) => {
    const offset = m.register(RDI, m.context.addressSize).read()
    return {
      most: () => m.elementsInPage([[ES, offset]], width),
      passed: elements => m.scanRun(offset, elements, m.register(RAX, width).read(), m.context.rep !== 'repne'),
      advance: elements => advanceBy(m, RDI, elements, width),
    }
  },
)

export const instructions: readonly Instruction[] = [...MOVS, ...CMPS, ...STOS, ...LODS, ...SCAS]
