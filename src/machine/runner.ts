/**
 * The run loop: executes the guest in slices between timer deadlines, gives the event loop its turn, and sleeps while
 * the processor waits.
 */
import {
  ACTIVITY_ASLEEP,
  ACTIVITY_EVENT_LOOP,
  ACTIVITY_RUN_LOOP,
  ACTIVITY_TIMERS,
  type ActivityMarker,
} from '../cpu/activity.ts'
import type { Engine } from '../engines/contract.ts'
import { type MachineClock, NANOSECONDS_PER_INSTRUCTION } from './clock.ts'
import type { MachineHostWork } from './host-work.ts'

/** What a slice can end in that is the machine's matter and not the engine's. */
export type MachineEvent =
  | { kind: 'poweroff' }
  | { kind: 'reset' }
  | { kind: 'triple-fault'; message: string }
  | { kind: 'debug-exit'; code: number }

/** What the runner drives. */
export interface Runnable {
  readonly engine: Engine
  readonly clock: MachineClock
  /** Is told what the run loop does, for profiles. */
  readonly activity?: ActivityMarker
  /** Instructions executed since the machine was created. */
  instructions(): number
  /** A slice begins that shall end in so many nanoseconds: arming an earlier deadline ends it earlier. */
  beginSlice(nanoseconds: number): void
  /** The slice has ended: takes the event that a device raised in it, if any. */
  takeEvent(): MachineEvent | undefined
  /** What the host does for devices behind the machine's back. */
  readonly hostWork?: Pick<MachineHostWork, 'pending' | 'held'>
  /** Hands collected output on. False while the reader is too far behind and the guest has to wait. */
  flush(): boolean
}

/** Counts of a {@link Runner}. */
export interface RunnerStats {
  exits: Record<string, number>
  /** Host milliseconds spent in slices. */
  busyMilliseconds: number
}

/** How the host waits; tests replace it. */
export interface RunnerHost {
  /** Milliseconds of a monotonic clock. */
  now(): number
  /** Resolves after the event loop had a turn. */
  turn(): Promise<void>
  /** The processor waits, and not just for a moment: time for the host's housekeeping. */
  idle?(): void
  /** Blocks for so many milliseconds, less than one: where the host can. */
  rest?(milliseconds: number): void
  /** Calls back after at least `milliseconds`; the returned function cancels. */
  after(milliseconds: number, callback: () => void): () => void
}

/** Milliseconds of execution between turns of the event loop. */
const TURN_MILLISECONDS = 6
/** Longest slice in nanoseconds of guest time: how late a deadline may be seen if the estimated speed is wrong. */
const SLICE_NANOSECONDS = 1_000_000
/** Longest slice while the host has something under way for a device, which it finishes in a turn of the event loop. */
const HOST_WORK_NANOSECONDS = 200_000
/** Most instructions of one slice where time is counted: about 1 ms of an interpreter, and more where each is a REP. */
const COUNTED_SLICE = 100_000
/** Bounds of the estimated speed in instructions a nanosecond. */
const LEAST_RATE = 0.001
const GREATEST_RATE = 5
/**
 * Below this speed (instructions a nanosecond) the guest is starved, on a host that has hardly any time for it. Its timer
 * interrupts, which come by the host's time, could then take all the time there is: Linux needs thousands of
 * instructions for a tick, and ticks 250 times a second.
 */
const STARVED_RATE = 0.02
/** What a starved guest executes at least between two rounds of timers: several times what a tick takes. */
const STARVED_PROGRESS = 50_000
/** Waits shorter than this (in nanoseconds) are spent in turns of the event loop: its timers are coarser. */
const SHORT_WAIT = 300_000
/** Waits from here on (nanoseconds) are announced to the host. */
const LONG_WAIT = 3_000_000
const LONGEST_WAIT_MILLISECONDS = 3_600_000
/**
 * How long the host rests, in nanoseconds, while a guest reads the time over and over: hosts wake up some 50,000 later than they are asked to.
 * The longer the guest has waited, the longer: up to a part of that.
 */
const REST_NANOSECONDS = 50_000
const MOST_REST_NANOSECONDS = 1_000_000
const REST_SHARE = 1 / 8
/**
 * Counted time runs ahead of the host's while the processor waits. A guest that only waits for this long (nanoseconds
 * of guest time) is slowed to the host's time, so that an idle prompt does not keep the host busy.
 */
const IDLE_BEFORE_PACING = 2_000_000_000

