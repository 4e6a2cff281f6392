/** x87 loads and stores (SDM vol. 2, FBLD FBSTP FILD FIST FISTTP FLD FLD1 … FST). */
import { F } from '../cpu/state.ts'
import { UP } from '../float/rounding.ts'
import {
  x87Push32,
  x87Push64,
  x87PushBcd,
  x87PushExtended,
  x87PushInteger,
  x87PushRegister,
} from '../float/x87-loads.ts'
import { STOPPED } from '../float/x87-stack.ts'
import {
  x87CommitStore,
  x87PopRegister,
  x87Store32,
  x87Store64,
  x87StoreBcd,
  x87StoreExtended,
  x87StoreInteger,
  x87StoreRegister,
} from '../float/x87-stores.ts'
import { type Instruction, instruction } from './definition.ts'
import type { Int, MemoryOperand, NumberedOperand, Semantics } from './semantics.ts'
import {
  localConstant,
  localLoad,
  localLoadExtended,
  localPushRegister,
  localStore,
  localStoreExtended,
  localStoreInteger,
  localStoreRegister,
} from './x87-locals.ts'
import { isMemory, notePointers, numberOf, type X87Operand } from './x87-unit.ts'

export const FLD = instruction<[X87Operand]>('FLD', {
  encodings: ['D9 /0  Md', 'DD /0  Mq', 'D9 /0 reg  STi'],
  unit: 'x87',
  execute(m, a) {
    if (m.x87) {
      if (isMemory(a)) localLoad(m, m.x87, a, false)
      else localPushRegister(m.x87, numberOf(a))
    } else if (isMemory(a)) {
      const value = a.read()
      notePointers(m, a)
      m.call(value.width === 64 ? x87Push64 : x87Push32, value)
    } else {
      notePointers(m)
      m.call(x87PushRegister, a.number)
    }
  },
})

export const FLD_EXTENDED = instruction<[MemoryOperand]>('FLD', {
  title: 'm80',
  encodings: ['DB /5  Mt'],
  unit: 'x87',
  execute(m, a) {
    if (m.x87) {
      localLoadExtended(m, m.x87, a)
      return
    }
    const significand = a.at(0, 64).read()
    const head = a.at(8, 16).read()
    notePointers(m, a)
    m.call(x87PushExtended, significand, head.zeroExtend(32))
  },
})

export const FILD = instruction<[MemoryOperand]>('FILD', {
  encodings: ['DF /0  Mw', 'DB /0  Md', 'DF /5  Mq'],
  unit: 'x87',
  execute(m, a) {
    if (m.x87) {
      localLoad(m, m.x87, a, true)
      return
    }
    const value = a.read()
    notePointers(m, a)
    m.call(x87PushInteger, value.signExtend(64))
  },
})

export const FBLD = instruction<[MemoryOperand]>('FBLD', {
  encodings: ['DF /4  Mt'],
  unit: 'x87',
  execute(m, a) {
    const low = a.at(0, 64).read()
    const high = a.at(8, 16).read()
    notePointers(m, a)
    m.call(x87PushBcd, low, high.zeroExtend(32))
  },
})

/** Writes what a conversion gave unless an exception stopped it, then commits its flags. */
function finishStore(m: Semantics, a: MemoryOperand, pop: boolean, write: () => void): void {
  m.if(m.get(F.x87Flags).and(STOPPED).isZero(), write)
  notePointers(m, a)
  m.call(x87CommitStore, m.const(pop ? 1 : 0, 32))
}

const store = (name: string, encodings: readonly string[], pop: boolean) =>
  instruction<[X87Operand]>(name, {
    encodings,
    unit: 'x87',
    execute(m, a) {
      if (m.x87) {
        if (isMemory(a)) localStore(m, m.x87, a, pop)
        else localStoreRegister(m.x87, numberOf(a), pop)
      } else if (isMemory(a)) {
        const bits = m.call(a.width === 64 ? x87Store64 : x87Store32)
        finishStore(m, a, pop, () => a.write(bits))
      } else {
        notePointers(m)
        m.call(x87StoreRegister, a.number, m.const(pop ? 1 : 0, 32))
      }
    },
  })

