import type { AccessSize, Bus, Device } from './bus.ts'

/** Commands of the Intel/Sharp command set (JEDEC JEP137, Common Flash Interface; 28F640J3 data sheet, table 12). */
const READ_ARRAY = 0xff
const READ_IDENTIFIER = 0x90
const READ_QUERY = 0x98
const READ_STATUS = 0x70
const CLEAR_STATUS = 0x50
const PROGRAM = [0x10, 0x40]
const WRITE_TO_BUFFER = 0xe8
const BLOCK_ERASE = 0x20
const CONFIRM = 0xd0

const STATUS_READY = 0x80
const STATUS_ERASE_ERROR = 0x20
const STATUS_PROGRAM_ERROR = 0x10

/** Bytes that are erased at once. */
export const FLASH_BLOCK = 4096
const BUFFER = 256
/** Intel, and a device of 8 bits. */
const IDENTIFIER = [0x89, 0x18]

/** What the flash is told, and whom it tells. */
export interface CfiFlashOptions {
  name: string
  /** Its guest-physical address; `contents` ends where it ends. */
  address: number
  /** What it holds, a multiple of {@link FLASH_BLOCK}. */
  contents: Uint8Array
  /** Shows the contents to the processor as memory (true), or leaves reads to the device. */
  show(contents: Uint8Array | undefined): void
  /** Bytes have changed, and will be so after the next start too. Called once for what was written without a pause. */
  changed(offset: number, bytes: Uint8Array): void
}

type Mode = 'array' | 'identifier' | 'query' | 'status' | 'program' | 'erase' | 'count' | 'fill' | 'confirm'

interface CfiFlashState {
  mode: Mode
  status: number
  /** Where the buffer of a buffered write begins, how many bytes are due, and those that came. */
  buffer: { offset: number; left: number; bytes: number[] }
  /** The range that was written since the array was last shown; empty where first is not below last. */
  dirty: { first: number; last: number }
  contents: Uint8Array
}

/** A NOR flash with the common flash interface, a byte wide: where UEFI keeps its variables. */
export class CfiFlash implements Device {
  readonly name: string
  readonly version = 1
  state: CfiFlashState
  readonly #options: CfiFlashOptions
  readonly #bus: Bus

  /** @throws if the addresses are taken or the size is no multiple of a block. */
  constructor(bus: Bus, options: CfiFlashOptions) {
    const { name, address, contents } = options
    if (contents.length === 0 || contents.length % FLASH_BLOCK !== 0)
      throw new Error(`${name}: ${contents.length} bytes are no multiple of ${FLASH_BLOCK}`)
    this.name = name
    this.#bus = bus
    this.#options = options
    this.state = {
      mode: 'array',
      status: STATUS_READY,
      buffer: { offset: 0, left: 0, bytes: [] },
      dirty: { first: contents.length, last: 0 },
      contents: contents.slice(),
    }
    bus.mmio(address, contents.length, {
      readMmio: (offset, size) => this.#read(offset, size),
      writeMmio: (offset, size, value) => this.#write(offset, size, value),
    })
    options.show(this.state.contents)
  }

  /** RESET#: the array is read again; what is in it stays. */
  reset(): void {
    this.state.status = STATUS_READY
    this.#enter('array')
  }

  restored(): void {
    this.#options.show(this.state.mode === 'array' ? this.state.contents : undefined)
  }

