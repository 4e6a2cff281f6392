/** Runs a vCPU: interprets decoded blocks, and regions of translated code where a translator has put them. */
import {
  ACTIVITY_DECODING,
  ACTIVITY_EXCEPTION,
  ACTIVITY_FETCH,
  ACTIVITY_INTERPRETER,
  ACTIVITY_INTERRUPT,
  ACTIVITY_MEMORY,
  ACTIVITY_SEGMENT,
  ACTIVITY_TRANSLATING,
  FIRST_SERVICE_ACTIVITY,
} from '../../cpu/activity.ts'
import { EVENT_SHUTDOWN } from '../../cpu/events.ts'
import { setFault } from '../../cpu/faults.ts'
import { fetchPhysical, knownFetch, loadSlow, probeWrite, storeSlow, tryFillTlb } from '../../cpu/memory-access.ts'
import { MODE_BREAKPOINTS, MODE_SEGMENTED, MODE_SINGLE_STEP } from '../../cpu/mode.ts'
import { segmentCheck } from '../../cpu/segment-check.ts'
import { services } from '../../cpu/services/index.ts'
import { CS, F } from '../../cpu/state.ts'
import { dropFrame, dropFrames } from '../../cpu/translation.ts'
import { MOST_DEVICE_ACCESSES, type Vcpu } from '../../cpu/vcpu.ts'
import type { Decoded } from '../../isa/decoder.ts'
import type { Form } from '../../isa/encoding.ts'
import type { Mode } from '../../isa/semantics.ts'
import { FRAME_CODE, type PhysicalMemory } from '../../memory/physical.ts'
import { CodeMarks } from '../code-marks.ts'
import type { CodeStore } from '../code-store.ts'
import type { Engine, Exit } from '../contract.ts'
import { clearJumps } from '../jump-table.ts'
import { CodeLibrary, SMALL_FUNCTION, type Unit } from '../library.ts'
import { takesSegmentChecks, type Usage } from '../semantics.ts'
import { IN_TYPESCRIPT, slowPathUnits } from '../slow-paths.ts'
import { compileOptimised } from '../tiering.ts'
import { type Block, BlockCache, type BlockSource } from './blocks.ts'
import {
  faultUnit,
  handlerUnit,
  keyOfShape,
  keyParts,
  shapeBits,
  shapeFromText,
  shapeOf,
  shapeOfKey,
  shapeText,
  usageOf,
} from './handlers.ts'
import { HOT_SHAPES } from './hot-shapes.ts'
import { type InlineHandler, mainUnit, RUN_BUDGET, RUN_FAULT, RUN_FETCH_FAULT } from './main.ts'
import { type PreparedHandler, readPrepared, writePrepared } from './prepared.ts'
import { ShapeTable } from './shape-table.ts'
import { WARM_SHAPES } from './warm-shapes.ts'

/** Table indices from here on are regions; below are handlers. */
export const FIRST_REGION = 16384
const TABLE_SIZE = 65536

/**
 * How often a run enters the main function, at most; the ordinary ones do so a few hundred times. A guest that faults or
 * steps through all its instructions takes microseconds for each, and one whose interrupts are acknowledged by themselves
 * and delivered again at once executes none at all: neither may keep the caller waiting.
 */
const MOST_TURNS = 2000

/** Counters of what a processor did. */
export interface EngineStatistics {
  /** Guest instructions executed. */
  instructions: number
  /** How often the main function came back, by why. */
  budgetExits: number
  faultExits: number
  eventExits: number
  handlers: number
  decodedInstructions: number
  invalidations: number
  flushes: number
}

/** The name of a handler's function. */
const handlerName = (form: Form, key: number): string => `${form.instruction.mnemonic} ${key}`

/** A slice of so many instructions says something of where the guest spends its time. */
const LONG_SLICE = 20_000

