/**
 * Runs random programs on several engines with several ways of slicing, and compares everything at the same instruction
 * counts and at every exception.
 */
import { F, RSP } from '../../../src/cpu/state.ts'
import { type Random, randomSource } from '../../../src/isa/assembler.ts'
import { processorDifferences } from '../compare.ts'
import { describeWindow } from '../window.ts'
import { CODE_FRAME, DATA_PAGES, DATA_START, enterProgram, MODES, PAGE_TABLES, RAM, type WorldMode } from './layout.ts'
import { makeProgram, type Program } from './program.ts'
import { World, type WorldEngine } from './world.ts'

/** How a run gets from one comparison to the next. */
export interface Slicing {
  readonly name: string
  /** The next budget, at most `left`. */
  next(left: number, random: Random): number
  /** Done between slices. */
  between?(world: World, random: Random): void
}

export const WHOLE: Slicing = { name: 'whole', next: left => left }
export const STEPS: Slicing = { name: 'steps', next: () => 1 }
export const RANDOM: Slicing = { name: 'random', next: (left, random) => Math.min(left, 1 + random(20)) }
/** Translations and code are forgotten all the time: nothing of it may show. */
export const FORGETTING: Slicing = {
  name: 'forgetting',
  next: (left, random) => Math.min(left, 1 + random(60)),
  between(world, random) {
    switch (random(4)) {
      case 0:
        world.flushTranslations()
        break
      case 1:
        world.rewriteCode(random(4 * 4096 - 64), 1 + random(64))
        break
      case 2:
        if (random(8) === 0) world.engine.flushSoon()
    }
  },
}

/** An engine and a way of slicing. */
export interface Variant {
  readonly engine: WorldEngine
  readonly slicing: Slicing
}

const INTERPRETER: WorldEngine = { name: 'interpreter', heat: undefined }
const TRANSLATOR: WorldEngine = { name: 'translator', heat: 1 }
const CAREFUL: WorldEngine = { name: 'careful translator', heat: 1, careful: true }
const AUTO: WorldEngine = { name: 'auto', heat: 3 }

/** The first is what the others are compared with. */
export const VARIANTS: readonly Variant[] = [
  { engine: INTERPRETER, slicing: STEPS },
  { engine: INTERPRETER, slicing: WHOLE },
  { engine: TRANSLATOR, slicing: WHOLE },
  { engine: TRANSLATOR, slicing: FORGETTING },
  { engine: CAREFUL, slicing: WHOLE },
  { engine: CAREFUL, slicing: FORGETTING },
  { engine: AUTO, slicing: WHOLE },
  { engine: AUTO, slicing: RANDOM },
]

/** A place at which runs are compared. */
interface Checkpoint {
  readonly why: string
  readonly state: Uint8Array
  readonly hash: number
  readonly instructions: number
  readonly rip: bigint
}

/** The worlds of one process: engines are expensive to make and are used again. */
export class Bench {
  private readonly worlds = new Map<string, World>()

  world(engine: WorldEngine): World {
    let world = this.worlds.get(engine.name)
    if (!world) this.worlds.set(engine.name, (world = new World(engine)))
    return world
  }

  /** Runs one program on all variants. @returns what differs, for people, or undefined */
  check(seed: number, mode: WorldMode = MODES[seed % MODES.length], variants = VARIANTS): string | undefined {
    const random = randomSource(seed)
    const program = makeProgram(mode, 20 + random(120), random)
    let expected: Checkpoint[] | undefined
    for (const variant of variants) {
      const run = new ProgramRun(this.world(variant.engine), program, seed, variant.slicing)
      const seen = run.run()
      if (!expected) {
        expected = seen
        continue
      }
      const at = firstDifference(expected, seen)
      if (at >= 0) return this.describe(program, seed, variants[0], variant, at, expected, seen)
    }
    this.instructions += expected?.at(-1)?.instructions ?? 0
    this.checkpoints += expected?.length ?? 0
    return undefined
  }

  /** Instructions that all variants agreed on, and places of comparison. */
  instructions = 0
  checkpoints = 0

