/** A DMA engine of the ICH's AC'97 controller: a ring of 32 buffers (Intel 82801AA datasheet, "AC '97 Audio Controller"). */
import type { GuestMemory } from '../bus.ts'
import type { SoundMixer } from './mixer.ts'
import { SampleStream } from './sample-stream.ts'

/** Registers of a box, by offset. */
export const BOX = { BDBAR: 0, CIV: 4, LVI: 5, SR: 6, PICB: 8, PIV: 10, CR: 11 } as const

const STATUS_HALTED = 1
const STATUS_CURRENT_IS_LAST = 2
const STATUS_LAST_DONE = 4
const STATUS_DONE = 8
const STATUS_FIFO_ERROR = 16
const STATUS_CLEARABLE = STATUS_LAST_DONE | STATUS_DONE | STATUS_FIFO_ERROR
const CONTROL_RUN = 1
const CONTROL_RESET = 2
const CONTROL_LAST_INTERRUPT = 4
const CONTROL_FIFO_INTERRUPT = 8
const CONTROL_DONE_INTERRUPT = 16
const CONTROL_KEPT = 0x1d
const DESCRIPTOR_INTERRUPT = 0x8000
const ENTRIES = 32
/** Frames that are read from memory at a time. */
const MOST_FRAMES = 1024

/** A box's registers, and the rest of the current buffer. */
export interface BoxState {
  base: number
  current: number
  last: number
  prefetched: number
  status: number
  control: number
  /** Where the rest of the buffer is, its samples of 16 bits, and whether its end interrupts. */
  address: number
  left: number
  interrupts: boolean
}

/** A box after a reset. */
export function initialBox(): BoxState {
  return {
    base: 0,
    current: 0,
    last: 0,
    prefetched: 0,
    status: STATUS_HALTED,
    control: 0,
    address: 0,
    left: 0,
    interrupts: false,
  }
}

/** What a box is part of. */
export interface BoxOptions {
  mixer: SoundMixer
  memory: GuestMemory
  /** Whether it plays; otherwise it records silence. */
  output: boolean
  /** Samples of a frame. */
  channels: number
  state(): BoxState
  /** Frames a second. */
  rate(): number
  /** How loud it is, left and right. */
  loudness(): readonly [number, number]
  /** What it wants of the interrupt line, or when it wants to be called again, may have changed. */
  changed(now: number): void
}

/** One of the three engines: PCM in, PCM out, microphone in. */
export class BusMasterBox {
  readonly #options: BoxOptions
  readonly #stream: SampleStream

  constructor(options: BoxOptions) {
    this.#options = options
    this.#stream = new SampleStream(options.mixer)
  }

  /** It moves samples. */
  get running(): boolean {
    const { control, status } = this.#options.state()
    return (control & CONTROL_RUN) !== 0 && (status & STATUS_HALTED) === 0
  }

  /** It asks for an interrupt. */
  get interrupt(): boolean {
    const { control, status } = this.#options.state()
    const wanted =
      (control & CONTROL_LAST_INTERRUPT ? STATUS_LAST_DONE : 0) |
      (control & CONTROL_FIFO_INTERRUPT ? STATUS_FIFO_ERROR : 0) |
      (control & CONTROL_DONE_INTERRUPT ? STATUS_DONE : 0)
    return (status & wanted) !== 0
  }

  /** When to call {@link run} for the end of the current buffer, in nanoseconds; undefined while it stands still. */
  deadline(now: number): number | undefined {
    const { left } = this.#options.state()
    return this.running ? this.#stream.deadline(Math.ceil(left / this.#options.channels), now) : undefined
  }