  #enter(mode: Mode): void {
    const { state } = this
    if (mode === 'array') {
      const { first, last } = state.dirty
      if (first < last) this.#options.changed(first, state.contents.slice(first, last))
      state.dirty = { first: state.contents.length, last: 0 }
    }
    if ((mode === 'array') !== (state.mode === 'array'))
      this.#options.show(mode === 'array' ? state.contents : undefined)
    state.mode = mode
  }

  #read(offset: number, size: AccessSize): number {
    const { mode, status, contents } = this.state
    let value = 0
    for (let i = size - 1; i >= 0; i--) {
      const at = offset + i
      let byte = status
      if (mode === 'array') byte = contents[at]
      else if (mode === 'identifier') byte = IDENTIFIER[at & 0xff] ?? 0
      else if (mode === 'query') byte = this.#query(at & 0xff)
      value = (value << 8) | byte
    }
    return value >>> 0
  }

  /** The table of the common flash interface: what it is and how large. */
  #query(at: number): number {
    const { length } = this.state.contents
    const blocks = length / FLASH_BLOCK - 1
    const table: Record<number, number> = {
      16: 0x51,
      17: 0x52,
      18: 0x59,
      19: 1,
      21: 0x31,
      39: Math.ceil(Math.log2(length)),
      42: Math.log2(BUFFER),
      44: 1,
      45: blocks & 0xff,
      46: blocks >> 8,
      47: (FLASH_BLOCK >> 8) & 0xff,
      48: FLASH_BLOCK >> 16,
    }
    return table[at] ?? 0
  }

  #write(offset: number, size: AccessSize, value: number): void {
    const { state } = this
    switch (state.mode) {
      case 'program':
        for (let i = 0; i < size; i++) this.#program(offset + i, (value >>> (8 * i)) & 0xff)
        this.#enter('status')
        break
      case 'erase':
        if ((value & 0xff) === CONFIRM) this.#erase(offset)
        else state.status |= STATUS_ERASE_ERROR | STATUS_PROGRAM_ERROR
        this.#enter('status')
        break
      case 'count':
        state.buffer = { offset: -1, left: Math.min((value & 0xff) + 1, BUFFER), bytes: [] }
        this.#enter('fill')
        break
      case 'fill':
        this.#fill(offset, size, value)
        break
      case 'confirm':
        if ((value & 0xff) === CONFIRM)
          for (const [i, byte] of state.buffer.bytes.entries()) this.#program(state.buffer.offset + i, byte)
        else state.status |= STATUS_PROGRAM_ERROR
        this.#enter('status')
        break
      default:
        this.#command(value & 0xff)
    }
  }

  #command(command: number): void {
    if (command === READ_ARRAY) this.#enter('array')
    else if (command === READ_IDENTIFIER) this.#enter('identifier')
    else if (command === READ_QUERY) this.#enter('query')
    else if (command === READ_STATUS) this.#enter('status')
    // The ready bit too, until something is done: UEFI's firmware knows by it that there is flash, and not ROM.
    else if (command === CLEAR_STATUS) this.state.status = 0
    else if (PROGRAM.includes(command)) this.#enter('program')
    else if (command === BLOCK_ERASE) this.#enter('erase')
    else if (command === WRITE_TO_BUFFER) this.#enter('count')
    else {
      this.#bus.logOnce(`${this.name} ${command}`, `${this.name}: unknown command 0x${command.toString(16)} is ignored`)
      this.#enter('array')
    }
  }

  #fill(offset: number, size: AccessSize, value: number): void {
    const { buffer } = this.state
    if (buffer.offset < 0) buffer.offset = offset
    for (let i = 0; i < size && buffer.left > 0; i++, buffer.left--) buffer.bytes.push((value >>> (8 * i)) & 0xff)
    if (buffer.left === 0) this.#enter('confirm')
  }

  /** Programming makes ones zeros, and never the reverse. */
  #program(offset: number, value: number): void {
    const { contents } = this.state
    this.state.status |= STATUS_READY
    if (offset >= contents.length) return
    contents[offset] &= value
    this.#touch(offset, offset + 1)
  }

  #erase(offset: number): void {
    const first = offset - (offset % FLASH_BLOCK)
    this.state.status |= STATUS_READY
    this.state.contents.fill(0xff, first, first + FLASH_BLOCK)
    this.#touch(first, first + FLASH_BLOCK)
  }

  #touch(first: number, last: number): void {
    const { dirty } = this.state
    dirty.first = Math.min(dirty.first, first)
    dirty.last = Math.max(dirty.last, last)
  }
}