  private describe(
    program: Program,
    seed: number,
    first: Variant,
    other: Variant,
    at: number,
    expected: Checkpoint[],
    seen: Checkpoint[],
  ): string {
    const [a, b] = [expected[at], seen[at]]
    const title = `seed ${seed}, ${program.mode.name}: ${other.engine.name} (${other.slicing.name}) at checkpoint ${at}`
    const brief = (c: Checkpoint | undefined) =>
      c ? `${c.why} after ${c.instructions} instructions at ${c.rip.toString(16)}` : 'nothing'
    const lines = [title, `expected ${brief(a)}`, `seen     ${brief(b)}`]
    // Both once more, stopped there.
    const x = this.world(first.engine)
    const run = new ProgramRun(x, program, seed, first.slicing)
    const trace: bigint[] = []
    run.onStep = index => {
      if (index === at) trace.push(x.vcpu.rip)
    }
    run.run(at)
    if (first.engine.name === other.engine.name) {
      if (a && b) lines.push(...stateDifferences(x, a, b))
    } else {
      const y = this.world(other.engine)
      new ProgramRun(y, program, seed, other.slicing).run(at)
      lines.push(...processorDifferences(x.vcpu, y.vcpu), ...memoryDifferences(x, y))
      if (lines.length === 3) {
        lines.push('not a second time: what ran before matters')
        if (a && b) lines.push(...stateDifferences(x, a, b))
      }
    }
    lines.push('the last instructions:', describeWindow(x.vcpu, trace.slice(-60)))
    return lines.join('\n')
  }
}

function stateDifferences(world: World, a: Checkpoint, b: Checkpoint): string[] {
  const view = (c: Checkpoint) => {
    const copy = world.vcpu.state.bytes.slice()
    copy.set(c.state)
    return new Uint32Array(copy.buffer)
  }
  const [x, y] = [view(a), view(b)]
  const lines: string[] = []
  for (const field of Object.values(F)) {
    for (let i = 0; i < field.count; i++) {
      const word = (field.offset + i * field.stride) >> 2
      const words = field.type === 'i32' ? 1 : field.type === 'i64' ? 2 : 4
      for (let k = 0; k < words; k++) {
        if (x[word + k] !== y[word + k]) {
          lines.push(`${field.name}[${i}].${k}: ${x[word + k].toString(16)} and ${y[word + k].toString(16)}`)
        }
      }
    }
  }
  if (a.hash !== b.hash) lines.push('memory differs')
  return lines
}

function memoryDifferences(x: World, y: World): string[] {
  const lines: string[] = []
  for (let i = 0; i < RAM && lines.length < 8; i += 8) {
    const [a, b] = [x, y].map(w => Buffer.from(w.memory.ram.slice(i, i + 8)).toString('hex'))
    if (a !== b) lines.push(`memory at ${i.toString(16)}: ${a} and ${b}`)
  }
  return lines
}

function firstDifference(a: readonly Checkpoint[], b: readonly Checkpoint[]): number {
  for (let i = 0; i < Math.max(a.length, b.length); i++) {
    const [x, y] = [a[i], b[i]]
    if (!x || !y || x.why !== y.why || x.instructions !== y.instructions || x.rip !== y.rip || x.hash !== y.hash)
      return i
    if (Buffer.compare(x.state, y.state) !== 0) return i
  }
  return -1
}

/** Instructions after which a program is given up. */
const MOST_INSTRUCTIONS = 3000
/** Exceptions after which it is given up. */
const MOST_EXCEPTIONS = 60
const PAGE_FAULT = 14
const END_OF_PROGRAM = 0x41

/** One run of a program. All that is random here depends on the seed and instruction counts alone. */
class ProgramRun {
  private readonly world: World
  private readonly program: Program
  private readonly slicing: Slicing
  /** What the program meets: the same for all variants. */
  private readonly fate: Random
  /** What only this variant does. */
  private readonly own: Random
  private readonly checkpoints: Checkpoint[] = []
  private readonly demand: boolean
  private readonly interrupts: boolean
  onStep: ((index: number) => void) | undefined

  constructor(world: World, program: Program, seed: number, slicing: Slicing) {
    this.world = world
    this.program = program
    this.slicing = slicing
    this.fate = randomSource(seed ^ 0x2545f491)
    this.own = randomSource(seed ^ 0x6c078965)
    const { mode } = program
    // Pages appear when they are touched, and disappear: every access faults now and then.
    this.demand = mode.cpl === 3 && this.fate(3) === 0
    this.interrupts = this.fate(2) === 0
  }

  /** @param last the checkpoint after which to stop */
  run(last = Number.POSITIVE_INFINITY): Checkpoint[] {
    const { world, program, fate, checkpoints } = this
    const { mode } = program
    world.reset(mode, program.code, address => (address * 0x9e3779b1) >>> 24)
    this.restart(program.anchors[0])
    if (this.demand) this.unmap()
    let target = 0
    let exceptions = 0
    while (checkpoints.length <= last && target < MOST_INSTRUCTIONS && exceptions < MOST_EXCEPTIONS) {
      const gap = fate(4) ? 1 + fate(100) : 1 + fate(8)
      target = world.vcpu.instructions + gap
      const why = this.runTo(target)
      this.note(why)
      if (why === 'budget') {
        if (this.interrupts && fate(3) === 0) world.interrupt()
        else if (this.demand && fate(2) === 0) this.unmap()
        else if (fate(12) === 0) world.flushTranslations()
        continue
      }
      exceptions++
      if (why === `halt ${END_OF_PROGRAM}` || why === 'shutdown') break
      if (this.demand && why === `halt ${PAGE_FAULT}` && this.mapAndReturn()) continue
      world.wake()
      enterProgram(world.vcpu, mode)
      this.restart(program.anchors[fate(program.anchors.length)])
    }
    return checkpoints
  }

