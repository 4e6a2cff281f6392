import type { VirtioDevice, VirtioTransport } from './device.ts'

/** Device type and PCI class: an input device, other. */
const TYPE_INPUT = 18
const CLASS_INPUT_OTHER = 0x098000
const QUEUE_SIZE = 64
const EVENTS = 0

/** The configuration: what is selected, and up to 128 bytes of it (Virtual I/O Device 1.2, 5.8.4). */
const CONFIGURATION_BYTES = 136
const SELECT = { ID_NAME: 1, ID_SERIAL: 2, ID_DEVIDS: 3, PROP_BITS: 0x10, EV_BITS: 0x11, ABS_INFO: 0x12 } as const

/** Linux's input event codes. */
const EV = { SYN: 0, KEY: 1, REL: 2, ABS: 3 } as const
const ABS_X = 0
const ABS_Y = 1
const REL_WHEEL = 8
/** Left, right, middle. */
const BUTTONS = [0x110, 0x111, 0x112] as const
const MOST = 0x7fff
const NAME = 'typetwo tablet'
const BUS_VIRTUAL = 6

/** An event: type, code, value. */
type InputEvent = readonly [type: number, code: number, value: number]

/** A set of bits as bytes, no longer than it has to be. */
function bits(numbers: readonly number[]): number[] {
  const bytes = new Array<number>((Math.max(...numbers) >> 3) + 1).fill(0)
  for (const number of numbers) bytes[number >> 3] |= 1 << (number & 7)
  return bytes
}

/** A tablet: a pointer with absolute places, three buttons and a wheel (Virtual I/O Device 1.2, chapter 5.8). */
export class VirtioTablet implements VirtioDevice {
  readonly name = 'virtio-tablet'
  readonly version = 1
  readonly type = TYPE_INPUT
  readonly classCode = CLASS_INPUT_OTHER
  readonly features: readonly number[] = []
  readonly queueSizes = [QUEUE_SIZE, QUEUE_SIZE]
  state = { select: 0, subselect: 0 }
  #transport: VirtioTransport | undefined

  attach(transport: VirtioTransport): void {
    this.#transport = transport
  }

  /** A driver takes events. */
  get listened(): boolean {
    return this.#transport?.running === true && this.#transport.queue(EVENTS).ready
  }

  /** The pointer is at a place, from 0 to 1 of the screen. */
  moveTo(x: number, y: number): void {
    const place = (value: number) => Math.max(0, Math.min(MOST, Math.round(value * MOST) || 0))
    this.#send([EV.ABS, ABS_X, place(x)], [EV.ABS, ABS_Y, place(y)])
  }

  /** Turns the wheel, towards the user if positive. */
  wheel(dz: number): void {
    this.#send([EV.REL, REL_WHEEL, -Math.trunc(dz) || 0])
  }

  /** Presses or releases a button: 0 left, 1 right, 2 middle. */
  button(number: number, pressed: boolean): void {
    if (number < BUTTONS.length) this.#send([EV.KEY, BUTTONS[number], pressed ? 1 : 0])
  }

  /** Sends events that belong together. A driver without room for them loses them, as a device's that nobody reads. */
  #send(...events: InputEvent[]): void {
    if (!this.#transport?.running) return
    const queue = this.#transport.queue(EVENTS)
    for (const [type, code, value] of [...events, [EV.SYN, 0, 0] as const]) {
      const chain = queue.pop()
      if (chain === undefined) break
      const bytes = new Uint8Array(8)
      const view = new DataView(bytes.buffer)
      view.setUint16(0, type, true)
      view.setUint16(2, code, true)
      view.setInt32(4, value, true)
      chain.write(bytes)
      queue.push(chain)
    }
    queue.signal()
  }

  configuration(): Uint8Array {
    const { select, subselect } = this.state
    const selected = this.#selected(select, subselect)
    const bytes = new Uint8Array(CONFIGURATION_BYTES)
    bytes.set([select, subselect, selected.length])
    bytes.set(selected, 8)
    return bytes
  }

  #selected(select: number, subselect: number): number[] {
    if (select === SELECT.ID_NAME) return [...new TextEncoder().encode(NAME)]
    if (select === SELECT.ID_DEVIDS) return [BUS_VIRTUAL, 0, 0x27, 0x06, 3, 0, 2, 0]
    if (select === SELECT.EV_BITS) {
      if (subselect === EV.KEY) return bits(BUTTONS)
      if (subselect === EV.REL) return bits([REL_WHEEL])
      if (subselect === EV.ABS) return bits([ABS_X, ABS_Y])
    }
    if (select === SELECT.ABS_INFO && subselect <= ABS_Y)
      return [0, MOST, 0, 0, 0].flatMap(value => [value & 0xff, value >> 8, 0, 0])
    return []
  }

  writeConfiguration(offset: number, bytes: Uint8Array): void {
    for (const [i, byte] of bytes.entries()) {
      if (offset + i === 0) this.state.select = byte
      else if (offset + i === 1) this.state.subselect = byte
    }
  }

  /** Buffers for events wait until there are some; what the driver sets (LEDs) a tablet has not. */
  notify(index: number): void {
    if (index === EVENTS) return
    const queue = this.#transport!.queue(index)
    for (let count = 0; count < QUEUE_SIZE; count++) {
      const chain = queue.pop()
      if (chain === undefined) break
      queue.push(chain)
    }
    queue.signal()
  }

  reset(): void {
    this.state = { select: 0, subselect: 0 }
  }
}
