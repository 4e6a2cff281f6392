/** What the tests of generated ways into and out of handlers share: they compare with the same in TypeScript. */
import assert from 'node:assert/strict'
import { EVENT_CAREFUL } from '../cpu/events.ts'
import { deliver, KIND_EXCEPTION } from '../cpu/exceptions.ts'
import { F } from '../cpu/state.ts'
import { poke64, testVcpu } from '../cpu/test-vcpu.ts'
import type { Vcpu } from '../cpu/vcpu.ts'
import { randomSource } from '../isa/assembler.ts'
import { type Routine, routineFunction } from '../isa/semantics.ts'
import { CodeLibrary } from './library.ts'
import { slowPathUnits } from './slow-paths.ts'

/** A whole number from 0 on, below another. */
export type Random = (below: number) => number

/** Linear addresses, mapped as they are, each in a page of its own. */
export const GDT = 0x10000
export const IDT = 0x11000
export const TSS = 0x12000
export const SYSTEM_STACK = 0x13000
export const USER_STACK = 0x14000
export const CODE = 0x15000

/** Selectors. */
export const SYSTEM_CODE = 8
export const SYSTEM_DATA = 16
export const USER_DATA = 24
export const USER_CODE = 32

/** One bit turned over, sometimes. */
export const spoil = (random: Random, value: bigint, bits: number, often = 25): bigint =>
  random(often) ? value : value ^ (1n << BigInt(random(bits)))

/** Fills the GDT: flat segments, accessed, some of which may be spoilt; those of code are of 64 or of 32 bits. */
export function pokeDescriptors(cpu: Vcpu, random: Random, mode: 'long' | 'protected'): void {
  const long = mode === 'long'
  const descriptors = [
    [SYSTEM_CODE, long ? 0x00af9b000000ffffn : 0x00cf9b000000ffffn],
    [SYSTEM_DATA, 0x00cf93000000ffffn],
    [USER_DATA, 0x00cff3000000ffffn],
    [USER_CODE, long ? 0x00affb000000ffffn : 0x00cffb000000ffffn],
  ] as const
  for (const [selector, words] of descriptors) poke64(cpu, GDT + selector, spoil(random, words, 64))
}

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
