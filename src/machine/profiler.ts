/**
 * A sampling profiler: looks from another thread at the words of a vCPU's state that say what its thread does
 * (src/cpu/activity.ts) and where the guest is. Whoever has it calls {@link Profiler.sample} at regular times.
 */
import { ACTIVITY_LIMIT, groupOf } from '../cpu/activity.ts'
import { MODE_LONG } from '../cpu/mode.ts'
import { CS, F, StateView } from '../cpu/state.ts'

/** Where a profiler looks. */
export interface ProfileSource {
  /** The machine's memory 0, which threads share. */
  memory: ArrayBufferLike
  /** Where the vCPU's state lies in it. */
  stateBase: number
}

/** Samples at one guest address. */
export interface AddressSamples {
  /** Linear address: of the block that the interpreter executes, of the entry of the region that runs. */
  readonly address: bigint
  /** Executed at CPL 3: the same address may be another program's. */
  readonly user: boolean
  samples: number
  /** Those of them in translated code. */
  translated: number
}

/** What was seen. */
export interface Profile {
  /** All samples. */
  samples: number
  /** Milliseconds from the first sample to the last. */
  milliseconds: number
  /** Samples by the number of the activity. */
  activities: number[]
  /** Samples while the guest ran, by address, most first. */
  addresses: AddressSamples[]
  /** Samples whose addresses had no room. */
  elsewhere: number
  /** Where Linux says its entry for system calls is (0: nowhere), which tells how far its symbols are displaced. */
  systemCallEntries: { lstar: bigint; sysenter: bigint }
}

/** Most addresses that are told apart: a guest that executes everywhere must not fill the host's memory. */
const MOST_ADDRESSES = 100_000

/** Collects samples. */
export class Profiler {
  private readonly state: StateView
  private readonly activities = new Array<number>(ACTIVITY_LIMIT).fill(0)
  private readonly byAddress = new Map<bigint, AddressSamples>()
  private samples = 0
  private elsewhere = 0
  private first = 0
  private last = 0
  private readonly now: () => number

  constructor(source: ProfileSource, now = () => performance.now()) {
    this.state = new StateView(source.memory, source.stateBase)
    this.now = now
  }

  /** Takes a sample. */
  sample(): void {
    const { state } = this
    this.last = this.now()
    if (this.samples++ === 0) this.first = this.last
    const activity = state.get32(F.activity)
    if (activity >= ACTIVITY_LIMIT) return
    this.activities[activity]++
    const group = groupOf(activity)
    if (group === 'asleep' || group === 'machine') return
    // 64-bit reads, because the other thread may write between two of 32 bits.
    const base = state.get64(F.segmentBase, CS)
    const user = state.get32(F.cpl) === 3
    const address = BigInt.asUintN(state.get32(F.mode) & MODE_LONG ? 64 : 32, state.get64(F.rip) + base)
    // Linear addresses are canonical, so bit 62 is the sign's copy and free for telling users apart.
    const key = user ? address ^ (1n << 62n) : address
    let entry = this.byAddress.get(key)
    if (!entry) {
      if (this.byAddress.size >= MOST_ADDRESSES) {
        this.elsewhere++
        return
      }
      entry = { address, user, samples: 0, translated: 0 }
      this.byAddress.set(key, entry)
    }
    entry.samples++
    if (group === 'translator') entry.translated++
  }

  /** What was seen up to now. */
  profile(): Profile {
    const { state } = this
    return {
      samples: this.samples,
      milliseconds: this.last - this.first,
      activities: [...this.activities],
      addresses: [...this.byAddress.values()].sort((a, b) => b.samples - a.samples),
      elsewhere: this.elsewhere,
      systemCallEntries: { lstar: state.get64(F.lstar), sysenter: state.get64(F.sysenterEip) },
    }
  }
}
