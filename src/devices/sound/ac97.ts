/** The AC'97 audio controller of Intel's ICH, 82801AA, with a codec (Intel 82801AA/82801AB datasheet, chapter 13). */
import type { AccessSize, Bus, Clock, Device, MmioHandler, Timer } from '../bus.ts'
import { PciFunction } from '../pci-function.ts'
import { maskTo } from '../registers.ts'
import { type BoxState, BusMasterBox, initialBox } from './ac97-box.ts'
import { CODEC, initialCodec, loudness, writeCodec } from './ac97-codec.ts'
import type { SoundMixer, SoundSource } from './mixer.ts'

/** The boxes in order of their registers, 16 bytes each. */
const BOXES = [
  { name: 'PCM in', output: false, channels: 2, rate: CODEC.PCM_LR_ADC_RATE },
  { name: 'PCM out', output: true, channels: 2, rate: CODEC.PCM_FRONT_DAC_RATE },
  { name: 'microphone', output: false, channels: 1, rate: CODEC.MIC_ADC_RATE },
] as const
/** Their bits in the global status. */
const STATUS_BITS = [0x20, 0x40, 0x80]
const GLOBAL_CONTROL = 0x2c
const GLOBAL_STATUS = 0x30
const SEMAPHORE = 0x34
const CONTROL_COLD_RESET = 2
const CONTROL_WARM_RESET = 4
const CONTROL_WRITABLE = 0x3f
const STATUS_PRIMARY_READY = 0x100
const STATUS_READ_TIMEOUT = 0x8000
/** Registers of the second codec, which is not there. */
const PRIMARY_REGISTERS = 0x80

interface Ac97State {
  codec: number[]
  boxes: BoxState[]
  globalControl: number
  /** Somebody has the codec. */
  semaphore: boolean
  /** A codec that is not there was read. */
  timeout: boolean
}

/** The controller as a PCI function. */
export class Ac97 implements Device, SoundSource {
  readonly name = 'ac97'
  readonly version = 1
  readonly function: PciFunction
  readonly #bus: Bus
  readonly #clock: Clock
  readonly #mixer: SoundMixer
  readonly #timer: Timer
  readonly #boxes: BusMasterBox[]
  #own: Ac97State = initial()

