/** A virtual processor: its state words, the memory and the machine around it, and what happens between instructions. */
import type { MachineInterface, VcpuSignals } from '../engines/contract.ts'
import { setMxcsr } from '../float/mxcsr.ts'
import { STATE_BASE, TLB_BASE } from '../memory/layout.ts'
import type { PhysicalMemory } from '../memory/physical.ts'
import { TLB_CLASSES, TLB_SIZE } from '../memory/tlb.ts'
import { ActivityMarker } from './activity.ts'
import { type SystemFeatures, systemFeatures } from './control-registers.ts'
import { matchInstruction, matchWatchpoints, watchedPage } from './debug.ts'
import {
  EVENT_CAREFUL,
  EVENT_DEBUG,
  EVENT_HALT,
  EVENT_INIT,
  EVENT_INTERRUPT,
  EVENT_NMI,
  EVENT_SHUTDOWN,
  EVENT_STARTUP,
  EVENT_STOP,
  EVENT_WAIT_FOR_STARTUP,
  SHADOW_MOV_SS,
} from './events.ts'
import { deliver, KIND_EXCEPTION, KIND_EXTERNAL } from './exceptions.ts'
import { EXTERNAL_NUMERIC_ERROR } from './faults.ts'
import { readFlags, writeFlags } from './flags.ts'
import { resetMsrs } from './msrs.ts'
import { ATTRIBUTE_P, ATTRIBUTE_S, CR0_CD, CR0_ET, CR0_NE, CR0_NW, DR6_BS, DR6_ONES, DR7_ONES } from './registers.ts'
import { CS, F, GDTR, IDTR, IF, LDTR, RDX, RF, StateView, TF, TR } from './state.ts'
import { dropFrame, flushTlb, initializeTlb, TlbUse } from './translation.ts'
import { updateMode } from './update-mode.ts'

/** What a vCPU is made with besides memory and machine. */
export interface VcpuOptions {
  /** CPUID's answer: [EAX, EBX, ECX, EDX], 32 bits each. Without it only leaf 0 with zeros exists. */
  cpuid?: (leaf: number, subleaf: number) => readonly [number, number, number, number]
  /** 32 random bits, for RDRAND and RDSEED. Inject a repeatable source for repeatable runs; without one they fail. */
  random32?: () => number
  /** Hypercalls by VMCALL or VMMCALL; false, or none, is #UD. */
  hypercall?: (cpu: Vcpu) => boolean
  /** Where this vCPU's state lies in memory 0. */
  stateBase?: number
  /** Application processors wait for a start-up IPI after reset. */
  bootstrap?: boolean
}

/** What a snapshot needs besides the state words and {@link PhysicalMemory}: plain values. */
export interface VcpuExtraState {
  msrs: [index: number, low: number, high: number][]
  pdptes: number[]
  nmiBlocked: boolean
  nmiPending: boolean
  interruptRequest: boolean
  startupVector: number
  pendingDebug: number
  shutdown: string | undefined
  instructions: number
}

/**
 * How many accesses to devices, or to what is neither RAM nor a device, a run of an engine ends after. Each takes up to
 * a microsecond, and one instruction may do hundreds (REP): a run that filled its budget with them would take seconds.
 */
export const MOST_DEVICE_ACCESSES = 4096

/** ES of the x87's status word. */
const X87_ERROR_SUMMARY = 0x80