/** The real host: setImmediate where there is one, else a message to itself, because timers are delayed in browsers. */
export function eventLoopHost(): RunnerHost {
  const global = globalThis as { setImmediate?: (callback: () => void) => void }
  let turn: () => Promise<void>
  if (global.setImmediate) turn = () => new Promise(resolve => global.setImmediate!(resolve))
  else {
    const channel = new MessageChannel()
    let resolveTurn = () => {}
    channel.port1.onmessage = () => resolveTurn()
    turn = () =>
      new Promise(resolve => {
        resolveTurn = resolve
        channel.port2.postMessage(0)
      })
  }
  return {
    now: () => performance.now(),
    turn,
    rest: restOf(),
    after(milliseconds, callback) {
      const timer = setTimeout(callback, milliseconds)
      return () => clearTimeout(timer)
    },
  }
}

/** Blocks the thread; undefined where that is not allowed, as in a page's own thread, or without shared memory. */
function restOf(): RunnerHost['rest'] {
  if (typeof SharedArrayBuffer === 'undefined') return undefined
  const word = new Int32Array(new SharedArrayBuffer(4))
  try {
    Atomics.wait(word, 0, 0, 0)
  } catch {
    return undefined
  }
  return milliseconds => void Atomics.wait(word, 0, 0, milliseconds)
}

/** Runs one machine until {@link run} resolves with what ended it. */
export class Runner {
  readonly stats: RunnerStats = { exits: {}, busyMilliseconds: 0 }
  readonly #machine: Runnable
  readonly #host: RunnerHost
  #paused = false
  #stopped = false
  /** Set by {@link wake}: something arrived since the last look. */
  #woken = false
  #wakeSleeper: (() => void) | undefined
  /** Estimated speed in instructions a nanosecond. */
  #rate = 0.05
  /** The count of instructions before which no timer fires unless the guest waits: see {@link STARVED_RATE}. */
  #timersFrom = 0
  /** Guest time since which nothing but waiting happened, where time is counted. */
  #idleSince = 0
  /** Instructions executed when that was last judged. */
  #idleInstructions = 0

  constructor(machine: Runnable, host: RunnerHost = eventLoopHost()) {
    this.#machine = machine
    this.#host = host
  }

  /** Stops guest time and execution at the end of the current slice. */
  pause(): void {
    this.#paused = true
    this.#machine.clock.stop()
    this.wake()
  }

  /** Goes on after {@link pause}. */
  resume(): void {
    this.#paused = false
    this.#machine.clock.start()
    this.wake()
  }

  /** Makes {@link run} resolve with undefined at the end of the current slice. */
  stop(): void {
    this.#stopped = true
    this.wake()
  }

  /** Ends a sleep: input arrived, or the reader of some output caught up. */
  wake(): void {
    this.#woken = true
    this.#wakeSleeper?.()
  }

