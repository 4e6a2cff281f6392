/** Exchange and compare-and-exchange (SDM vol. 2, CMPXCHG CMPXCHG8B/CMPXCHG16B XADD XCHG). */
import { RAX, RBX, RCX, RDX } from '../cpu/state.ts'
import { Vector } from '../ir/values.ts'
import { type Instruction, instruction } from './definition.ts'
import type { Int, MemoryOperand, Semantics } from './semantics.ts'

/** With a memory operand it locks, whether the prefix is there or not. */
export const XCHG = instruction('XCHG', {
  encodings: ['86 /r  Eb,Gb', '87 /r  Ev,Gv', '90+r  Zv,rAX'],
  lockable: true,
  execute(_m, first, second) {
    const a = first.read()
    const b = second.read()
    first.write(b)
    second.write(a)
  },
})

export const XADD = instruction('XADD', {
  encodings: ['0F C0 /r  Eb,Gb', '0F C1 /r  Ev,Gv'],
  lockable: true,
  execute(m, destination, source) {
    const a = destination.read()
    const b = source.read()
    const result = a.add(b)
    // With one register for both the sum stays.
    source.write(a)
    destination.write(result)
    m.flags.setAdd(a, b, result)
  },
})

export const CMPXCHG = instruction('CMPXCHG', {
  encodings: ['0F B0 /r  Eb,Gb', '0F B1 /r  Ev,Gv'],
  lockable: true,
  execute(m, destination, source) {
    const accumulator = m.accumulator(destination.width)
    const expected = accumulator.read()
    const found = destination.read()
    const equal = expected.eq(found)
    const replacement = source.read()
    const failed = () => accumulator.write(found)
    if (destination.kind === 'register') {
      // Only one of the two registers is written: the upper half of the other stays.
      m.if(equal, () => destination.write(replacement), failed)
    } else {
      // Memory is written in both cases, with what it held if the comparison failed.
      destination.write(equal.select(replacement, found))
      m.if(equal.isZero(), failed)
    }
    m.flags.setSub(expected, found, expected.sub(found))
  },
})

export const CMPXCHG8B = instruction<[MemoryOperand]>('CMPXCHG8B', {
  encodings: ['W0 0F C7 /1 mem  Mq'],
  feature: 'cx8',
  lockable: true,
  execute(m, destination) {
    const pair = (high: number, low: number): Int =>
      m.register(high, 32).read().zeroExtend(64).shl(32).or(m.register(low, 32).read().zeroExtend(64))
    const found = destination.read()
    const equal = found.eq(pair(RDX, RAX))
    destination.write(equal.select(pair(RCX, RBX), found))
    m.if(equal.isZero(), () => {
      m.register(RAX, 32).write(found.truncate(32))
      m.register(RDX, 32).write(found.shr(32).truncate(32))
    })
    m.flags.set({ zero: equal })
  },
})

const I64X2_SPLAT = 0x12
const I64X2_EXTRACT_LANE = 0x1d
const I64X2_REPLACE_LANE = 0x1e

const vectorOf = (low: Int, high: Int): Vector =>
  Vector.from(low, I64X2_SPLAT).op(I64X2_REPLACE_LANE, [high], Uint8Array.of(1))

const laneOf = (vector: Vector, lane: number): Int => vector.toInt(I64X2_EXTRACT_LANE, 64, Uint8Array.of(lane))

export const CMPXCHG16B = instruction<[MemoryOperand]>('CMPXCHG16B', {
  encodings: ['W1 0F C7 /1 mem  Mdq'],
  feature: 'cx16',
  lockable: true,
  execute(m: Semantics, destination) {
    destination.probeWrite(16, true)
    const found = destination.readVector()
    const [low, high] = [laneOf(found, 0), laneOf(found, 1)]
    const equal = low.eq(m.register(RAX, 64).read()).and(high.eq(m.register(RDX, 64).read()))
    const newLow = equal.select(m.register(RBX, 64).read(), low)
    const newHigh = equal.select(m.register(RCX, 64).read(), high)
    destination.writeVector(vectorOf(newLow, newHigh))
    m.if(equal.isZero(), () => {
      m.register(RAX, 64).write(low)
      m.register(RDX, 64).write(high)
    })
    m.flags.set({ zero: equal })
  },
})

export const instructions: readonly Instruction[] = [XCHG, XADD, CMPXCHG, CMPXCHG8B, CMPXCHG16B]