/** One virtual processor. */
export class Vcpu implements VcpuSignals {
  readonly state: StateView
  readonly memory: PhysicalMemory
  readonly machine: MachineInterface
  readonly options: VcpuOptions
  /** All classes' TLB entries by words. */
  readonly tlb: Int32Array
  /** What this vCPU's thread does, for profiles. */
  readonly activity: ActivityMarker
  /** Which TLB entries are in use. */
  readonly tlbUse: TlbUse
  /** PAE's page-directory-pointer registers, low and high halves. */
  readonly pdptes: Int32Array
  /** MSRs without a field of their own: [low, high]. */
  readonly msrs = new Map<number, [low: number, high: number]>()
  /** Why the processor is in shutdown, a sentence for a human, or undefined. */
  shutdown: string | undefined
  /** Instructions executed since the start; engines keep it up to date at the end of each run. */
  instructions = 0
  /** INTR's level. */
  interruptRequest = false
  /** While NMIs wait until IRET, one of them is remembered. */
  nmiPending = false
  /** Accesses to what is no RAM since the engine began its run: {@link deviceAccessed}. No state: a run starts at 0. */
  deviceAccesses = 0
  /** The vector of the last start-up IPI. */
  startupVector = 0
  /** Bits of DR6 that the debug trap after the current instruction will report. */
  pendingDebug = 0
  /** A task switch has taken place: a fault that follows belongs to the new task, not to the instruction. */
  taskSwitched = false
  /** Whether DR7 enables any data breakpoint, so that pages they lie on never enter the TLB. */
  watchpoints = false
  /** Engines that keep translations of their own (virtual block addresses) hear here that the TLB lost entries. */
  onTlbFlush: (() => void) | undefined

  /** The instruction that is executed does not end in a single-step trap, though TF was set when it began. */
  stepSuppressed = false
  private steppedTrap = false
  private resumed = false
  private stepPrivilege = 0
  private known: SystemFeatures | undefined

  /** Results of a walk, of 64-bit reads and of stack arithmetic: see paging.ts, memory-access.ts. */
  pageRights = 0
  frame = 0
  low = 0
  high = 0
  /** The descriptor read last, and its linear address (segmentation.ts). */
  readonly descriptor = { low: 0, high: 0, addressLow: 0, addressHigh: 0 }

  constructor(memory: PhysicalMemory, machine: MachineInterface, options: VcpuOptions = {}) {
    this.memory = memory
    this.machine = machine
    this.options = options
    const { buffer } = memory.cpuMemory
    this.state = new StateView(buffer, options.stateBase ?? STATE_BASE)
    this.activity = new ActivityMarker(this.state)
    this.tlb = new Int32Array(buffer, TLB_BASE, (TLB_CLASSES * TLB_SIZE) >> 2)
    this.pdptes = this.state.i32.subarray(F.pdptes.offset >> 2, (F.pdptes.offset >> 2) + 8)
    this.tlbUse = new TlbUse(buffer)
    initializeTlb(this)
    this.reset()
  }

  /** The processor as after RESET# (SDM vol. 3, table 9-1). */
  reset(): void {
    this.state.bytes.fill(0)
    resetMsrs(this)
    this.initialize(0x60000000)
    this.state.set32(F.fcw, 0x40)
    this.state.set32(F.ftw, 0x5555)
    setMxcsr(this.state, 0x1f80)
    this.state.set32(F.xcr0, 1)
    this.state.set32(F.ignoreNumericError, this.machine.numericError ? 0 : 2)
    this.instructions = 0
  }