  /** Executes until a device or a triple fault ends or resets the machine, or {@link stop}. */
  async run(): Promise<MachineEvent | undefined> {
    const { clock } = this.#machine
    if (!this.#paused) clock.start()
    for (;;) {
      // What arrives from here on is seen in this round, or wakes the sleep at its end.
      this.#woken = false
      if (this.#stopped) {
        this.#stopped = false
        return undefined
      }
      const { hostWork } = this.#machine
      if (hostWork?.held) {
        await Promise.race([hostWork.held, this.#sleep(LONGEST_WAIT_MILLISECONDS)])
        continue
      }
      if (this.#paused || !this.#machine.flush()) {
        await this.#sleep(LONGEST_WAIT_MILLISECONDS)
        continue
      }
      const outcome = this.#executeForOneTurn()
      const flushed = this.#machine.flush()
      if (typeof outcome === 'object') return outcome
      if (outcome === 'halted' && flushed) await this.#waitForDeadline()
      else await this.#turn()
    }
  }

  /** Gives the event loop its turn. */
  async #turn(): Promise<void> {
    const { activity } = this.#machine
    activity?.enter(ACTIVITY_EVENT_LOOP)
    await this.#host.turn()
    activity?.leave(ACTIVITY_RUN_LOOP)
  }

  #executeForOneTurn(): MachineEvent | 'halted' | 'running' {
    const { activity, clock } = this.#machine
    activity?.enter(ACTIVITY_RUN_LOOP)
    const started = this.#host.now()
    let now = started
    try {
      while (now - started < TURN_MILLISECONDS) {
        const before = this.#machine.instructions()
        const outside = activity?.enter(ACTIVITY_TIMERS)
        if (before >= this.#timersFrom && this.#machine.clock.runTimers() && this.#starved())
          this.#timersFrom = before + STARVED_PROGRESS
        activity?.leave(outside!)
        if (this.#machine.hostWork?.held) return 'running'
        const exit = this.#machine.engine.run(this.#budget())
        const { exits } = this.stats
        exits[exit.kind] = (exits[exit.kind] ?? 0) + 1
        const executed = this.#machine.instructions() - before
        const after = this.#host.now()
        const polled = clock.takePolling()
        if (polled > 0) {
          // Its pace tells nothing of the host's, and it is not starved by timers, for which it waits.
          this.#timersFrom = 0
          now = this.#rest(after, polled)
        } else {
          this.#learnRate(executed, (after - now) * 1e6)
          now = after
        }
        const event = this.#machine.takeEvent()
        if (event) return event
        if (exit.kind === 'shutdown') return { kind: 'triple-fault', message: exit.reason }
        // What the host has under way is finished in the event loop's turns.
        if (exit.kind !== 'halt' && this.#machine.hostWork?.pending && clock.kind === 'host') return 'running'
        if (exit.kind !== 'halt') continue
        this.#timersFrom = 0
        if (!this.#skipHalt()) return 'halted'
      }
      return 'running'
    } finally {
      this.stats.busyMilliseconds += now - started
    }
  }

  /** A guest has waited for `polled` nanoseconds by reading the time: the host's processor is left to others. @returns the host's time then */
  #rest(now: number, polled: number): number {
    const { activity, clock, hostWork } = this.#machine
    const rest = Math.min(MOST_REST_NANOSECONDS, Math.max(REST_NANOSECONDS, polled * REST_SHARE))
    const nanoseconds = Math.min(rest, clock.untilDeadline())
    if (!this.#host.rest || hostWork?.pending || nanoseconds <= 0) return now
    const outside = activity?.enter(ACTIVITY_ASLEEP)
    clock.resting(nanoseconds)
    this.#host.rest(nanoseconds / 1e6)
    activity?.leave(outside!)
    return this.#host.now()
  }

  #starved(): boolean {
    return this.#machine.clock.kind === 'host' && this.#rate < STARVED_RATE
  }

  /** Instructions until the next deadline that counts, but no more than a slice. */
  #budget(): number {
    const { clock } = this.#machine
    const slice = this.#machine.hostWork?.pending ? HOST_WORK_NANOSECONDS : SLICE_NANOSECONDS
    const most = clock.kind === 'instructions' ? COUNTED_SLICE * NANOSECONDS_PER_INSTRUCTION : slice
    const deferred = this.#machine.instructions() < this.#timersFrom
    const nanoseconds = deferred ? most : Math.min(clock.untilDeadline(), most)
    this.#machine.beginSlice(nanoseconds)
    return clock.instructionsWithin(nanoseconds, this.#rate)
  }

  /** Speeds differ between slices, so the estimate follows slowly; slices too short to time tell nothing. */
  #learnRate(executed: number, nanoseconds: number): void {
    if (executed < 1000 || nanoseconds < 10_000) return
    const seen = Math.min(GREATEST_RATE, Math.max(LEAST_RATE, executed / nanoseconds))
    this.#rate += (seen - this.#rate) / 8
  }

  /** Where time is counted, a halt ends at the next deadline without waiting. False if the guest is just idle. */
  #skipHalt(): boolean {
    const { clock } = this.#machine
    if (clock.kind !== 'instructions') return false
    const deadline = clock.nextDeadline()
    if (deadline === Number.POSITIVE_INFINITY) return false
    const now = clock.now()
    const instructions = this.#machine.instructions()
    // Idle: waiting makes up nearly all of the time. A hundredth of it at 100 MIPS is 1 instruction in 1000 ns.
    if (instructions - this.#idleInstructions > (now - this.#idleSince) / 1000) {
      this.#idleSince = now
      this.#idleInstructions = instructions
    }
    if (now - this.#idleSince > IDLE_BEFORE_PACING) return false
    clock.skipTo(deadline)
    return true
  }

  async #waitForDeadline(): Promise<void> {
    const { clock } = this.#machine
    let wait = clock.untilDeadline()
    if (wait >= LONG_WAIT && this.#host.idle && !this.#woken) {
      this.#host.idle()
      wait = clock.untilDeadline()
    }
    if (wait < SHORT_WAIT) await this.#turn()
    else await this.#sleep(Math.min(Math.ceil(wait / 1e6), LONGEST_WAIT_MILLISECONDS))
    // Where time is counted, the wait was only for the host's sake: guest time moves unless something woke it early.
    if (this.#woken) this.#idleSince = clock.now()
    else if (clock.kind === 'instructions' && wait !== Number.POSITIVE_INFINITY) clock.skipTo(clock.nextDeadline())
  }

  /** Waits until {@link wake}, at most so long. */
  #sleep(milliseconds: number): Promise<void> {
    if (this.#woken) return this.#turn()
    const { activity } = this.#machine
    activity?.enter(ACTIVITY_ASLEEP)
    return new Promise(resolve => {
      const done = () => {
        activity?.leave(ACTIVITY_RUN_LOOP)
        cancel()
        this.#wakeSleeper = undefined
        resolve()
      }
      const cancel = this.#host.after(milliseconds, done)
      this.#wakeSleeper = done
    })
  }
}
