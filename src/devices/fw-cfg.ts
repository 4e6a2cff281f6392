import type { AccessSize, Bus, Device } from './bus.ts'

/** Ports of the firmware configuration device, as firmware for virtual machines expects them (docs/specs/fw_cfg of QEMU). */
const SELECTOR = 0x510
const DATA = 0x511
const DMA_HIGH = 0x514
const DMA_LOW = 0x518

/** Keys of items that are no files. */
export const FW_CFG = {
  SIGNATURE: 0x00,
  ID: 0x01,
  UUID: 0x02,
  RAM_SIZE: 0x03,
  NO_GRAPHIC: 0x04,
  PROCESSORS: 0x05,
  MACHINE_ID: 0x06,
  KERNEL_ADDRESS: 0x07,
  KERNEL_SIZE: 0x08,
  INITRD_ADDRESS: 0x0a,
  INITRD_SIZE: 0x0b,
  BOOT_MENU: 0x0e,
  MOST_PROCESSORS: 0x0f,
  KERNEL_DATA: 0x11,
  INITRD_DATA: 0x12,
  COMMAND_LINE_ADDRESS: 0x13,
  COMMAND_LINE_SIZE: 0x14,
  COMMAND_LINE_DATA: 0x15,
  SETUP_ADDRESS: 0x16,
  SETUP_SIZE: 0x17,
  SETUP_DATA: 0x18,
  DIRECTORY: 0x19,
  FIRST_FILE: 0x20,
  /** IRQ 0 is wired to pin 2 of the I/O APIC. */
  IRQ0_OVERRIDE: 0x8002,
} as const

const SIGNATURE = 'QEMU'
/** The traditional interface, and DMA. */
const ID_FEATURES = 3
const DMA_SIGNATURE = 'QEMU CFG'

const CONTROL_ERROR = 1
const CONTROL_READ = 2
const CONTROL_SKIP = 4
const CONTROL_SELECT = 8
const CONTROL_WRITE = 16
/** Bytes of a directory entry, and of the name in it. */
const ENTRY = 64
const NAME = 56
/** Bytes copied at a time, and most that are made up behind the end of an item. */
const CHUNK = 0x10000
const MOST_PADDING = 2 ** 20

/** The contents of an item, or who makes them each time that it is selected. */
export type FwCfgContents = Uint8Array | (() => Uint8Array)

/** A little-endian number of so many bytes. */
export function littleEndian(value: number, size: 1 | 2 | 4 | 8): Uint8Array {
  return Uint8Array.from({ length: size }, (_, i) => Math.floor(value / 2 ** (8 * i)) % 256)
}

/** The firmware configuration device: what firmware reads of the machine. Only reads; a write by DMA is an error. */
export class FwCfg implements Device {
  readonly name = 'fw-cfg'
  readonly version = 1
  /** The item selected, the next byte of it, and the high half of the DMA address. */
  state = { selector: 0, offset: 0, dmaHigh: 0 }
  readonly #bus: Bus
  readonly #items = new Map<number, FwCfgContents>()
  readonly #files = new Map<string, FwCfgContents>()
  #selected: Uint8Array = new Uint8Array(0)