  /** What RESET# and INIT have in common; INIT keeps CR0.CD and NW. */
  private initialize(caching: number): void {
    const { state } = this
    for (let i = 0; i < 16; i++) state.setHalves(F.gpr, 0, 0, i)
    state.set32(F.gpr, this.options.cpuid?.(1, 0)[0] ?? 0x600, RDX)
    this.rflags = 2
    state.setHalves(F.rip, 0xfff0, 0)
    state.set32(F.cr0, CR0_ET | caching)
    state.setHalves(F.cr2, 0, 0)
    state.setHalves(F.cr3, 0, 0)
    state.set32(F.cr4, 0)
    state.set32(F.efer, 0)
    state.set32(F.cpl, 0)
    for (let i = 0; i < 6; i++) this.setSegment(i, 0, 0, 0xffff, ATTRIBUTE_P | ATTRIBUTE_S | 3)
    this.setSegment(CS, 0xf000, 0xffff0000, 0xffff, ATTRIBUTE_P | ATTRIBUTE_S | 3)
    this.setSegment(LDTR, 0, 0, 0xffff, ATTRIBUTE_P | 2)
    this.setSegment(TR, 0, 0, 0xffff, ATTRIBUTE_P | 11)
    this.setDescriptorTable(GDTR, 0, 0xffff)
    this.setDescriptorTable(IDTR, 0, 0xffff)
    for (let i = 0; i < 8; i++) state.setHalves(F.dr, 0, 0, i)
    state.set32(F.dr, DR6_ONES, 6)
    state.set32(F.dr, DR7_ONES, 7)
    state.set32(F.interruptShadow, 0)
    state.set32(F.halted, 0)
    state.set32(F.fault, 0)
    state.set32(F.events, this.interruptRequest ? EVENT_INTERRUPT : 0)
    this.pdptes.fill(0)
    this.shutdown = undefined
    this.nmiBlocked = false
    this.nmiPending = false
    this.pendingDebug = 0
    this.watchpoints = false
    flushTlb(this, false)
    if (this.options.bootstrap === false) this.waitForStartup()
    this.updateMode()
  }

  private waitForStartup(): void {
    this.state.set32(F.halted, 1)
    this.events |= EVENT_WAIT_FOR_STARTUP
  }

  /** Guest RAM by words; another view when the arena has grown. */
  get ram32(): Int32Array {
    return this.memory.ram32
  }

  /** Recomputes what derives from control registers, segments and flags. */
  updateMode(): void {
    updateMode(this)
  }

  /** RFLAGS, 32 bits. Setting TF, AC or VM wants {@link updateMode} afterwards. */
  get rflags(): number {
    return readFlags(this.state)
  }
  set rflags(image: number) {
    writeFlags(this.state, image)
  }
  /** Pending events, bits of events.ts. */
  get events(): number {
    return this.state.get32(F.events)
  }
  set events(bits: number) {
    this.state.set32(F.events, bits)
  }
  get rip(): bigint {
    return this.state.get64(F.rip)
  }
  set rip(value: bigint) {
    this.state.set64(F.rip, BigInt.asUintN(64, value))
  }
  /** A general-purpose register by its encoding, unsigned. For debuggers and boot loaders. */
  register(index: number): bigint {
    return this.state.get64(F.gpr, index)
  }
  setRegister(index: number, value: bigint | number): void {
    this.state.set64(F.gpr, BigInt.asUintN(64, BigInt(value)), index)
  }

  /**
   * Loads a segment register as it is, hidden part and all, without looking at memory. {@link updateMode} is to follow.
   * @param index ES … TR of state.ts
   * @param base linear address below 2^53, or a bigint
   * @param limit in bytes, already scaled
   * @param attributes as `F.segmentAttributes`
   */
  setSegment(index: number, selector: number, base: number | bigint, limit: number, attributes: number): void {
    const { state } = this
    state.set64(F.segmentBase, BigInt.asUintN(64, BigInt(base)), index)
    state.set32(F.segmentLimit, limit, index)
    state.set32(F.segmentSelector, selector, index)
    state.set32(F.segmentAttributes, attributes, index)
  }
  /** Loads GDTR or IDTR. */
  setDescriptorTable(index: number, base: number | bigint, limit: number): void {
    this.state.set64(F.segmentBase, BigInt.asUintN(64, BigInt(base)), index)
    this.state.set32(F.segmentLimit, limit, index)
  }

  /** Whether NMIs wait until IRET. */
  get nmiBlocked(): boolean {
    return this.state.get32(F.nmiBlocked) !== 0
  }
  set nmiBlocked(blocked: boolean) {
    this.state.set32(F.nmiBlocked, blocked ? 1 : 0)
  }