/** The interpreter, and the ground under a translator. */
export class Interpreter implements Engine, BlockSource {
  readonly name: 'interpreter' | 'translator' = 'interpreter'
  readonly vcpu: Vcpu
  readonly memory: PhysicalMemory
  readonly library: CodeLibrary
  readonly table: WebAssembly.Table
  readonly blocks: BlockCache
  /** Which bytes of frames code was decoded from. */
  readonly marks: CodeMarks
  /** Frames some of whose marks may be of code that is there no more. */
  private readonly staleMarks = new Set<number>()
  readonly statistics = { budgetExits: 0, faultExits: 0, eventExits: 0, handlers: 0 }
  /** Every block is reported as hot before it is executed the first time. */
  eager = false
  /** What a hot block is reported to. */
  onHotBlock: ((block: Block) => void) | undefined
  /** Told of a region that was entered as often as it was to be: src/memory/layout.ts, REGION_HEAT_BASE. */
  onHotRegion: ((index: number) => void) | undefined
  /** A region, by its index, was entered where the processor is not what it was made for. */
  onUnfitRegion: ((index: number) => void) | undefined
  /** Told where a long slice ended for want of budget: the address in memory 1. */
  onLongSlice: ((address: number) => void) | undefined
  /** Called before each run. */
  beforeRun: (() => void) | undefined
  /** Told when everything decoded was dropped. */
  onFlush: (() => void) | undefined
  /**
   * Told that bytes `first` to `last` of the frame at an address in memory 1 are about to be written. True: there is still code made
   * of what the frame holds.
   */
  onCodeWritten: ((frameAddress: number, first: number, last: number) => boolean) | undefined
  private readonly byShape = new ShapeTable()
  private readonly byFault = new Map<number, number>()
  private nextHandler = 1
  /** The first handler that is not part of the main function. */
  private readonly firstMade: number
  /**
   * From so many handlers on, all that are not part of the main function are dropped before the next block is decoded: a
   * guest that tries every form with every prefix must not fill the table. Far below what fits, because a block and
   * regions may bring thousands at once.
   */
  handlerLimit = FIRST_REGION / 2
  /** How each handler's instruction uses flags, memory and the rest, by index: an object for each, which stands for its shape. */
  readonly usages: Usage[] = []
  /** The key of each handler's shape, by index. */
  private readonly keys: number[] = []
  private readonly interpret: (base: number) => number

  /** @param store where code is kept from one process to the next */
  constructor(vcpu: Vcpu, store?: CodeStore) {
    this.vcpu = vcpu
    this.memory = vcpu.memory
    this.table = new WebAssembly.Table({ element: 'anyfunc', initial: TABLE_SIZE })
    this.library = new CodeLibrary(this.memory, this.table, name => this.external(name), vcpu.activity)
    this.blocks = new BlockCache(this.memory, this)
    this.marks = new CodeMarks(this.memory.cpuMemory.buffer)
    this.memory.observer = {
      codeWritten: (frame, first, last) => this.codeWritten(frame, first, last),
      frameChanged: frame => dropFrame(vcpu, frame, false),
      framesChanged: (first, count, writesOnly) => dropFrames(vcpu, first, count, writesOnly),
    }
    const kept = store && this.restore(store)
    this.firstMade = kept?.firstMade ?? 1
    if (kept) {
      this.interpret = kept.interpret
      return
    }
    const inline = this.inlineHandlers()
    this.firstMade = this.nextHandler
    const bytes = this.library.assemble([...slowPathUnits(vcpu.state.base), mainUnit(inline)], store !== undefined)
    const main = compileOptimised(() => this.library.load(bytes, []))
    this.interpret = main.get('interpret') as unknown as (base: number) => number
    if (store) this.prepare(store, bytes)
  }

  /** What a store has for this machine: the sizes of its memories are in the modules. */
  private get storeName(): string {
    return `interpreter-${this.memory.size}-${this.memory.arena.limit}`
  }

  /** Makes what is needed from what an earlier process left. */
  private restore(store: CodeStore): { interpret: (base: number) => number; firstMade: number } | undefined {
    const bytes = store.read(this.storeName)
    const prepared = bytes && readPrepared(bytes)
    if (!prepared) return undefined
    const load = (name: string, code: Uint8Array<ArrayBuffer>, own: string[], compile: () => WebAssembly.Module) => {
      const fullName = `${this.storeName}-${name}`
      const module = store.module?.(fullName, code, compile) ?? compile()
      const made = this.library.load(code, own, () => module)
      const small = made.get(SMALL_FUNCTION)
      if (small) this.keepers.push(() => store.keepModule?.(fullName, module, code, small))
      return made
    }
    const plain = (code: Uint8Array<ArrayBuffer>) => new WebAssembly.Module(code)
    const main = load('main', prepared.main, [], () => compileOptimised(() => plain(prepared.main)))
    for (const { key, usage } of prepared.inline) this.note(key, usage, this.nextHandler++)
    const firstMade = this.nextHandler
    const names = prepared.handlers.map(({ name }) => name)
    const made = load('others', prepared.others, names, () => plain(prepared.others))
    for (const { key, name, usage } of prepared.handlers) this.note(key, usage, this.install(made.get(name)!))
    return { interpret: main.get('interpret') as unknown as (base: number) => number, firstMade }
  }

