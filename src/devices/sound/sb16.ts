/** A Sound Blaster 16: its DSP with DMA, and the mixer ("Sound Blaster Series Hardware Programming Guide", Creative Technology). */
import type { Bus, Clock, Device, InterruptLine, Timer } from '../bus.ts'
import type { Dma8237, DmaChannel } from '../dma8237.ts'
import { attachBytes } from '../registers.ts'
import type { SoundMixer, SoundSource } from './mixer.ts'
import { SampleStream } from './sample-stream.ts'
import { type AdpcmState, adpcmSamples, decodeAdpcm } from './sb-adpcm.ts'
import {
  adpcmTransfer,
  COPYRIGHT,
  parametersOf,
  plainTransfer,
  type SbTransfer,
  sb16Transfer,
  VERSION,
} from './sb-commands.ts'
import {
  initialSbMixer,
  isStereo,
  readSbMixer,
  SB16_IRQS,
  type SbMixerState,
  sbLoudness,
  selectedDma,
  selectedIrq,
  writeSbMixer,
} from './sb-mixer.ts'

/** The port that the card is at. */
export const SB16_PORT = 0x220
/** Registers behind it; 0 to 3 and 8, 9 are the synthesiser's. */
const MIXER_INDEX = 4
const MIXER_DATA = 5
const RESET = 6
const READ_DATA = 10
const WRITE = 12
const READ_STATUS = 14
const ACKNOWLEDGE_16 = 15

const READY = 0xaa
const SLOWEST = 4000
const FASTEST = 48000
const INTERRUPT_8 = 1
const INTERRUPT_16 = 2
/** Bytes that wait to be read. */
const MOST_ANSWERS = 64
/** Nanoseconds for which a sample of command 10h is heard. */
const DIRECT = 50e6
/** Bytes of a transfer at a time. */
const MOST_BYTES = 4096

/** What the DSP transfers. */
interface Transfer extends SbTransfer {
  /** Samples until it interrupts, and of a whole block; of ADPCM bytes. */
  left: number
  block: number
  /** Silence of command 80h, for which nothing is read. */
  silent: boolean
  /** The rate counts samples, not frames, as with older commands. */
  halved: boolean
  paused: boolean
}

interface Sb16State {
  mixer: SbMixerState
  resetting: boolean
  command: number
  parameters: number[]
  answers: number[]
  lastAnswer: number
  transfer: Transfer | undefined
  /** Samples of a block, for commands that do not say it themselves. */
  block: number
  /** Frames a second of commands Bxh and Cxh, and samples a second of the others. */
  rate: number
  speaker: boolean
  test: number
  /** Interrupts that were not acknowledged. */
  interrupts: number
  /** The sample of command 10h, 0 to 255. */
  direct: number
  /** What ADPCM goes on from, also in the next transfer. */
  adpcm: AdpcmState
}

/** The card without its synthesiser. */
export class Sb16 implements Device, SoundSource {
  readonly name = 'sb16'
  readonly version = 2
  state: Sb16State = initial()
  readonly #bus: Bus
  readonly #clock: Clock
  readonly #mixer: SoundMixer
  readonly #stream: SampleStream
  readonly #timer: Timer
  readonly #lines: Map<number, InterruptLine>
  readonly #channels = new Map<number, DmaChannel>()
  /** DMA has nothing for it at the moment. */
  #starved = false
  /** When command 10h was given last. */
  #directAt = Number.NEGATIVE_INFINITY