  setInterruptRequest(level: boolean): void {
    this.interruptRequest = level
    if (level) this.events |= EVENT_INTERRUPT
    else this.events &= ~EVENT_INTERRUPT
  }
  raiseNmi(): void {
    if (this.nmiBlocked) this.nmiPending = true
    else this.events |= EVENT_NMI
  }
  /** IRET ends the blocking of NMIs; one that came in the meantime follows. */
  unblockNmi(): void {
    this.nmiBlocked = false
    if (!this.nmiPending) return
    this.nmiPending = false
    this.events |= EVENT_NMI
  }
  init(): void {
    this.events |= EVENT_INIT
  }
  startup(vector: number): void {
    this.startupVector = vector
    this.events |= EVENT_STARTUP
  }
  ignoreNumericError(): void {
    const { state } = this
    // Nothing is ignored where FERR# is not asserted.
    if (state.get32(F.ignoreNumericError) || !(state.get32(F.fsw) & X87_ERROR_SUMMARY) || state.get32(F.cr0) & CR0_NE)
      return
    state.set32(F.ignoreNumericError, 1)
    this.updateMode()
  }

  /** What of the system architecture CPUID reports. */
  get features(): SystemFeatures {
    return (this.known ??= systemFeatures(this.options.cpuid))
  }

  /**
   * In front of one instruction that is executed with care (single step, breakpoints, interrupt shadow): the shadow ends
   * with it, and until {@link endInstruction} no event is to be seen. @returns the hidden events
   */
  beginInstruction(): number {
    const { state } = this
    const flags = state.get32(F.systemFlags)
    this.steppedTrap = (flags & TF) !== 0
    this.resumed = (flags & RF) !== 0
    this.stepPrivilege = state.get32(F.cpl)
    this.stepSuppressed = false
    state.set32(F.interruptShadow, 0)
    const hidden = this.events
    this.events = 0
    return hidden
  }

  /**
   * Behind such an instruction: pending events show again, RF is used up, and the traps that are due are delivered.
   * @param hidden what {@link beginInstruction} gave
   * @param completed the instruction was executed without a fault
   */
  endInstruction(hidden: number, completed: boolean): void {
    const { state } = this
    this.events |= hidden & ~(EVENT_INTERRUPT | EVENT_CAREFUL)
    if (this.interruptRequest) this.events |= EVENT_INTERRUPT
    if (this.pendingDebug === 0) this.events &= ~EVENT_DEBUG
    if (!completed) return
    const flags = state.get32(F.systemFlags)
    if (this.resumed) state.set32(F.systemFlags, flags & ~RF)
    // SYSCALL, INT and the like clear TF on the way in: no trap in the handler.
    const entered = this.stepPrivilege === 3 && state.get32(F.cpl) !== 3 && !(flags & TF)
    const trap = this.steppedTrap && !this.stepSuppressed && !entered
    if (trap && state.get32(F.interruptShadow) !== SHADOW_MOV_SS) this.singleStep()
  }

  /** Whether {@link takeEvent} would do something now. */
  get eventReady(): boolean {
    const events = this.events
    if (events & ~(EVENT_INTERRUPT | EVENT_WAIT_FOR_STARTUP)) return true
    return (events & EVENT_INTERRUPT & this.state.get32(F.systemFlags)) !== 0
  }