  /** Keep the machine code of what came from a store. */
  private readonly keepers: (() => void)[] = []

  /** Lets the store have the machine code that there is by now. */
  keepModules(): void {
    for (const keep of this.keepers) keep()
  }

  /** Leaves a store what a later process needs. @param main the module of the main function */
  private prepare(store: CodeStore, main: Uint8Array<ArrayBuffer>): void {
    const inline = this.keys.slice(1, this.firstMade).map((key, i) => ({ key, name: '', usage: this.usages[i + 1] }))
    const shapes = WARM_SHAPES.map(shapeFromText).filter(shape => shape !== undefined)
    const handlers: PreparedHandler[] = []
    const units: Unit[] = []
    for (const shape of shapes) {
      const key = keyOfShape(shape)
      if (this.byShape.get(...keyParts(key)) !== 0) continue
      const usage = usageOf(shape)
      const unit = handlerUnit(handlerName(shape.form, key), shape, usage)
      units.push(unit)
      handlers.push({ key, name: unit.name, usage })
    }
    store.write(this.storeName, writePrepared({ main, inline, others: this.library.assemble(units, true), handlers }))
  }

  /** Handlers that are part of the main function: the first indices are theirs. */
  private inlineHandlers(): InlineHandler[] {
    const handlers: InlineHandler[] = []
    for (const text of HOT_SHAPES) {
      const shape = shapeFromText(text)
      if (!shape) continue
      const index = this.nextHandler++
      this.note(keyOfShape(shape), usageOf(shape), index)
      handlers.push({ shape, index })
    }
    return handlers
  }

  private note(key: number, usage: Usage, index: number): void {
    this.usages[index] = usage
    this.keys[index] = key
    if (usage.jumps || usage.endsBlock) this.blocks.ends[index] = 1
    this.byShape.set(...keyParts(key), index)
  }

  /**
   * How often each shape of instruction was executed by the interpreter, as text, most often first: what
   * src/engines/interpreter/hot-shapes.ts is made from. Counts only while {@link BlockCache.heat} is at its highest.
   */
  profile(): [shape: string, count: number][] {
    const counts = new Map<number, number>()
    for (const [block, entered] of this.blocks.entries()) {
      for (const handler of this.blocks.handlersOf(block)) counts.set(handler, (counts.get(handler) ?? 0) + entered)
    }
    return [...counts]
      .filter(([index]) => this.keys[index] !== undefined)
      .map(([index, count]): [string, number] => [shapeText(shapeOfKey(this.keys[index])), count])
      .sort((a, b) => b[1] - a[1])
  }

