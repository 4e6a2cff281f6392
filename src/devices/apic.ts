import { type ApicMessage, DELIVERY, hasVector, highestVector, setVector } from './apic-bits.ts'
import {
  DIVIDE_WRITABLE,
  ESR_ILLEGAL_REGISTER,
  ESR_RECEIVED_ILLEGAL_VECTOR,
  ESR_SEND_ILLEGAL_VECTOR,
  ICR_WRITABLE,
  LVT_LEVEL,
  LVT_MASKED,
  LVT_REMOTE_IRR,
  LVT_WRITABLE,
  REGISTER,
  SVR_ENABLED,
  SVR_WRITABLE,
  VERSION_VALUE,
  x2apicAccepts,
  x2apicReads,
} from './apic-registers.ts'
import {
  BASE_BOOTSTRAP,
  BASE_ENABLED,
  BASE_X2APIC,
  initialState,
  type LocalApicOptions,
  type LocalApicState,
} from './apic-state.ts'
import { ApicTimer } from './apic-timer.ts'
import type { Bus, Device } from './bus.ts'
import { withBit } from './registers.ts'

/** The local APIC of one processor, as xAPIC and x2APIC (SDM volume 3, chapter 11). */
export class LocalApic implements Device {
  readonly name: string
  readonly version = 1
  readonly id: number
  readonly #options: LocalApicOptions
  readonly #timer: ApicTimer
  readonly #bus: Bus
  #state: LocalApicState
  #requested = false

  constructor(bus: Bus, options: LocalApicOptions) {
    this.name = `apic${options.id}`
    this.id = options.id
    this.#options = options
    this.#bus = bus
    this.#timer = new ApicTimer(bus.clock, options.timestampTime, () => this.#triggerLvt(REGISTER.LVT_TIMER))
    this.#state = initialState(this.#options.bootstrap)
  }

  get state(): LocalApicState {
    this.#state.timer = this.#timer.state
    return this.#state
  }

  set state(state: LocalApicState) {
    this.#state = state
    this.#timer.state = state.timer
  }

  reset(): void {
    const { lint } = this.#state
    this.state = initialState(this.#options.bootstrap)
    this.#state.lint = lint
    this.#timer.arm()
    this.#options.onBase?.()
    this.#update(true)
  }

  restored(): void {
    this.#timer.arm()
    this.#options.onBase?.()
    this.#update(true)
  }

  /** INIT: as after a reset, but the APIC's mode and base stay. */
  #init(): void {
    const { base, baseHigh } = this.#state
    this.reset()
    this.#state.base = base
    this.#state.baseHigh = baseHigh
    this.#resetLogicalDestination()
    this.#options.onBase?.()
  }