  /**
   * Acts on what waits between two instructions, the most urgent first (SDM vol. 3, 6.9): INIT, debug traps, NMI, INTR.
   * RIP is that of the next instruction. While `F.interruptShadow` is set, NMI and INTR wait: the engine executes one
   * instruction, clears the shadow and asks again. Clears `F.halted` when something was delivered.
   */
  takeEvent(): void {
    const { state } = this
    const events = this.events
    if (events === 0 || events & EVENT_SHUTDOWN) {
      if (events & EVENT_INIT) this.takeInit()
      return
    }
    if (events & EVENT_INIT) {
      this.takeInit()
      return
    }
    if (events & EVENT_WAIT_FOR_STARTUP) {
      if (events & EVENT_STARTUP) this.takeStartup()
      return
    }
    this.events &= ~(EVENT_STARTUP | EVENT_HALT | EVENT_STOP | EVENT_CAREFUL)
    if (events & EVENT_DEBUG) {
      this.takeDebugTrap(0)
      return
    }
    if (state.get32(F.interruptShadow)) return
    if (events & EVENT_NMI) {
      this.events &= ~EVENT_NMI
      this.nmiBlocked = true
      state.set32(F.halted, 0)
      deliver(this, 2, -1, KIND_EXTERNAL)
      return
    }
    if (events & EVENT_INTERRUPT && state.get32(F.systemFlags) & IF) {
      const vector = this.machine.acknowledgeInterrupt()
      if (vector < 0) {
        // The offer was withdrawn.
        if (!this.interruptRequest) this.events &= ~EVENT_INTERRUPT
        return
      }
      state.set32(F.halted, 0)
      deliver(this, vector, -1, KIND_EXTERNAL)
    }
  }

  private takeInit(): void {
    this.initialize(this.state.get32(F.cr0) & (CR0_CD | CR0_NW))
  }

  private takeStartup(): void {
    this.events &= ~(EVENT_STARTUP | EVENT_WAIT_FOR_STARTUP)
    this.setSegment(CS, this.startupVector << 8, this.startupVector << 12, 0xffff, ATTRIBUTE_P | ATTRIBUTE_S | 3)
    this.state.setHalves(F.rip, 0, 0)
    this.state.set32(F.halted, 0)
    this.updateMode()
  }

  /**
   * Delivers the exception that is noted in `F.fault`, at RIP, and clears the note. For engines: after a slow path,
   * service or routine came back with `F.fault` set and RIP put to the faulting instruction's.
   */
  deliverFault(): void {
    const { state } = this
    state.set32(F.fault, 0)
    const vector = state.get32(F.faultVector)
    if (vector === EXTERNAL_NUMERIC_ERROR) {
      this.reportNumericError()
      return
    }
    if (vector === 1) this.enterDebugException()
    deliver(this, vector, state.get32(F.faultErrorCode) | 0, KIND_EXCEPTION)
  }

  /** FERR#: waits in front of the instruction for the interrupt that the machine makes of it. */
  private reportNumericError(): void {
    this.state.set32(F.halted, 1)
    this.machine.numericError?.()
  }

  /** #DB after an instruction that began with TF set: DR6.BS, and what breakpoints are pending. RIP is the next. */
  singleStep(): void {
    this.takeDebugTrap(DR6_BS)
  }

  private takeDebugTrap(bits: number): void {
    const { state } = this
    this.events &= ~EVENT_DEBUG
    state.set32(F.dr, state.get32(F.dr, 6) | bits | this.pendingDebug, 6)
    this.pendingDebug = 0
    this.enterDebugException()
    state.set32(F.halted, 0)
    deliver(this, 1, -1, KIND_EXCEPTION)
  }

  /** DR7.GD is cleared on entry, so that the handler reaches the debug registers. */
  private enterDebugException(): void {
    this.state.set32(F.dr, this.state.get32(F.dr, 7) & ~(1 << 13), 7)
  }

  /**
   * Called in front of every instruction under MODE_BREAKPOINTS: delivers #DB if an instruction breakpoint is there
   * and RF is clear.
   * @returns whether it did, so that RIP is the handler's
   */
  instructionBreakpoint(): boolean {
    const { state } = this
    // None is recognised behind MOV SS and POP SS, so that the stack pointer can be loaded in peace.
    if (state.get32(F.systemFlags) & RF || state.get32(F.interruptShadow) === SHADOW_MOV_SS) return false
    const hit = matchInstruction(this)
    if (!hit) return false
    state.set32(F.dr, (state.get32(F.dr, 6) & ~15) | hit, 6)
    this.enterDebugException()
    deliver(this, 1, -1, KIND_EXCEPTION)
    return true
  }