  constructor(bus: Bus, mixer: SoundMixer) {
    this.#bus = bus
    this.#clock = bus.clock
    this.#mixer = mixer
    this.#timer = bus.clock.timer(() => {
      this.render(bus.clock.now())
      this.#update()
    })
    const mixerRegisters: MmioHandler = {
      readMmio: (offset, size) => this.#readCodec(offset, size),
      writeMmio: (offset, size, value) => this.#writeCodec(offset, size, value),
    }
    const busMasterRegisters: MmioHandler = {
      readMmio: (offset, size) => this.#readMaster(offset, size),
      writeMmio: (offset, size, value) => this.#writeMaster(offset, size, value),
    }
    this.function = new PciFunction(bus, {
      name: 'ac97-pci',
      vendorId: 0x8086,
      deviceId: 0x2415,
      revision: 2,
      classCode: 0x040100,
      subsystemVendorId: 0x8086,
      interruptPin: 1,
      bars: [
        { kind: 'ports', size: 256, handler: mixerRegisters },
        { kind: 'ports', size: 64, handler: busMasterRegisters },
      ],
    })
    this.#boxes = BOXES.map(
      ({ output, channels, rate }, index) =>
        new BusMasterBox({
          mixer,
          memory: this.function.memory,
          output,
          channels,
          state: () => this.#own.boxes[index],
          rate: () => this.#own.codec[rate >> 1],
          loudness: () => loudness(this.#own.codec),
          changed: now => this.#update(now),
        }),
    )
    mixer.add(this)
  }

  get state(): object {
    return { ...this.#own, function: this.function.state }
  }

  set state(state: object) {
    const { function: own, ...rest } = state as Ac97State & { function: PciFunction['state'] }
    this.#own = rest
    this.function.state = own
  }

  get playing(): boolean {
    return this.#boxes[1].running
  }

  render(now: number): number {
    for (const box of this.#boxes) box.run(now)
    return this.#boxes[1].complete(now)
  }

  reset(): void {
    this.#own = initial()
    this.function.reset()
    this.#update()
  }

  restored(): void {
    this.function.restored()
    const now = this.#clock.now()
    for (const box of this.#boxes) box.restart(now)
    this.#update(now)
  }

  /** Drives the wire, and sets the timer for the end of the buffer that ends first. */
  #update(now = this.#clock.now()): void {
    this.function.interrupt.set(this.#boxes.some(({ interrupt }) => interrupt))
    const deadline = Math.min(...this.#boxes.map(box => box.deadline(now) ?? Number.POSITIVE_INFINITY))
    if (deadline === Number.POSITIVE_INFINITY) this.#timer.cancel()
    else this.#timer.arm(deadline)
    this.#mixer.wake(now)
  }

  #readCodec(offset: number, size: AccessSize): number {
    this.#own.semaphore = false
    if (offset >= PRIMARY_REGISTERS) {
      this.#own.timeout = true
      return maskTo(0xffffffff, size)
    }
    const { codec } = this.#own
    const both = codec[offset >> 1] | ((codec[(offset >> 1) + 1] ?? 0) << 16)
    return maskTo(both >>> (8 * (offset & 1)), size)
  }

  #writeCodec(offset: number, size: AccessSize, value: number): void {
    this.#own.semaphore = false
    if (offset >= PRIMARY_REGISTERS || size === 1 || offset & 1) {
      this.#log(`a write of ${size} bytes at 0x${offset.toString(16)} of the codec does nothing`)
      return
    }
    this.render(this.#clock.now())
    for (let i = 0; i < size; i += 2)
      if (!writeCodec(this.#own.codec, offset + i, (value >>> (8 * i)) & 0xffff))
        this.#log(`the codec has no register 0x${(offset + i).toString(16)} that can be written`)
    for (const box of this.#boxes) box.rateChanged()
    this.#update()
  }

  #readMaster(offset: number, size: AccessSize): number {
    this.render(this.#clock.now())
    let value = 0
    for (let i = size - 1; i >= 0; i--) value = (value << 8) | this.#readByte(offset + i)
    this.#update()
    return value >>> 0
  }

  #readByte(offset: number): number {
    const box = this.#boxes[offset >> 4]
    if (offset < 0x30 && (offset & 15) < 12) return box.read(offset & 15)
    if (offset >= GLOBAL_CONTROL && offset < GLOBAL_CONTROL + 4)
      return (this.#own.globalControl >>> (8 * (offset - GLOBAL_CONTROL))) & 0xff
    if (offset >= GLOBAL_STATUS && offset < GLOBAL_STATUS + 4) {
      let status = this.#own.timeout ? STATUS_READ_TIMEOUT : 0
      // Ready as soon as the link is out of reset.
      if (this.#own.globalControl & CONTROL_COLD_RESET) status |= STATUS_PRIMARY_READY
      for (const [i, { interrupt }] of this.#boxes.entries()) if (interrupt) status |= STATUS_BITS[i]
      return (status >>> (8 * (offset - GLOBAL_STATUS))) & 0xff
    }
    if (offset === SEMAPHORE) {
      const taken = this.#own.semaphore
      this.#own.semaphore = true
      return taken ? 1 : 0
    }
    return 0
  }

  #writeMaster(offset: number, size: AccessSize, value: number): void {
    const now = this.#clock.now()
    this.render(now)
    for (let i = 0; i < size && offset + i < 64; i++) this.#writeByte(offset + i, (value >>> (8 * i)) & 0xff, now)
    this.#update(now)
  }

  #writeByte(offset: number, value: number, now: number): void {
    const { globalControl } = this.#own
    if (offset < GLOBAL_CONTROL && (offset & 15) < 12) this.#boxes[offset >> 4].write(offset & 15, value, now)
    else if (offset === GLOBAL_CONTROL) {
      // A warm reset ends by itself.
      this.#own.globalControl = value & CONTROL_WRITABLE & ~CONTROL_WARM_RESET
      if (globalControl & ~value & CONTROL_COLD_RESET) {
        const kept = this.#own.globalControl
        this.#own = { ...initial(), globalControl: kept }
      }
    } else if (offset > GLOBAL_CONTROL && offset < GLOBAL_STATUS && value !== 0)
      this.#log('more than two channels, or more than 16 bits, are not there')
    else if (offset === GLOBAL_STATUS + 1 && value & (STATUS_READ_TIMEOUT >> 8)) this.#own.timeout = false
    else if (offset === SEMAPHORE) this.#own.semaphore = (value & 1) !== 0
  }

  #log(what: string): void {
    this.#bus.logOnce(`ac97 ${what}`, `AC'97: ${what}`)
  }
}

function initial(): Ac97State {
  return {
    codec: initialCodec(),
    boxes: BOXES.map(initialBox),
    globalControl: 0,
    semaphore: false,
    timeout: false,
  }
}