const storeInteger = (name: string, encodings: readonly string[], pop: boolean, truncate = false) =>
  instruction<[MemoryOperand]>(name, {
    encodings,
    unit: 'x87',
    feature: truncate ? 'pni' : undefined,
    execute(m, a) {
      if (m.x87) {
        localStoreInteger(m, m.x87, a, pop, truncate)
        return
      }
      const value = m.call(x87StoreInteger, m.const(a.width, 32), m.const(truncate ? 1 : 0, 32))
      finishStore(m, a, pop, () => a.write(value.truncate(a.width)))
    },
  })

/** The two stores of ten bytes; `value` gives the low eight, the upper two are in F.serviceResult2. */
const storeTen = (
  name: string,
  encoding: string,
  title: string,
  value: (m: Semantics) => Int,
  locals?: typeof localStoreExtended,
) =>
  instruction<[MemoryOperand]>(name, {
    title,
    encodings: [encoding],
    unit: 'x87',
    execute(m, a) {
      if (m.x87 && locals) {
        locals(m, m.x87, a)
        return
      }
      a.probeWrite(10)
      const low = m.variable(64, value(m))
      const high = m.variable(16, m.get(F.serviceResult2).truncate(16))
      finishStore(m, a, true, () => {
        a.at(0, 64).write(low.value)
        a.at(8, 16).write(high.value)
      })
    },
  })

/** Constants: the significand to nearest, cut off, and the exponent (SDM vol. 2, FLD1 …). */
const CONSTANTS = [
  ['FLD1', 0x8000000000000000n, 0x8000000000000000n, 0x3fff],
  ['FLDL2T', 0xd49a784bcd1b8afen, 0xd49a784bcd1b8afen, 0x4000],
  ['FLDL2E', 0xb8aa3b295c17f0bcn, 0xb8aa3b295c17f0bbn, 0x3fff],
  ['FLDPI', 0xc90fdaa22168c235n, 0xc90fdaa22168c234n, 0x4000],
  ['FLDLG2', 0x9a209a84fbcff799n, 0x9a209a84fbcff798n, 0x3ffd],
  ['FLDLN2', 0xb17217f7d1cf79acn, 0xb17217f7d1cf79abn, 0x3ffe],
  ['FLDZ', 0n, 0n, 0],
] as const

const constants = CONSTANTS.map(([name, nearest, cut, exponent], i) =>
  instruction<[]>(name, {
    encodings: [`D9 /5 /rm${i}`],
    unit: 'x87',
    execute(m) {
      if (m.x87) {
        localConstant(m, m.x87, nearest, exponent)
        return
      }
      notePointers(m)
      let significand = m.const(nearest, 64)
      const exact = name === 'FLD1' || name === 'FLDZ'
      if (!exact) {
        const mode = m.get(F.fcw).bits(10, 2)
        const directed = mode.eq(UP).select(m.const(cut + 1n, 64), cut)
        significand = mode.isZero().select(significand, directed)
      }
      m.call(x87PushExtended, significand, m.const(exponent, 32))
    },
  }),
)

/** FSTP, the undocumented FSTP8 and FSTP9 among it. */
const FSTP_ENCODINGS = ['D9 /3  Md', 'DD /3  Mq', 'DD /3 reg  STi', 'DF /2 reg  STi', 'DF /3 reg  STi']

/** Undocumented: FSTP that pops an empty register without an exception. */
export const FSTPNCE = instruction<[NumberedOperand]>('FSTPNCE', {
  encodings: ['D9 /3 reg  STi'],
  unit: 'x87',
  execute(m, a) {
    notePointers(m)
    m.call(x87PopRegister, a.number)
  },
})

export const instructions: readonly Instruction[] = [
  FLD,
  FLD_EXTENDED,
  FILD,
  FBLD,
  ...constants,
  store('FST', ['D9 /2  Md', 'DD /2  Mq', 'DD /2 reg  STi'], false),
  store('FSTP', FSTP_ENCODINGS, true),
  FSTPNCE,
  storeTen('FSTP', 'DB /7  Mt', 'm80', m => m.call(x87StoreExtended), localStoreExtended),
  storeTen('FBSTP', 'DF /6  Mt', 'm80', m => m.call(x87StoreBcd)),
  storeInteger('FIST', ['DF /2  Mw', 'DB /2  Md'], false),
  storeInteger('FISTP', ['DF /3  Mw', 'DB /3  Md', 'DF /7  Mq'], true),
  storeInteger('FISTTP', ['DF /1  Mw', 'DB /1  Md', 'DD /1  Mq'], true, true),
]