  /** TypeScript functions that generated code calls. */
  private external(name: string): CallableFunction {
    const cpu = this.vcpu
    const { activity } = cpu
    switch (name) {
      case `${IN_TYPESCRIPT}loadSlow`:
        return (low: number, high: number, size: number) => {
          const before = activity.enter(ACTIVITY_MEMORY)
          loadSlow(cpu, low, high, size)
          activity.leave(before)
        }
      case `${IN_TYPESCRIPT}loadForWriteSlow`:
        return (low: number, high: number, size: number) => {
          const before = activity.enter(ACTIVITY_MEMORY)
          probeWrite(cpu, low, high, size)
          if (!cpu.state.get32(F.fault)) loadSlow(cpu, low, high, size)
          activity.leave(before)
        }
      case `${IN_TYPESCRIPT}storeSlow`:
        return (low: number, high: number, size: number) => {
          const before = activity.enter(ACTIVITY_MEMORY)
          storeSlow(cpu, low, high, size)
          activity.leave(before)
        }
      case `${IN_TYPESCRIPT}probeWrite`:
        return (low: number, high: number, size: number) => {
          const before = activity.enter(ACTIVITY_MEMORY)
          probeWrite(cpu, low, high, size)
          activity.leave(before)
        }
      case `${IN_TYPESCRIPT}fillTlb`:
        return (low: number, high: number, size: number, write: number) => {
          const before = activity.enter(ACTIVITY_MEMORY)
          const filled = tryFillTlb(cpu, low, high, size, write)
          activity.leave(before)
          return filled
        }
      case 'segmentCheck':
        return (segment: number, offset: number, size: number, write: number) => {
          const before = activity.enter(ACTIVITY_SEGMENT)
          segmentCheck(cpu, segment, offset, size, write !== 0)
          activity.leave(before)
        }
      case `${IN_TYPESCRIPT}fetchPhysical`:
        return (low: number, high: number) => {
          const before = activity.enter(ACTIVITY_FETCH)
          const address = this.withinLimit(0) ? fetchPhysical(cpu, low, high) : -1
          activity.leave(before)
          return address
        }
      case 'decodeBlock':
        return (address: number) => activity.during(ACTIVITY_DECODING, () => this.decodeBlock(address))
      case 'blockIsHot':
        return (record: number) => {
          if (!this.onHotBlock) return
          const before = activity.enter(ACTIVITY_TRANSLATING)
          this.onHotBlock(this.blocks.find(record))
          activity.leave(before)
        }
      case 'regionIsHot':
        return (index: number) => activity.during(ACTIVITY_TRANSLATING, () => this.onHotRegion?.(index))
      case 'regionIsUnfit':
        return (index: number) => this.onUnfitRegion?.(index)
    }
    if (name.startsWith('service:')) {
      const service = services[name.slice(8)]
      const number = FIRST_SERVICE_ACTIVITY + Object.keys(services).indexOf(name.slice(8))
      if (service)
        return (...args: number[]) => {
          const before = activity.enter(number)
          service.run(cpu, ...args)
          activity.leave(before)
        }
    }
    throw new Error(`generated code calls ${name}, which nothing provides`)
  }

  /** @returns the first record; 0 with F.fault set; 1: look again, there is a region now */
  private decodeBlock(address: number): number {
    const { vcpu, blocks } = this
    const { state } = vcpu
    const record = this.withinLimit(0) ? blocks.decode(address, state.get32(F.mode), this.allowedBytes()) : 0
    if (!this.eager || record === 0) return record
    const block = blocks.find(record)
    if (block.limited) return record
    if (this.onHotBlock) vcpu.activity.during(ACTIVITY_TRANSLATING, () => this.onHotBlock!(block))
    return block.region ? 1 : record
  }

  handler(decoded: Decoded, mode: Mode, modeClass: number, stackSize: 16 | 32 | 64, segmented: boolean): number {
    segmented = takesSegmentChecks(segmented, mode, decoded.segment)
    const bits = shapeBits(decoded, modeClass, stackSize, segmented)
    let index = this.byShape.get(bits, decoded.form.index)
    if (index === 0) {
      const shape = shapeOf(decoded, mode, stackSize, segmented)
      const key = keyOfShape(shape)
      const name = handlerName(decoded.form, key)
      const usage = usageOf(shape)
      index = this.install(this.library.compile([handlerUnit(name, shape, usage)], false).get(name)!)
      this.note(key, usage, index)
    }
    return index
  }

  faultHandler(vector: number, errorCode: number): number {
    let index = this.byFault.get(vector)
    if (index === undefined) {
      const name = `fault ${vector}`
      index = this.install(this.library.compile([faultUnit(name, vector, errorCode)], false).get(name)!)
      this.byFault.set(vector, index)
    }
    return index
  }

  private install(handler: CallableFunction): number {
    this.statistics.handlers++
    const index = this.nextHandler++
    if (index >= FIRST_REGION) throw new Error('more kinds of instructions than handlers fit the table')
    this.table.set(index, handler)
    return index
  }

  get full(): boolean {
    return this.nextHandler >= this.handlerLimit
  }