  /** The time until which everything was moved. */
  complete(now: number): number {
    return this.running ? Math.min(now, this.#stream.timeOf(0)) : now
  }

  /** The state was replaced: goes on from now. */
  restart(now: number): void {
    this.#stream.begin(now, this.#options.rate())
  }

  /** The rate may have changed. */
  rateChanged(): void {
    this.#stream.setRate(this.#options.rate())
  }

  /** Moves what is due, up to the next end of a buffer that interrupts: the guest may have to provide what follows. */
  run(now: number): void {
    if (!this.running) return
    const state = this.#options.state()
    const { channels } = this.#options
    let frames = this.#stream.due(now)
    // A ring of empty buffers ends with its last at the latest, however often it is asked.
    for (let ended = 0; frames > 0 && this.running; ) {
      const rest = Math.ceil(state.left / channels)
      // Its last frame waits for the guest's moment to be over.
      const most = state.interrupts && this.#stream.holds(now) ? rest - 1 : rest
      const count = Math.min(frames, most, MOST_FRAMES)
      if (count > 0) this.#move(count)
      else if (rest > 0) return
      frames -= count
      if (state.left === 0) {
        const { interrupts } = state
        if (interrupts) this.#stream.blockEnded(now)
        this.#end()
        if (interrupts || state.status & STATUS_HALTED) this.#options.changed(now)
        if (interrupts || ++ended > 2 * ENTRIES) return
      }
    }
  }

  #move(frames: number): void {
    const state = this.#options.state()
    const { memory, mixer, output, channels } = this.#options
    const samples = Math.min(state.left, frames * channels)
    if (!output) memory.write(state.address, new Uint8Array(samples * 2))
    if (!output || !mixer.running) this.#stream.skip(frames)
    else {
      const bytes = memory.read(state.address, samples * 2)
      const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length)
      const [left, right] = this.#options.loudness()
      for (let i = 0; i < frames; i++) {
        const second = 4 * i + 2 < bytes.length ? view.getInt16(4 * i + 2, true) : 0
        this.#stream.play((view.getInt16(4 * i, true) / 32768) * left, (second / 32768) * right)
      }
    }
    state.address += samples * 2
    state.left -= samples
  }

  /** The end of the current buffer. */
  #end(): void {
    const state = this.#options.state()
    if (state.interrupts) state.status |= STATUS_DONE
    if (state.current === state.last) state.status |= STATUS_LAST_DONE | STATUS_HALTED | STATUS_CURRENT_IS_LAST
    else this.#fetch()
  }

  /** Goes on with the buffer that was looked up in advance. */
  #fetch(): void {
    const state = this.#options.state()
    state.current = state.prefetched
    state.prefetched = (state.prefetched + 1) % ENTRIES
    const descriptor = this.#options.memory.read(state.base + 8 * state.current, 8)
    const view = new DataView(descriptor.buffer, descriptor.byteOffset, 8)
    state.address = (view.getUint32(0, true) & ~1) >>> 0
    state.left = view.getUint16(4, true)
    state.interrupts = (view.getUint16(6, true) & DESCRIPTOR_INTERRUPT) !== 0
    state.status &= ~STATUS_CURRENT_IS_LAST
    if (state.current === state.last) state.status |= STATUS_CURRENT_IS_LAST
  }

  /** Reads a byte of its registers. */
  read(offset: number): number {
    const state = this.#options.state()
    switch (offset) {
      case BOX.CIV:
        return state.current
      case BOX.LVI:
        return state.last
      case BOX.SR:
        return state.status
      case BOX.PICB:
        return state.left & 0xff
      case BOX.PICB + 1:
        return state.left >> 8
      case BOX.PIV:
        return state.prefetched
      case BOX.CR:
        return state.control
      default:
        return offset < 4 ? (state.base >>> (8 * offset)) & 0xff : 0
    }
  }

  /** Writes a byte of its registers. */
  write(offset: number, value: number, now: number): void {
    const state = this.#options.state()
    if (offset < 4) {
      const shift = 8 * offset
      state.base = ((state.base & ~(0xff << shift)) | ((value & (offset === 0 ? 0xf8 : 0xff)) << shift)) >>> 0
    } else if (offset === BOX.LVI) {
      state.last = value % ENTRIES
      const ended = STATUS_HALTED | STATUS_CURRENT_IS_LAST
      if (state.control & CONTROL_RUN && (state.status & ended) === ended) this.#begin(now)
      else if (this.running) {
        state.status &= ~STATUS_CURRENT_IS_LAST
        if (state.current === state.last) state.status |= STATUS_CURRENT_IS_LAST
      }
    } else if (offset === BOX.SR) state.status &= ~(value & STATUS_CLEARABLE)
    else if (offset === BOX.CR) this.#control(value, now)
    this.#options.changed(now)
  }

  #control(value: number, now: number): void {
    const state = this.#options.state()
    if (value & CONTROL_RESET) {
      // Only while it stands still; the interrupt enables stay.
      if (state.control & CONTROL_RUN) return
      const kept = value & CONTROL_KEPT & ~CONTROL_RUN
      Object.assign(state, initialBox(), { control: kept })
      return
    }
    const started = (value & ~state.control & CONTROL_RUN) !== 0
    state.control = value & CONTROL_KEPT
    if (started) {
      // A buffer that was stopped in its middle goes on there.
      if (state.left > 0) {
        state.status &= ~STATUS_HALTED
        this.restart(now)
      } else this.#begin(now)
    } else if ((value & CONTROL_RUN) === 0) state.status |= STATUS_HALTED
  }

  #begin(now: number): void {
    const state = this.#options.state()
    state.status &= ~(STATUS_HALTED | STATUS_CURRENT_IS_LAST)
    this.#fetch()
    this.restart(now)
  }
}