  /** @throws if its ports are taken */
  constructor(bus: Bus, dma: Dma8237, mixer: SoundMixer) {
    this.#bus = bus
    this.#clock = bus.clock
    this.#mixer = mixer
    this.#stream = new SampleStream(mixer)
    this.#timer = bus.clock.timer(() => this.#run())
    this.#lines = new Map(SB16_IRQS.map(irq => [irq, bus.interrupt(irq)]))
    for (const number of [0, 1, 3, 5, 6, 7])
      this.#channels.set(
        number,
        dma.channel(
          number,
          () => this.#ready(number),
          () => this.#run(),
        ),
      )
    const registers = {
      readByte: (port: number) => this.#read(port - SB16_PORT),
      writeByte: (port: number, value: number) => this.#write(port - SB16_PORT, value),
    }
    attachBytes(bus, SB16_PORT + MIXER_INDEX, 4, registers)
    attachBytes(bus, SB16_PORT + READ_DATA, 6, registers)
    mixer.add(this)
  }

  get playing(): boolean {
    const { transfer } = this.state
    if (this.#isDirect || this.#stream.waits(this.#clock.now())) return true
    return transfer !== undefined && !transfer.paused && !transfer.input && !this.#starved
  }

  /** Samples come by command 10h. */
  get #isDirect(): boolean {
    return this.#clock.now() - this.#directAt < DIRECT
  }

  /** How loud the synthesiser comes out, left and right. */
  get synthesiserLoudness(): [number, number] {
    return sbLoudness(this.state.mixer, 'midi')
  }

  reset(): void {
    this.state = initial()
    this.#directAt = Number.NEGATIVE_INFINITY
    this.#stream.stop()
    this.#update()
  }

  restored(): void {
    this.#begin()
  }

  render(now: number): number {
    const { transfer, direct } = this.state
    if (transfer === undefined && this.#isDirect) {
      const [left, right] = sbLoudness(this.state.mixer, 'voice')
      const value = (direct - 128) / 128
      for (let due = this.#stream.due(now); due > 0; due--) this.#stream.play(value * left, value * right)
      return now
    }
    this.#move(now)
    const { transfer: rest } = this.state
    const isOver = rest === undefined || rest.paused || this.#starved
    return isOver && !this.#stream.waits(now) ? now : Math.min(now, this.#stream.timeOf(0))
  }

  #read(offset: number): number {
    const { state } = this
    switch (offset) {
      case MIXER_INDEX:
        return state.mixer.index
      case MIXER_DATA:
        return readSbMixer(state.mixer, state.interrupts)
      case READ_DATA:
        if (state.answers.length > 0) state.lastAnswer = state.answers.shift()!
        return state.lastAnswer
      case WRITE:
        // It can always take a command.
        return 0x7f
      case READ_STATUS:
        this.#acknowledge(INTERRUPT_8)
        return state.answers.length > 0 ? 0xff : 0x7f
      case ACKNOWLEDGE_16:
        this.#acknowledge(INTERRUPT_16)
        return 0xff
      default:
        return 0xff
    }
  }

  #write(offset: number, value: number): void {
    const { state } = this
    switch (offset) {
      case MIXER_INDEX:
        state.mixer.index = value
        break
      case MIXER_DATA:
        this.#run()
        if (!writeSbMixer(state.mixer, value))
          this.#log(`the mixer has no register 0x${state.mixer.index.toString(16)}`)
        this.#update()
        break
      case RESET:
        this.#resetDsp(value)
        break
      case WRITE:
        this.#run()
        this.#take(value)
        break
    }
  }

  #resetDsp(value: number): void {
    if (value & 1) this.state.resetting = true
    else if (this.state.resetting) {
      const { mixer } = this.state
      this.state = { ...initial(), mixer, answers: [READY] }
      this.#stream.stop()
      this.#update()
    }
  }

  #acknowledge(bit: number): void {
    this.state.interrupts &= ~bit
    this.#update()
  }

  /** Takes a byte of a command. */
  #take(value: number): void {
    const { state } = this
    if (state.command < 0) {
      state.command = value
      state.parameters = []
    } else state.parameters.push(value)
    if (state.parameters.length < parametersOf(state.command)) return
    const { command, parameters } = state
    state.command = -1
    this.#execute(command, parameters)
    this.#update()
  }

  #answer(...bytes: number[]): void {
    if (this.state.answers.length + bytes.length <= MOST_ANSWERS) this.state.answers.push(...bytes)
  }

  #execute(command: number, [first = 0, second = 0, third = 0]: number[]): void {
    const { state } = this
    const { transfer } = state
    const count = (first | (second << 8)) + 1
    const packed = adpcmTransfer(command)
    if (packed) {
      this.#start(packed, parametersOf(command) === 0 ? state.block : count)
      return
    }
    const plain = plainTransfer(command, isStereo(state.mixer))
    if (plain) {
      this.#start(plain, parametersOf(command) === 0 ? state.block : count, { halved: plain.stereo })
      return
    }
    if (command >= 0xb0 && command < 0xd0) {
      this.#start(sb16Transfer(command, first), (second | (third << 8)) + 1)
      return
    }
    switch (command) {
      case 0x10:
        this.#direct(first)
        break
      case 0x20:
        this.#answer(0x80)
        break
      case 0x40:
        state.rate = clampRate(1e6 / (256 - first))
        this.#stream.setRate(this.#frameRate)
        break
      case 0x41:
      case 0x42:
        state.rate = clampRate((first << 8) | second)
        this.#stream.setRate(this.#frameRate)
        break
      case 0x48:
        state.block = count
        break
      case 0x80:
        this.#start({ bits: 8, stereo: false, signed: false, automatic: false, input: false }, count, { silent: true })
        break
      case 0xd0:
      case 0xd5:
        if (transfer?.bits === (command === 0xd0 ? 8 : 16)) transfer.paused = true
        break
      case 0xd4:
      case 0xd6:
        if (transfer?.paused && transfer.bits === (command === 0xd4 ? 8 : 16)) {
          transfer.paused = false
          this.#begin()
        }
        break
      case 0xd1:
      case 0xd3:
        state.speaker = command === 0xd1
        break
      case 0xd8:
        this.#answer(state.speaker ? 0xff : 0)
        break
      case 0xd9:
      case 0xda:
        // At the end of the block.
        if (transfer?.bits === (command === 0xda ? 8 : 16)) transfer.automatic = false
        break
      case 0xe0:
        this.#answer(~first & 0xff)
        break
      case 0xe1:
        this.#answer(...VERSION)
        break
      case 0xe3:
        this.#answer(...[...COPYRIGHT].map(character => character.charCodeAt(0)))
        break
      case 0xe4:
        state.test = first
        break
      case 0xe8:
        this.#answer(state.test)
        break
      case 0xf2:
        state.interrupts |= INTERRUPT_8
        break
      case 0xf3:
        state.interrupts |= INTERRUPT_16
        break
      case 0x0f:
        // There is no signal processor: its registers are nothing.
        this.#answer(0xff)
        break
      case 0xf8:
        this.#answer(0)
        break
      default:
        this.#log(`command 0x${command.toString(16)} does nothing`)
    }
  }

  /** Frames a second of what is transferred: older commands count samples. */
  get #frameRate(): number {
    const { transfer, rate } = this.state
    return transfer?.halved ? rate / 2 : rate
  }

  #start(kind: SbTransfer, block: number, { silent = false, halved = false } = {}): void {
    this.state.transfer = { ...kind, left: block, block, silent, halved, paused: false }
    this.#begin()
  }

  /** Goes on from now. */
  #begin(): void {
    this.#starved = false
    const now = this.#clock.now()
    this.#stream.begin(now, this.#frameRate)
    this.#update(now)
  }

  /** A sample that the guest gives by itself holds until the next. */
  #direct(value: number): void {
    const now = this.#clock.now()
    if (!this.#isDirect) this.#stream.begin(now, FASTEST)
    this.state.direct = value
    this.#directAt = now
  }

  /** A DMA channel can be used now. */
  #ready(number: number): void {
    const { transfer, mixer } = this.state
    if (!this.#starved || !transfer || selectedDma(mixer, transfer.bits) !== number) return
    this.#begin()
  }

  /** Moves what is due, and asks for what comes. */
  #run(): void {
    const { transfer } = this.state
    if (transfer === undefined && !this.#mixer.running) return
    this.render(this.#clock.now())
    this.#update()
  }

  /** Moves what is due, up to the end of the block: the guest may have to provide what follows. */
  #move(now: number): void {
    const { transfer } = this.state
    if (transfer === undefined || transfer.paused || this.#starved) return
    let due = this.#stream.due(now)
    while (due > 0) {
      const rest = framesOf(transfer, transfer.left)
      // Its last frame waits for the guest's moment to be over.
      const most = Math.min(due, this.#stream.holds(now) ? rest - 1 : rest, MOST_BYTES / 4)
      if (most <= 0) return
      const wanted = Math.min(transfer.left, samplesOf(transfer, most))
      const samples = transfer.silent ? wanted : this.#transfer(transfer, wanted)
      if (transfer.silent) this.#stream.skip(wanted)
      if (samples === 0) return
      due -= framesOf(transfer, samples)
      transfer.left -= samples
      if (transfer.left === 0) {
        this.#stream.blockEnded(now)
        this.#blockEnded(transfer)
        return
      }
    }
  }

  /** Moves samples. @returns how many: none while DMA has nothing for it */
  #transfer(transfer: Transfer, wanted: number): number {
    const { mixer } = this.state
    const number = selectedDma(mixer, transfer.bits)
    const channel = number === undefined ? undefined : this.#channels.get(number)
    const size = transfer.bits / 8
    const bytes = new Uint8Array(wanted * size)
    if (transfer.input && !transfer.signed) for (let i = size - 1; i < bytes.length; i += size) bytes[i] = 0x80
    const moved = channel && (transfer.input ? channel.write(bytes) : channel.read(bytes)).count
    const samples = Math.floor((moved ?? 0) / size)
    this.#starved = samples === 0
    if (transfer.adpcm) this.#playAdpcm(transfer.adpcm, bytes.subarray(0, samples))
    else if (transfer.input || !this.#mixer.running) this.#stream.skip(framesOf(transfer, samples))
    else this.#play(transfer, bytes, samples)
    return samples
  }

  /** Plays bytes of ADPCM, or lets them go by: what follows depends on them. */
  #playAdpcm(adpcm: NonNullable<Transfer['adpcm']>, bytes: Uint8Array): void {
    const [left, right] = sbLoudness(this.state.mixer, 'voice')
    const state = this.state.adpcm
    for (const byte of bytes) {
      if (adpcm.reference) {
        adpcm.reference = false
        state.value = byte
        state.level = 0
        continue
      }
      for (const sample of decodeAdpcm(state, adpcm.bits, byte)) {
        const value = (sample - 128) / 128
        if (this.#mixer.running) this.#stream.play(value * left, value * right)
        else this.#stream.skip(1)
      }
    }
  }

  #play({ signed, stereo, bits }: Transfer, bytes: Uint8Array<ArrayBuffer>, samples: number): void {
    const [left, right] = sbLoudness(this.state.mixer, 'voice')
    const view = new DataView(bytes.buffer)
    const value = (sample: number) => {
      if (bits === 8) return (signed ? view.getInt8(sample) : view.getUint8(sample) - 128) / 128
      return (signed ? view.getInt16(2 * sample, true) : view.getUint16(2 * sample, true) - 32768) / 32768
    }
    for (let i = 0; i < samples; i += stereo ? 2 : 1) {
      const one = value(i)
      const other = stereo && i + 1 < samples ? value(i + 1) : one
      this.#stream.play(one * left, other * right)
    }
  }

  #blockEnded(transfer: Transfer): void {
    this.state.interrupts |= transfer.bits === 8 ? INTERRUPT_8 : INTERRUPT_16
    if (transfer.automatic) transfer.left = transfer.block
    else {
      this.state.transfer = undefined
      this.#stream.lastEnded(this.#clock.now())
    }
    this.#update()
  }

  /** Drives the interrupt lines. */
  #drive(): void {
    const irq = selectedIrq(this.state.mixer)
    for (const [number, line] of this.#lines) line.set(number === irq && this.state.interrupts !== 0)
  }

  /** Drives lines and requests, and sets the timer for the end of the block. */
  #update(now = this.#clock.now()): void {
    this.#drive()
    const { transfer, mixer } = this.state
    const active = transfer !== undefined && !transfer.paused && !transfer.silent
    const number = active ? selectedDma(mixer, transfer.bits) : undefined
    for (const [other, channel] of this.#channels) if (other !== number) channel.request(false)
    if (number !== undefined) this.#channels.get(number)!.request(true)
    if (transfer === undefined || transfer.paused || this.#starved) this.#timer.cancel()
    else {
      this.#timer.arm(this.#stream.deadline(framesOf(transfer, transfer.left), now))
    }
    this.#mixer.wake(now)
  }

  #log(what: string): void {
    this.#bus.logOnce(`sb16 ${what}`, `Sound Blaster: ${what}`)
  }
}

/** How many frames so many samples are, of ADPCM bytes. */
function framesOf({ adpcm, stereo }: SbTransfer, samples: number): number {
  if (adpcm) return samples * adpcmSamples(adpcm.bits)
  return Math.ceil(samples / (stereo ? 2 : 1))
}

/** How many samples so many frames take. */
function samplesOf({ adpcm, stereo }: SbTransfer, frames: number): number {
  if (adpcm) return Math.ceil(frames / adpcmSamples(adpcm.bits))
  return stereo ? 2 * frames : frames
}

function clampRate(rate: number): number {
  return Math.min(FASTEST, Math.max(SLOWEST, rate))
}

function initial(): Sb16State {
  return {
    mixer: initialSbMixer(),
    resetting: false,
    command: -1,
    parameters: [],
    answers: [],
    lastAnswer: 0xff,
    transfer: undefined,
    block: 2048,
    rate: 22050,
    speaker: false,
    test: 0,
    interrupts: 0,
    direct: 128,
    adpcm: { value: 128, level: 0 },
  }
}
