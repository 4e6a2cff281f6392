/** What the tests of generated ways into and out of handlers share: they compare with the same in TypeScript. */
import assert from 'node:assert/strict'
import { EVENT_CAREFUL } from '../cpu/events.ts'
import { deliver, KIND_EXCEPTION } from '../cpu/exceptions.ts'
import { F } from '../cpu/state.ts'
import { testVcpu } from '../cpu/test-vcpu.ts'
import type { Vcpu } from '../cpu/vcpu.ts'
import { randomSource } from '../isa/assembler.ts'
import { type Routine, routineFunction } from '../isa/semantics.ts'
import { CodeLibrary } from './library.ts'
import { slowPathUnits } from './slow-paths.ts'

export type Random = (below: number) => number

/** One bit turned over, sometimes. */
export const spoil = (random: Random, value: bigint, bits: number, often = 25): bigint =>
  random(often) ? value : value ^ (1n << BigInt(random(bits)))

/** The words of the state that a guest could see. */
export function visible(cpu: Vcpu): Record<string, unknown> {
  const { state } = cpu
  const words = (field: (typeof F)[keyof typeof F]) =>
    Array.from({ length: field.count }, (_, i) =>
      field.type === 'i64' ? state.get64(field, i) : state.get32(field, i),
    )
  const { gpr, rip, systemFlags, interruptShadow, segmentBase, segmentLimit, segmentSelector, segmentAttributes } = F
  const fields = {
    gpr,
    rip,
    systemFlags,
    interruptShadow,
    segmentBase,
    segmentLimit,
    segmentSelector,
    segmentAttributes,
  }
  return {
    ...Object.fromEntries(Object.entries(fields).map(([name, field]) => [name, words(field)])),
    flags: cpu.rflags,
    cpl: state.get32(F.cpl),
    mode: state.get32(F.mode),
    tlb: state.get32(F.tlb),
    // That care is wanted is the engine's matter.
    events: state.get32(F.events) & ~EVENT_CAREFUL,
    segmentCheck: words(F.segmentCheck),
    nmiBlocked: cpu.nmiBlocked,
    shutdown: cpu.shutdown,
    fault: state.get32(F.fault),
  }
}

const VECTORS = [14, 14, 14, 14, 13, 6, 0, 7, 11, 12, 17, 1, 3, 8]

/** Exceptions by a routine and in TypeScript, each in a state of `prepare`'s: a fault that the routine leaves alone changes nothing. */
export function compareExceptions(delivery: Routine, prepare: (cpu: Vcpu, random: Random) => void): void {
  const random = randomSource(4711)
  const plain = testVcpu().cpu
  const generated = testVcpu().cpu
  const library = new CodeLibrary(
    generated.memory,
    new WebAssembly.Table({ element: 'anyfunc', initial: 1 }),
    name => () => {
      throw new Error(`${name} is called`)
    },
  )
  const { f, uses } = routineFunction(delivery)
  f.unreachable()
  const enter = library
    .compile([...slowPathUnits(generated.state.base), { name: delivery.name, f, uses }])
    .get(delivery.name)! as unknown as (base: number) => number
  let entered = 0
  const rounds = 2500
  for (let round = 0; round < rounds; round++) {
    const seed = random(0x7fffffff)
    for (const cpu of [plain, generated]) {
      cpu.reset()
      prepare(cpu, randomSource(seed))
    }
    const vector = VECTORS[random(VECTORS.length)]
    const errorCode = vector >= 10 ? random(8) : -1
    generated.state.set32(F.fault, 1)
    generated.state.set32(F.faultVector, vector)
    generated.state.set32(F.faultErrorCode, errorCode)
    const before = visible(generated)
    const untouched = generated.memory.ram.slice()
    const what = `round ${round}, vector ${vector}`
    if (enter(generated.state.base)) {
      entered++
      deliver(plain, vector, errorCode, KIND_EXCEPTION)
      assert.deepEqual(visible(generated), visible(plain), what)
      assert.deepEqual(generated.memory.ram, plain.memory.ram, what)
    } else {
      assert.deepEqual(visible(generated), before, what)
      assert.equal(generated.state.get32(F.faultErrorCode) | 0, errorCode)
      assert.deepEqual(generated.memory.ram, untouched, what)
    }
  }
  assert.ok(entered > rounds / 4, `${entered} of ${rounds} took the fast way`)
}