  /** Forgets the handlers outside of the main function. Nothing decoded may use them any more. */
  private dropHandlers(): void {
    for (let index = this.firstMade; index < this.nextHandler; index++) {
      this.table.set(index, null)
      this.blocks.ends[index] = 0
    }
    this.byShape.keepBelow(this.firstMade)
    this.byFault.clear()
    this.usages.length = this.firstMade
    this.keys.length = this.firstMade
    this.nextHandler = this.firstMade
  }

  /** Bytes from RIP to the limit of CS, with the byte there; Infinity where nothing is limited. */
  private allowedBytes(): number {
    const { state } = this.vcpu
    const limit = state.get32(F.segmentLimit, CS)
    if (!(state.get32(F.mode) & MODE_SEGMENTED) || limit === 0xffffffff) return Infinity
    return limit - (state.get32(F.rip) + state.getHigh(F.rip) * 0x100000000) + 1
  }

  /** Whether the byte of code at RIP + distance lies within the limit of CS; else #GP(0) is noted. */
  private withinLimit(distance: number): boolean {
    const within = distance < this.allowedBytes()
    if (!within) setFault(this.vcpu, 13, 0)
    return within
  }

  fetch(distance: number): number {
    const { state } = this.vcpu
    if (!this.withinLimit(distance)) return -1
    const base = state.get64(F.segmentBase, CS)
    let linear = BigInt.asUintN(64, state.get64(F.rip) + base + BigInt(distance))
    if ((state.get32(F.mode) & 4) === 0) linear &= 0xffffffffn
    const address = fetchPhysical(this.vcpu, Number(linear & 0xffffffffn) | 0, Number(linear >> 32n) | 0)
    return state.get32(F.fault) ? -1 : address >>> 0
  }

  /**
   * Address in memory 1 of a page of code by its number counted from RIP's, if it is known without a walk of the page tables; else -1.
   */
  fetchedPage(number: number): number {
    const { state } = this.vcpu
    const linear = BigInt.asUintN(64, state.get64(F.rip) + state.get64(F.segmentBase, CS) + BigInt(number) * 4096n)
    const wide = (state.get32(F.mode) & 4) !== 0
    const high = wide ? Number(linear >> 32n) | 0 : 0
    return knownFetch(this.vcpu, Number(linear & 0xfffff000n) | 0, high)
  }

  /** Called when what a frame's regions were made of is to be marked anew. */
  onMarkCode: ((frameAddress: number) => void) | undefined

  protect(frameAddress: number): void {
    const { frames } = this.memory
    for (const frame of this.memory.framesAt(frameAddress >>> 0)) {
      if (frames[frame] & FRAME_CODE) continue
      frames[frame] |= FRAME_CODE
      dropFrame(this.vcpu, frame, true)
    }
  }

  flushed(): void {
    clearJumps(this.memory.cpuMemory.buffer)
    const { frames, frameCount } = this.memory
    for (let i = 0; i < frameCount; i++) {
      if (!(frames[i] & FRAME_CODE)) continue
      frames[i] &= ~FRAME_CODE
      this.marks.clear(frames[i] >>> 12)
    }
    this.onFlush?.()
    if (this.full) this.dropHandlers()
  }

  private codeWritten(frame: number, first: number, last: number): void {
    const address = this.memory.frames[frame] & ~0xfff
    const number = address >>> 12
    if (!this.marks.has(number, first, last)) return
    const before = this.blocks.invalidations
    const blocksLeft = this.blocks.invalidate(address, first, last)
    const regionsLeft = this.onCodeWritten?.(address, first, last) ?? false
    if (!blocksLeft && !regionsLeft) {
      this.memory.frames[frame] &= ~FRAME_CODE
      this.marks.clear(number)
    } else if (this.blocks.invalidations !== before) {
      // Code that was written will mostly be code again.
      this.staleMarks.add(number)
    } else if (this.staleMarks.delete(number)) {
      this.marks.clear(number)
      this.blocks.markAll(address)
      this.onMarkCode?.(address)
    }
  }

  /** Translated code was dropped: what was found of it by linear address is to be found anew. */
  newEpoch(): void {
    const { state } = this.vcpu
    state.set32(F.epoch, state.get32(F.epoch) + 1)
  }