  private runTo(target: number): string {
    const { world, slicing, own } = this
    for (;;) {
      const left = target - world.vcpu.instructions
      if (left <= 0) return 'budget'
      this.onStep?.(this.checkpoints.length)
      const exit = world.engine.run(slicing.next(left, own))
      if (exit.kind === 'halt') return `halt ${world.haltedVector}`
      if (exit.kind !== 'budget') return exit.kind
      slicing.between?.(world, own)
    }
  }

  private restart(rip: number): void {
    const { vcpu } = this.world
    for (const [i, value] of this.program.registers(this.fate).entries()) vcpu.setRegister(i, value)
    vcpu.rip = BigInt(rip)
  }

  private unmap(): void {
    const { world, fate } = this
    for (let page = 0; page < DATA_PAGES; page++) if (fate(2)) world.setPresent(DATA_START / 4096 + page, false)
    world.flushTranslations()
  }

  /** Maps the page of a page fault and returns to the faulting instruction, as IRET would. False: it was no missing page. */
  private mapAndReturn(): boolean {
    const { world, program } = this
    const { vcpu, memory } = world
    const { state } = vcpu
    const page = Number(state.get64(F.cr2) >> 12n)
    const ia32e = program.mode.kind === 'long' || program.mode.kind === 'compatibility'
    const size = ia32e ? 8 : 4
    const stack = Number(state.get64(F.gpr, RSP))
    const word = (index: number) => {
      const low = memory.readNumber(stack + index * size, 4)
      return ia32e ? (BigInt(memory.readNumber(stack + index * size + 4, 4)) << 32n) | BigInt(low) : BigInt(low)
    }
    const index = page - DATA_START / 4096
    if (index < 0 || index >= DATA_PAGES || word(0) & 1n) return false
    world.setPresent(page, true)
    const [rip, flags, rsp] = [word(1), Number(word(3)), word(4)]
    world.wake()
    enterProgram(vcpu, program.mode)
    vcpu.rflags = flags
    vcpu.rip = rip
    vcpu.setRegister(RSP, rsp)
    vcpu.updateMode()
    return true
  }

  private note(why: string): void {
    const { vcpu, memory } = this.world
    const { state } = vcpu
    const bytes = new Uint8Array(COMPARED_BYTES)
    let at = 0
    for (const [offset, length] of COMPARED) {
      bytes.set(state.bytes.subarray(offset, offset + length), at)
      at += length
    }
    new DataView(bytes.buffer).setUint32(at, vcpu.rflags >>> 0)
    this.checkpoints.push({
      why,
      state: bytes,
      hash: hash(memory.ram),
      instructions: vcpu.instructions,
      rip: vcpu.rip,
    })
  }
}

const COMPARED: readonly [offset: number, length: number][] = [
  F.gpr,
  F.systemFlags,
  F.interruptShadow,
  F.segmentBase,
  F.segmentLimit,
  F.segmentSelector,
  F.segmentAttributes,
  F.cr0,
  F.cr2,
  F.cr3,
  F.cr4,
  F.xcr0,
  F.efer,
  F.cpl,
  F.mode,
  F.dr,
  F.fpr,
  F.fcw,
  F.fsw,
  F.ftw,
  F.fop,
  F.fip,
  F.fdp,
  F.fcs,
  F.fds,
  F.mxcsr,
  F.xmm,
  F.ymmHigh,
  F.events,
  F.halted,
].map(field => [field.offset, field.count * field.stride])
const COMPARED_BYTES = COMPARED.reduce((sum, [, length]) => sum + length, 0) + 4

/** A hash of memory, by words of those parts that programs reach. */
function hash(ram: Uint8Array): number {
  let value = 0
  const parts = [
    // The last-level page tables, and what lies between task state segment and supervisor's stack.
    ...PAGE_TABLES.map(({ base, bytes }) => [base, (RAM / 4096) * bytes]),
    [0xa000, 0x6000],
    [CODE_FRAME, 0x4000],
    [DATA_START, DATA_PAGES * 4096],
  ]
  for (const [start, length] of parts) {
    const words = new Int32Array(ram.buffer, ram.byteOffset + start, length >> 2)
    for (let i = 0; i < words.length; i++) value = (Math.imul(value, 31) + words[i]) | 0
  }
  return value
}