  /** Whether a data breakpoint lies in the page of an address. */
  watches(low: number, high: number): boolean {
    return watchedPage(this, low, high)
  }
  /** Notes the data breakpoints that an access meets: #DB follows the instruction. */
  watch(low: number, high: number, size: number, write: boolean): void {
    const hit = matchWatchpoints(this, low, high, size, write)
    if (hit) this.addPendingDebug(hit)
  }
  /** Makes #DB follow the current instruction, with these bits of DR6. */
  addPendingDebug(bits: number): void {
    this.pendingDebug |= bits
    this.events |= EVENT_DEBUG
  }

  /** INT1 takes a debug trap that waits along: one #DB reports both. */
  mergePendingDebug(): void {
    const { state } = this
    state.set32(F.dr, state.get32(F.dr, 6) | this.pendingDebug, 6)
    this.pendingDebug = 0
    this.events &= ~EVENT_DEBUG
  }

  /** Puts the processor into shutdown: the machine decides what follows. */
  enterShutdown(reason: string): void {
    this.shutdown = reason
    this.events |= EVENT_SHUTDOWN
  }

  /**
   * After a device, or what is neither RAM nor a device, was accessed: makes the engine come back at the end of the
   * block, or between two steps of a REP, if the machine wants that or it was the last of {@link MOST_DEVICE_ACCESSES}.
   */
  deviceAccessed(): void {
    this.deviceAccesses++
    if (this.machine.stopRequested || this.deviceAccesses >= MOST_DEVICE_ACCESSES) this.events |= EVENT_STOP
  }

  /** Tells the engine that translations were lost. */
  tlbFlushed(): void {
    this.onTlbFlush?.()
  }
  /** For {@link PhysicalMemory.observer}: code was decoded from a frame, its writes must take the slow path from now on. */
  codeProtected(frame: number): void {
    dropFrame(this, frame, true)
  }
  /** For {@link PhysicalMemory.observer}: a frame moved or lost rights. */
  frameChanged(frame: number): void {
    dropFrame(this, frame, false)
  }

  /** What a snapshot keeps besides the state words. */
  saveExtra(): VcpuExtraState {
    return {
      msrs: [...this.msrs].map(([index, [low, high]]) => [index, low, high]),
      pdptes: [...this.pdptes],
      nmiBlocked: this.nmiBlocked,
      nmiPending: this.nmiPending,
      interruptRequest: this.interruptRequest,
      startupVector: this.startupVector,
      pendingDebug: this.pendingDebug,
      shutdown: this.shutdown,
      instructions: this.instructions,
    }
  }
  /** Takes over what {@link saveExtra} gave, after the state words were replaced; all derived state is made anew. */
  restoreExtra(extra: VcpuExtraState): void {
    this.msrs.clear()
    for (const [index, low, high] of extra.msrs) this.msrs.set(index, [low, high])
    this.pdptes.set(extra.pdptes)
    this.nmiBlocked = extra.nmiBlocked
    this.nmiPending = extra.nmiPending
    this.interruptRequest = extra.interruptRequest
    this.startupVector = extra.startupVector
    this.pendingDebug = extra.pendingDebug
    this.shutdown = extra.shutdown
    this.instructions = extra.instructions
    initializeTlb(this)
    this.debugRegistersChanged()
    this.updateMode()
  }
  /** After DR0–DR3 or DR7 changed: watched pages leave the TLB. */
  debugRegistersChanged(): void {
    const dr7 = this.state.get32(F.dr, 7)
    this.watchpoints = false
    for (let i = 0; i < 4; i++) {
      const kind = (dr7 >>> (16 + i * 4)) & 3
      if ((dr7 >>> (i * 2)) & 3 && kind & 1) this.watchpoints = true
    }
    flushTlb(this, false)
    this.updateMode()
  }
}
