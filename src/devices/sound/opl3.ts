/** An OPL3 synthesiser, Yamaha's YMF262, as AdLib's and Sound Blaster's guests find it ("YMF262 Application Manual"). */
import type { Bus, Clock, Device } from '../bus.ts'
import { attachBytes } from '../registers.ts'
import type { SoundMixer, SoundSource } from './mixer.ts'
import { initialOpl, OPL_RATE, type OplState, OplSynthesiser } from './opl-synthesiser.ts'
import { SampleStream } from './sample-stream.ts'

/** Where AdLib's card is. */
const ADLIB_PORT = 0x388

const TIMER_1 = 2
const TIMER_2 = 3
const TIMER_CONTROL = 4
const CONTROL_RESET = 0x80
/** Of a timer: its bit that starts it, the one that masks it, its flag, and its tick in nanoseconds. */
const TIMERS = [
  { register: TIMER_1, start: 1, mask: 0x40, flag: 0x40, tick: 80_000 },
  { register: TIMER_2, start: 2, mask: 0x20, flag: 0x20, tick: 320_000 },
] as const
const STATUS_INTERRUPT = 0x80

interface Opl3State extends OplState {
  /** The register that is selected, 0 to 511. */
  index: number
  /** When each timer overflows, in nanoseconds; -1 while it stands still. */
  overflows: number[]
  flags: number
}

/** The synthesiser with its timers. They interrupt nobody: no card ever wired that. */
export class Opl3 implements Device, SoundSource {
  readonly name = 'opl3'
  readonly version = 1
  #own: Opl3State = initial()
  readonly #bus: Bus
  readonly #clock: Clock
  readonly #mixer: SoundMixer
  readonly #stream: SampleStream
  readonly #synthesiser = new OplSynthesiser(() => this.#own)
  readonly #loudness: () => readonly [number, number]
  readonly #frame = new Float64Array(2)
  #playing = false

  /**
   * @param ports the card's, of which it has the first four, and two from the ninth on
   * @param loudness how loud it comes out, left and right
   * @throws if ports are taken
   */
  constructor(
    bus: Bus,
    mixer: SoundMixer,
    ports: { card: number; loudness: () => readonly [number, number] } | undefined,
  ) {
    this.#bus = bus
    this.#clock = bus.clock
    this.#mixer = mixer
    this.#stream = new SampleStream(mixer)
    this.#loudness = ports?.loudness ?? (() => [1, 1])
    const attach = (first: number, count: number) =>
      attachBytes(bus, first, count, {
        readByte: port => this.#read(port - first),
        writeByte: (port, value) => this.#write(port - first, value),
      })
    attach(ADLIB_PORT, 4)
    if (ports) {
      attach(ports.card, 4)
      attach(ports.card + 8, 2)
    }
    mixer.add(this)
  }

  get state(): object {
    return this.#own
  }

  set state(state: object) {
    this.#own = state as Opl3State
  }

  get playing(): boolean {
    return this.#playing
  }

  reset(): void {
    this.#own = initial()
    this.restored()
  }

  restored(): void {
    this.#synthesiser.update()
    this.#playing = false
    this.#begin()
  }

  render(now: number): number {
    if (!this.#playing) return now
    const [left, right] = this.#loudness()
    const due = this.#stream.due(now)
    for (let i = 0; i < due; i++) {
      this.#synthesiser.next(this.#frame)
      this.#stream.play(this.#frame[0] * left, this.#frame[1] * right)
    }
    this.#playing = this.#synthesiser.sounding
    return now
  }

  /** It may sound from now on. */
  #begin(): void {
    if (this.#playing || !this.#synthesiser.sounding) return
    this.#playing = true
    const now = this.#clock.now()
    this.#stream.begin(now, OPL_RATE)
    this.#mixer.wake(now)
  }

  #read(offset: number): number {
    // The status is at each even port; the others read as ones.
    if (offset & 1) return 0xff
    this.#runTimers()
    const { flags } = this.#own
    return flags ? STATUS_INTERRUPT | flags : 0
  }

  #runTimers(): void {
    const now = this.#clock.now()
    const { overflows, registers } = this.#own
    for (const [i, { register, mask, flag, tick }] of TIMERS.entries()) {
      if (overflows[i] < 0 || overflows[i] > now) continue
      if ((registers[TIMER_CONTROL] & mask) === 0) this.#own.flags |= flag
      const period = (256 - registers[register]) * tick
      overflows[i] += Math.ceil((now - overflows[i] + 1) / period) * period
    }
  }

  #write(offset: number, value: number): void {
    if ((offset & 1) === 0) this.#own.index = value | (offset & 2 ? 0x100 : 0)
    else this.#writeRegister(this.#own.index, value)
  }

  #writeRegister(index: number, value: number): void {
    const { registers, overflows } = this.#own
    if (index === TIMER_CONTROL) {
      this.#runTimers()
      if (value & CONTROL_RESET) {
        this.#own.flags = 0
        return
      }
      for (const [i, { start, register, tick }] of TIMERS.entries()) {
        if ((value & start) === 0) overflows[i] = -1
        else if (overflows[i] < 0) overflows[i] = this.#clock.now() + (256 - registers[register]) * tick
      }
      registers[index] = value
      return
    }
    // What is heard so far is heard by what was written so far.
    if (this.#mixer.running) this.render(this.#clock.now())
    registers[index] = value
    if (index === TIMER_1 || index === TIMER_2) return
    if (!isRegister(index)) this.#bus.logOnce(`opl ${index}`, `OPL3: there is no register 0x${index.toString(16)}`)
    this.#synthesiser.update()
    const group = index & 0xf0
    if (group === 0xb0) {
      this.#synthesiser.updateKeys()
      this.#begin()
    }
  }
}

function isRegister(index: number): boolean {
  const low = index & 0xff
  if (low < 0x20) return [0x01, 0x02, 0x03, 0x04, 0x05, 0x08].includes(low)
  return low < 0xa0 || low >= 0xe0 ? (low & 0x1f) < 0x16 : low === 0xbd || (low & 15) < 9
}

function initial(): Opl3State {
  return { ...initialOpl(), index: 0, overflows: [-1, -1], flags: 0 }
}