  /** @throws if ports 510h–511h or 514h–51bh are taken. */
  constructor(bus: Bus) {
    this.#bus = bus
    this.set(FW_CFG.SIGNATURE, new TextEncoder().encode(SIGNATURE))
    this.set(FW_CFG.ID, littleEndian(ID_FEATURES, 4))
    this.set(FW_CFG.DIRECTORY, () => this.#directory())
    bus.ports(SELECTOR, 2, {
      readPort: (port, size) => (port === DATA ? this.#readBytes(size) : 0),
      writePort: (port, _size, value) => {
        if (port === SELECTOR) this.#select(value & 0xffff)
      },
    })
    bus.ports(DMA_HIGH, 8, {
      readPort: (port, size) => {
        let value = 0
        for (let i = size - 1; i >= 0; i--)
          value = (value << 8) | (DMA_SIGNATURE.charCodeAt(port - DMA_HIGH + i) & 0xff)
        return value >>> 0
      },
      writePort: (port, size, value) => {
        if (size !== 4) return
        if (port === DMA_HIGH) this.state.dmaHigh = swap(value)
        else if (port === DMA_LOW) {
          const address = this.state.dmaHigh * 2 ** 32 + swap(value)
          this.state.dmaHigh = 0
          this.#dma(address)
        }
      },
    })
  }

  /** Sets an item by its key. */
  set(key: number, contents: FwCfgContents): void {
    this.#items.set(key, contents)
  }

  /** Adds a file, or gives one other contents. Before the guest runs: keys follow from the names' order. */
  setFile(name: string, contents: FwCfgContents): void {
    if (name.length >= NAME) throw new Error(`the name of the file '${name}' is too long for fw_cfg`)
    this.#files.set(name, contents)
  }

  reset(): void {
    this.state = { selector: 0, offset: 0, dmaHigh: 0 }
    this.#selected = this.#contents(0)
  }

  restored(): void {
    this.#selected = this.#contents(this.state.selector)
  }

  #names(): string[] {
    return [...this.#files.keys()].sort()
  }

  #contents(key: number): Uint8Array {
    const name = key >= FW_CFG.FIRST_FILE && key < 0x4000 ? this.#names()[key - FW_CFG.FIRST_FILE] : undefined
    const contents = name === undefined ? this.#items.get(key) : this.#files.get(name)
    return typeof contents === 'function' ? contents() : (contents ?? new Uint8Array(0))
  }

  #directory(): Uint8Array {
    const names = this.#names()
    const bytes = new Uint8Array(4 + ENTRY * names.length)
    const view = new DataView(bytes.buffer)
    view.setUint32(0, names.length)
    for (const [i, name] of names.entries()) {
      const at = 4 + ENTRY * i
      view.setUint32(at, this.#contents(FW_CFG.FIRST_FILE + i).length)
      view.setUint16(at + 4, FW_CFG.FIRST_FILE + i)
      bytes.set(new TextEncoder().encode(name), at + 8)
    }
    return bytes
  }

  #select(key: number): void {
    this.state.selector = key
    this.state.offset = 0
    this.#selected = this.#contents(key)
    if (this.#selected.length === 0)
      this.#bus.logOnce(`fw_cfg ${key}`, `fw_cfg: there is no item 0x${key.toString(16)}`)
  }

  #readBytes(size: AccessSize): number {
    let value = 0
    for (let i = 0; i < size; i++) value |= (this.#selected[this.state.offset++] ?? 0) << (8 * i)
    return value >>> 0
  }

  /** Does what the 16 bytes at `address` ask for: control, length and address, big-endian. */
  #dma(address: number): void {
    const { memory } = this.#bus
    const view = new DataView(memory.read(address, 16).buffer)
    const control = view.getUint32(0)
    const length = view.getUint32(4)
    const target = Number(view.getBigUint64(8))
    if (control & CONTROL_SELECT) this.#select(control >>> 16)
    const { state } = this
    const rest = Math.max(0, this.#selected.length - state.offset)
    let failed = false
    if (control & CONTROL_READ) {
      failed = target >= 2 ** 52 || length > rest + MOST_PADDING
      if (!failed) this.#copy(target, length, rest)
    } else if (control & CONTROL_WRITE) failed = true
    // A skip moves on, however far.
    if (!failed && control & (CONTROL_READ | CONTROL_SKIP))
      state.offset = Math.min(state.offset + length, this.#selected.length)
    const answer = new Uint8Array(4)
    new DataView(answer.buffer).setUint32(0, failed ? CONTROL_ERROR : 0)
    memory.write(address, answer)
  }

  #copy(target: number, length: number, rest: number): void {
    const { offset } = this.state
    for (let done = 0; done < length; done += CHUNK) {
      const part = new Uint8Array(Math.min(CHUNK, length - done))
      if (done < rest) part.set(this.#selected.subarray(offset + done, offset + Math.min(rest, done + part.length)))
      this.#bus.memory.write(target + done, part)
    }
  }
}

/** The four bytes of a word in the other order. */
function swap(value: number): number {
  return ((value << 24) | ((value & 0xff00) << 8) | ((value >>> 8) & 0xff00) | (value >>> 24)) >>> 0
}