  /** IA32_APIC_BASE's enable bit; CPUID.1:EDX.APIC follows it. */
  get enabled(): boolean {
    return (this.#state.base & BASE_ENABLED) !== 0
  }

  /** The APIC is in x2APIC mode. */
  get x2apic(): boolean {
    return (this.#state.base & BASE_X2APIC) !== 0
  }

  /** Where the xAPIC's registers are, or undefined when they are not. */
  get mmioBase(): number | undefined {
    if (!this.enabled || this.x2apic) return undefined
    return this.#state.baseHigh * 2 ** 32 + ((this.#state.base & 0xfffff000) >>> 0)
  }

  /** CR8: bits 7:4 of the task priority. */
  get priorityClass(): number {
    return this.#state.taskPriority >> 4
  }

  set priorityClass(value: number) {
    this.#state.taskPriority = (value & 15) << 4
    this.#update()
  }

  /** The processor priority. */
  get processorPriority(): number {
    const { taskPriority, isr } = this.#state
    const inService = Math.max(0, highestVector(isr))
    return inService >> 4 > taskPriority >> 4 ? inService & 0xf0 : taskPriority
  }

  /** The time-stamp counter was written: a deadline in its terms is at another time now. */
  timestampChanged(): void {
    this.#timer.arm()
  }

  /** Drives LINT0 or LINT1. */
  setLint(pin: 0 | 1, level: boolean): void {
    const s = this.#state
    const rises = level && !s.lint[pin]
    s.lint[pin] = level
    const lvt = s.lvt[REGISTER.LVT_LINT0 - REGISTER.LVT_TIMER + pin]
    if ((lvt & LVT_MASKED) === 0) {
      const fixed = ((lvt >> 8) & 7) === DELIVERY.FIXED
      if (fixed && lvt & LVT_LEVEL) this.#raiseLevelLint(pin)
      else if (rises && ((lvt >> 8) & 7) !== DELIVERY.EXTINT) this.#triggerLvt(REGISTER.LVT_LINT0 + pin)
    }
    this.#update()
  }

  /** Tells whether a message is for this APIC. */
  matches({ destination, logical, wide }: ApicMessage): boolean {
    if (!this.enabled) return false
    if (destination === (wide ? 0xffffffff : 0xff)) return true
    if (!logical) return destination === this.id
    const ldr = this.#state.logicalDestination
    if (this.x2apic) return destination >>> 16 === ldr >>> 16 && (destination & ldr & 0xffff) !== 0
    const mine = ldr >>> 24
    if (destination > 0xff) return false
    if (this.#state.destinationFormat >>> 28 === 15) return (destination & mine) !== 0
    return destination >> 4 === mine >> 4 && (destination & mine & 15) !== 0
  }

  /** Takes an interrupt that is for this APIC. */
  receive(deliveryMode: number, vector: number, levelTriggered: boolean): void {
    const s = this.#state
    const { signals } = this.#options
    if (!this.enabled) return
    switch (deliveryMode) {
      case DELIVERY.FIXED:
      case DELIVERY.LOWEST_PRIORITY:
        if (vector < 16) this.#error(ESR_RECEIVED_ILLEGAL_VECTOR)
        else if (s.spurious & SVR_ENABLED) {
          setVector(s.irr, vector, true)
          setVector(s.tmr, vector, levelTriggered)
          this.#update()
        }
        break
      case DELIVERY.NMI:
        signals.raiseNmi()
        break
      case DELIVERY.INIT:
        this.#init()
        signals.init()
        break
      case DELIVERY.STARTUP:
        signals.startup(vector)
        break
      default:
        this.#bus.logOnce(`apic delivery ${deliveryMode}`, `local APIC: delivery mode ${deliveryMode} is ignored`)
    }
  }

  /** Takes the interrupt that is offered now: its vector, or -1. */
  acknowledge(): number {
    if (this.#externalRequest()) return this.#options.acknowledgeExternal()
    const vector = this.#deliverable()
    if (vector < 0) return -1
    setVector(this.#state.irr, vector, false)
    setVector(this.#state.isr, vector, true)
    this.#update()
    return vector
  }

  /** Reads a register of the xAPIC's page. */
  readDword(offset: number): number {
    if (!this.enabled || this.x2apic) return 0xffffffff
    return this.#read(offset >> 4, (offset & 0x0f) === 0 && offset < 0x400)
  }

  /** Writes a register of the xAPIC's page. */
  writeDword(offset: number, value: number): void {
    if (!this.enabled || this.x2apic) return
    const register = offset >> 4
    const known = (offset & 0x0f) === 0 && offset < 0x400
    if (known && register === REGISTER.ID) return
    if (known && register === REGISTER.LDR) this.#state.logicalDestination = (value & 0xff000000) >>> 0
    else if (known && register === REGISTER.DFR) this.#state.destinationFormat = (value | 0x0fffffff) >>> 0
    else if (known && register === REGISTER.ICR_HIGH) this.#state.icrHigh = (value & 0xff000000) >>> 0
    else if (!known || register === REGISTER.SELF_IPI || !this.#write(register, value))
      this.#error(ESR_ILLEGAL_REGISTER)
  }

  /** RDMSR of 800h–8ffh: undefined is #GP. */
  readX2apic(index: number): [low: number, high: number] | undefined {
    const register = index - 0x800
    if (!this.x2apic || !x2apicReads(register)) return undefined
    return [this.#read(register, true), register === REGISTER.ICR_LOW ? this.#state.icrHigh : 0]
  }

  /** WRMSR of 800h–8ffh: false is #GP. */
  writeX2apic(index: number, low: number, high: number): boolean {
    const register = index - 0x800
    if (!this.x2apic || !x2apicAccepts(register, low, high)) return false
    if (register === REGISTER.ICR_LOW) this.#state.icrHigh = high
    return this.#write(register, low)
  }

  /** RDMSR of IA32_APIC_BASE. */
  readBase(): [low: number, high: number] {
    return [this.#state.base >>> 0, this.#state.baseHigh]
  }

  /** WRMSR of IA32_APIC_BASE: false is #GP, for reserved bits and forbidden transitions (SDM volume 3, 11.12.5). */
  writeBase(low: number, high: number): boolean {
    const s = this.#state
    const highBits = this.#options.physicalAddressBits - 32
    if (low & 0x2ff || high >= 2 ** highBits) return false
    const [enabled, x2apic] = [(low & BASE_ENABLED) !== 0, (low & BASE_X2APIC) !== 0]
    if (x2apic && (!enabled || !this.enabled)) return false
    if (this.x2apic && enabled && !x2apic) return false
    const wasX2apic = this.x2apic
    const wasEnabled = this.enabled
    s.base = ((low & ~BASE_BOOTSTRAP) | (s.base & BASE_BOOTSTRAP)) >>> 0
    s.baseHigh = high
    if (wasEnabled && !enabled) {
      const { base, baseHigh } = s
      this.reset()
      this.#state.base = base
      this.#state.baseHigh = baseHigh
    } else if (x2apic && !wasX2apic) {
      s.icrHigh = 0
      this.#resetLogicalDestination()
    }
    this.#options.onBase?.()
    this.#update()
    return true
  }

  /** RDMSR of IA32_TSC_DEADLINE. */
  readDeadline(): [low: number, high: number] {
    const { deadlineLow, deadlineHigh } = this.#timer.state
    return [deadlineLow, deadlineHigh]
  }

  /** WRMSR of IA32_TSC_DEADLINE. */
  writeDeadline(low: number, high: number): void {
    this.#timer.setDeadline(low, high)
  }

  /** In x2APIC mode the logical ID follows from the ID: cluster in the high half, a bit in the low one. */
  #resetLogicalDestination(): void {
    this.#state.logicalDestination = this.x2apic ? (((this.id >>> 4) << 16) | (1 << (this.id & 15))) >>> 0 : 0
  }

  #read(register: number, known: boolean): number {
    const s = this.#state
    if (known && register >= REGISTER.ISR && register < REGISTER.TMR) return s.isr[register - REGISTER.ISR]
    if (known && register >= REGISTER.TMR && register < REGISTER.IRR) return s.tmr[register - REGISTER.TMR]
    if (known && register >= REGISTER.IRR && register < REGISTER.ESR) return s.irr[register - REGISTER.IRR]
    if (known && register >= REGISTER.LVT_TIMER && register <= REGISTER.LVT_ERROR)
      return s.lvt[register - REGISTER.LVT_TIMER]
    switch (known ? register : -1) {
      case REGISTER.ID:
        return this.x2apic ? this.id : ((this.id & 0xff) << 24) >>> 0
      case REGISTER.VERSION:
        return VERSION_VALUE
      case REGISTER.TPR:
        return s.taskPriority
      case REGISTER.PPR:
        return this.processorPriority
      case REGISTER.APR:
      case REGISTER.RRD:
      case REGISTER.EOI:
        return 0
      case REGISTER.LDR:
        return s.logicalDestination
      case REGISTER.DFR:
        return s.destinationFormat
      case REGISTER.SVR:
        return s.spurious
      case REGISTER.ESR:
        return s.esr
      case REGISTER.ICR_LOW:
        return s.icrLow
      case REGISTER.ICR_HIGH:
        return s.icrHigh
      case REGISTER.TIMER_INITIAL:
        return this.#timer.state.initialCount
      case REGISTER.TIMER_CURRENT:
        return this.#timer.currentCount()
      case REGISTER.TIMER_DIVIDE:
        return this.#timer.state.divide
      default:
        this.#error(ESR_ILLEGAL_REGISTER)
        return 0
    }
  }

  /** Writes what both kinds of APIC have. False if there is no such register or it is read-only. */
  #write(register: number, value: number): boolean {
    const s = this.#state
    if (register >= REGISTER.LVT_TIMER && register <= REGISTER.LVT_ERROR) {
      this.#writeLvt(register, value)
      return true
    }
    switch (register) {
      case REGISTER.TPR:
        s.taskPriority = value & 0xff
        break
      case REGISTER.EOI:
        this.#endOfInterrupt()
        break
      case REGISTER.SVR:
        s.spurious = value & SVR_WRITABLE
        // Software-disabled, all LVT entries are masked, and stay so.
        if ((value & SVR_ENABLED) === 0)
          for (let entry = REGISTER.LVT_TIMER; entry <= REGISTER.LVT_ERROR; entry++)
            this.#writeLvt(entry, s.lvt[entry - REGISTER.LVT_TIMER])
        break
      case REGISTER.ESR:
        s.esr = s.errors
        s.errors = 0
        break
      case REGISTER.ICR_LOW:
        s.icrLow = value & ICR_WRITABLE
        this.#sendIpi()
        break
      case REGISTER.TIMER_INITIAL:
        this.#timer.setInitialCount(value)
        break
      case REGISTER.TIMER_DIVIDE:
        this.#timer.setDivide(value & DIVIDE_WRITABLE)
        break
      case REGISTER.SELF_IPI:
        if (value < 16) this.#error(ESR_SEND_ILLEGAL_VECTOR)
        this.receive(DELIVERY.FIXED, value & 0xff, false)
        break
      default:
        return false
    }
    this.#update()
    return true
  }

  #writeLvt(register: number, value: number): void {
    const s = this.#state
    const entry = register - REGISTER.LVT_TIMER
    const masked = (s.spurious & SVR_ENABLED) === 0 ? LVT_MASKED : 0
    s.lvt[entry] = ((value & LVT_WRITABLE[entry]) | (s.lvt[entry] & LVT_REMOTE_IRR) | masked) >>> 0
    if (register === REGISTER.LVT_TIMER) this.#timer.configure((value >> 17) & 3, (s.lvt[0] & LVT_MASKED) !== 0)
    else if (register === REGISTER.LVT_LINT0 || register === REGISTER.LVT_LINT0 + 1) {
      if ((s.lvt[entry] & LVT_LEVEL) === 0) s.lvt[entry] = withBit(s.lvt[entry], LVT_REMOTE_IRR, false)
      else if (s.lint[register - REGISTER.LVT_LINT0]) this.#raiseLevelLint((register - REGISTER.LVT_LINT0) as 0 | 1)
    }
    this.#update()
  }

  /** A level-triggered LINT pin in fixed mode interrupts while it is high, once for each EOI. */
  #raiseLevelLint(pin: 0 | 1): void {
    const s = this.#state
    const entry = REGISTER.LVT_LINT0 - REGISTER.LVT_TIMER + pin
    const lvt = s.lvt[entry]
    if (!s.lint[pin] || lvt & (LVT_MASKED | LVT_REMOTE_IRR) || (lvt & LVT_LEVEL) === 0 || (lvt >> 8) & 7) return
    s.lvt[entry] = withBit(lvt, LVT_REMOTE_IRR, true)
    this.receive(DELIVERY.FIXED, lvt & 0xff, true)
  }

  #triggerLvt(register: number): void {
    const lvt = this.#state.lvt[register - REGISTER.LVT_TIMER]
    if (lvt & LVT_MASKED) return
    const mode = register === REGISTER.LVT_TIMER || register === REGISTER.LVT_ERROR ? DELIVERY.FIXED : (lvt >> 8) & 7
    this.receive(mode, lvt & 0xff, false)
  }

  #endOfInterrupt(): void {
    const s = this.#state
    const vector = highestVector(s.isr)
    if (vector < 0) return
    setVector(s.isr, vector, false)
    if (!hasVector(s.tmr, vector)) return
    for (const pin of [0, 1] as const) {
      const entry = REGISTER.LVT_LINT0 - REGISTER.LVT_TIMER + pin
      if ((s.lvt[entry] & LVT_REMOTE_IRR) === 0 || (s.lvt[entry] & 0xff) !== vector) continue
      s.lvt[entry] = withBit(s.lvt[entry], LVT_REMOTE_IRR, false)
      this.#raiseLevelLint(pin)
    }
    this.#options.onEoi(vector)
  }

  #sendIpi(): void {
    const { icrLow, icrHigh } = this.#state
    const deliveryMode = (icrLow >> 8) & 7
    const level = (icrLow & 0x4000) !== 0
    const vector = icrLow & 0xff
    // INIT level de-assert was for processors before this kind of APIC.
    if (deliveryMode === DELIVERY.INIT && !level && icrLow & 0x8000) return
    if (deliveryMode <= DELIVERY.LOWEST_PRIORITY && vector < 16) {
      this.#error(ESR_SEND_ILLEGAL_VECTOR)
      return
    }
    const message: ApicMessage = {
      destination: this.x2apic ? icrHigh : icrHigh >>> 24,
      logical: (icrLow & 0x800) !== 0,
      wide: this.x2apic,
      deliveryMode,
      vector,
      levelTriggered: false,
    }
    switch ((icrLow >> 18) & 3) {
      case 0:
        this.#options.send(message)
        break
      case 1:
        this.receive(deliveryMode, vector, false)
        break
      case 2:
        this.#options.sendAll(message, undefined)
        break
      default:
        this.#options.sendAll(message, this)
    }
  }

  #error(bit: number): void {
    const s = this.#state
    const before = s.errors
    s.errors |= bit
    // Only the first of a kind interrupts, and an error interrupt whose own vector is bad does not recur.
    if ((before & bit) === 0) this.#triggerLvt(REGISTER.LVT_ERROR)
  }

  #externalRequest(): boolean {
    const s = this.#state
    if (!s.lint[0]) return false
    if (!this.enabled) return this.#options.bootstrap
    const lvt = s.lvt[REGISTER.LVT_LINT0 - REGISTER.LVT_TIMER]
    return (lvt & LVT_MASKED) === 0 && ((lvt >> 8) & 7) === DELIVERY.EXTINT
  }

  #deliverable(): number {
    if (!this.enabled) return -1
    const vector = highestVector(this.#state.irr)
    return vector >= 0 && vector >> 4 > this.processorPriority >> 4 ? vector : -1
  }

  #update(always = false): void {
    const request = this.#externalRequest() || this.#deliverable() >= 0
    if (request === this.#requested && !always) return
    this.#requested = request
    this.#options.signals.setInterruptRequest(request)
  }
}
