/**
 * What a machine's thread does now: one word of the vCPU's state, which another thread reads now and then to learn where
 * time goes (src/machine/profiler.ts). Whoever begins something else writes the word and puts back what was there, so
 * that what it costs is two stores, and a store each where the main function enters a region and comes back.
 */
import { F, type StateView } from './state.ts'

/** What an activity is counted as in a summary. */
export type ActivityGroup = 'interpreter' | 'translator' | 'exits' | 'compiler' | 'machine' | 'asleep'

/** One kind of activity; its number is its place in {@link ACTIVITIES}. */
export interface ActivityKind {
  readonly name: string
  readonly group: ActivityGroup
}

const kinds: ActivityKind[] = []

function kind(name: string, group: ActivityGroup): number {
  return kinds.push({ name, group }) - 1
}

/** Before the guest's first instruction; the state's word is 0 after a reset. */
export const ACTIVITY_STARTING = kind('starting', 'machine')
/** The guest waits for an interrupt, or for the reader of its output. */
export const ACTIVITY_ASLEEP = kind('asleep', 'asleep')
/** The host's event loop: messages, and the garbage that they leave. */
export const ACTIVITY_EVENT_LOOP = kind('event loop', 'machine')
/** Between runs of the engine, and the engine between two entries of its main function. */
export const ACTIVITY_RUN_LOOP = kind('run loop', 'machine')
/** Timers of devices. */
export const ACTIVITY_TIMERS = kind('timers', 'machine')
/** The interpreter's main function and handlers. */
export const ACTIVITY_INTERPRETER = kind('interpreter', 'interpreter')
/** Regions of translated code. */
export const ACTIVITY_REGION = kind('translated code', 'translator')
/** Making nodes and bytes of regions. */
export const ACTIVITY_TRANSLATING = kind('translating', 'compiler')
/** V8 compiles WebAssembly, as far as the machine's thread waits for it. */
export const ACTIVITY_COMPILING = kind('compiling WebAssembly', 'compiler')
/** Blocks of the interpreter. */
export const ACTIVITY_DECODING = kind('decoding', 'compiler')
/** TLB misses with their page walks, accesses across pages, first writes to pages of code. */
export const ACTIVITY_MEMORY = kind('memory: TLB misses, page crossings, writes to code', 'exits')
/** Fetches that the TLB does not have. */
export const ACTIVITY_FETCH = kind('fetch: TLB misses', 'exits')
/** Checks of segments that are not flat. */
export const ACTIVITY_SEGMENT = kind('segment checks', 'exits')
/** Devices, by port. */
export const ACTIVITY_PORT = kind('port I/O', 'exits')
/** Devices, by address. */
export const ACTIVITY_MMIO = kind('memory-mapped I/O', 'exits')
/** Delivery of exceptions. */
export const ACTIVITY_EXCEPTION = kind('exceptions', 'exits')
/** Delivery of interrupts, debug traps, INIT. */
export const ACTIVITY_INTERRUPT = kind('interrupts', 'exits')

/** Every kind, by number. Services follow. */
export const ACTIVITIES: readonly ActivityKind[] = kinds

/** The activity of the service that is the first in src/cpu/services; the others follow in their order. */
export const FIRST_SERVICE_ACTIVITY = kinds.length

/** Numbers of activities are below. */
export const ACTIVITY_LIMIT = 512

/** What an activity is counted as. */
export const groupOf = (activity: number): ActivityGroup =>
  activity < FIRST_SERVICE_ACTIVITY ? ACTIVITIES[activity].group : 'exits'

/** Notes what one vCPU's thread does. */
export class ActivityMarker {
  /** How often each kind was begun; what generated code marks itself is not counted. */
  readonly counts = new Float64Array(ACTIVITY_LIMIT)
  private readonly words: Int32Array
  private readonly at = F.activity.offset >> 2

  constructor(state: StateView) {
    this.words = state.i32
  }

  /** Begins something. @returns what was done before, for {@link leave} */
  enter(activity: number): number {
    const { words, at } = this
    const before = words[at]
    words[at] = activity
    this.counts[activity]++
    return before
  }

  /** Goes back to what was done before. */
  leave(before: number): void {
    this.words[this.at] = before
  }

  /** Does something inside of something else. */
  during<T>(activity: number, what: () => T): T {
    const before = this.enter(activity)
    try {
      return what()
    } finally {
      this.leave(before)
    }
  }
}