  private flushWanted = false
  /** Bytes of WebAssembly that had been compiled when everything was last dropped. */
  private compiledBefore = 0
  /**
   * Bytes of WebAssembly after which all translated code is dropped, to be made anew of what is hot then: V8 keeps a multiple
   * of them in machine code, and a guest that never executes the same for long must not fill the host's memory.
   */
  codeLimit = 64 << 20

  /** Drops everything decoded and translated at the next opportunity. */
  flushSoon(): void {
    this.flushWanted = true
  }

  run(budget: number): Exit {
    const { vcpu } = this
    const { state } = vcpu
    let left = budget
    vcpu.deviceAccesses = 0
    this.beforeRun?.()
    for (let turns = 0; ; turns++) {
      if (this.flushWanted || this.library.statistics.bytes - this.compiledBefore > this.codeLimit) {
        this.flushWanted = false
        this.compiledBefore = this.library.statistics.bytes
        this.blocks.flush()
      }
      if (state.get32(F.events) && !this.interruptsWait()) {
        const before = vcpu.activity.enter(ACTIVITY_INTERRUPT)
        vcpu.takeEvent()
        vcpu.activity.leave(before)
      }
      if (vcpu.shutdown !== undefined || state.get32(F.events) & EVENT_SHUTDOWN) {
        return { kind: 'shutdown', reason: vcpu.shutdown ?? 'the processor is in shutdown' }
      }
      if (state.get32(F.halted)) return { kind: 'halt' }
      if (vcpu.machine.stopRequested) return { kind: 'stopped' }
      if (left <= 0 || turns >= MOST_TURNS || vcpu.deviceAccesses >= MOST_DEVICE_ACCESSES) return { kind: 'budget' }
      left -= this.slice(left)
    }
  }

  /** Whether the interrupt shadow holds back all that is pending. */
  private interruptsWait(): boolean {
    return this.vcpu.state.get32(F.interruptShadow) !== 0
  }

  /**
   * Executes up to `budget` instructions. @returns how many it were; one that faulted counts, so that time goes on for a
   * guest that does nothing else
   */
  private slice(budget: number): number {
    const { vcpu } = this
    const { state } = vcpu
    const mode = state.get32(F.mode)
    const careful = mode & (MODE_SINGLE_STEP | MODE_BREAKPOINTS) || this.interruptsWait()
    if (mode & MODE_BREAKPOINTS && vcpu.instructionBreakpoint()) {
      vcpu.instructions++
      return 1
    }
    const hidden = careful ? vcpu.beginInstruction() : 0
    const allowed = careful ? 1 : budget
    this.spent = vcpu.instructions
    this.allowed = allowed
    state.set32(F.budget, allowed)
    const before = vcpu.activity.enter(ACTIVITY_INTERPRETER)
    const reason = this.interpret(state.base)
    vcpu.activity.leave(before)
    const faulted = reason === RUN_FAULT || reason === RUN_FETCH_FAULT
    const executed = allowed - (state.get32(F.budget) | 0) + (reason === RUN_FETCH_FAULT ? 1 : 0)
    vcpu.instructions = this.spent + executed
    this.allowed = 0
    if (careful) vcpu.endInstruction(hidden, !faulted && executed > 0)
    if (faulted) {
      this.statistics.faultExits++
      vcpu.activity.enter(ACTIVITY_EXCEPTION)
      vcpu.deliverFault()
      vcpu.activity.leave(before)
    } else if (reason === RUN_BUDGET) {
      this.statistics.budgetExits++
      if (executed >= LONG_SLICE) this.noteWhere()
    } else this.statistics.eventExits++
    return executed
  }

  private noteWhere(): void {
    if (!this.onLongSlice) return
    const { state } = this.vcpu
    const page = this.fetchedPage(0)
    if (page !== -1) this.onLongSlice((page >>> 0) + ((state.get32(F.rip) + state.get32(F.segmentBase, CS)) & 0xfff))
  }

  private spent = 0
  private allowed = 0

  /** Guest instructions executed up to now, also in the middle of {@link run}: for clocks that count them. */
  get instructions(): number {
    if (this.allowed === 0) return this.vcpu.instructions
    return this.spent + this.allowed - (this.vcpu.state.get32(F.budget) | 0)
  }
}
