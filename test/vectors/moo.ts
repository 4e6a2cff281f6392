/** Files of hardware-captured tests in the MOO format: chunks of a 4-byte tag, a 4-byte length and the payload. */

/** Registers by their bit in the mask of a REGS chunk. */
export const AX = 0
export const BX = 1
export const CX = 2
export const DX = 3
export const CS = 4
export const SS = 5
export const DS = 6
export const ES = 7
export const SP = 8
export const BP = 9
export const SI = 10
export const DI = 11
export const IP = 12
export const FLAGS = 13

/** The registers' names, by number. */
export const REGISTER_NAMES = ['ax', 'bx', 'cx', 'dx', 'cs', 'ss', 'ds', 'es', 'sp', 'bp', 'si', 'di', 'ip', 'flags']

/** Bytes of RAM by physical address. */
export interface RamBytes {
  readonly addresses: Uint32Array
  readonly values: Uint8Array
}

/** One captured instruction. */
export interface VectorTest {
  readonly index: number
  /** The instruction as a disassembler writes it. */
  readonly name: string
  /** Its bytes; in the 80286's files the HLT that follows is the last one. */
  readonly bytes: Uint8Array
  /** All 14 registers before. */
  readonly initial: Uint16Array
  readonly initialRam: RamBytes
  /** All 14 registers after. */
  readonly final: Uint16Array
  readonly finalRam: RamBytes
  /** The exception that the instruction raised; told only by the files of the 80286. */
  readonly exception: { readonly vector: number } | undefined
}

/** A file of tests. */
export interface VectorFile {
  /** The processor that they were captured from, as its header has it: `8086`, `C286`. */
  readonly cpu: string
  readonly tests: Iterable<VectorTest>
}

const NO_RAM: RamBytes = { addresses: new Uint32Array(0), values: new Uint8Array(0) }
const NO_BYTES = new Uint8Array(0)
const ascii = new TextDecoder('latin1')

type ChunkVisitor = (tag: string, from: number, to: number) => void

class Reader {
  readonly bytes: Uint8Array
  readonly view: DataView

  constructor(bytes: Uint8Array) {
    this.bytes = new Uint8Array(bytes.buffer, bytes.byteOffset, bytes.byteLength)
    this.view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength)
  }

  /** Visits the chunks of a range. @throws Error when a chunk reaches beyond it */
  chunks(from: number, to: number, visit: ChunkVisitor): void {
    let at = from
    while (at < to) {
      if (at + 8 > to) throw new Error(`a chunk at byte ${at} is cut off`)
      const tag = ascii.decode(this.bytes.subarray(at, at + 4))
      const length = this.view.getUint32(at + 4, true)
      at += 8
      if (at + length > to) throw new Error(`chunk ${JSON.stringify(tag)} at byte ${at - 8} reaches beyond its end`)
      visit(tag, at, at + length)
      at += length
    }
  }

  /** INIT or FINA: the registers named in its mask go into `registers`. @returns its RAM */
  state(from: number, to: number, registers: Uint16Array): RamBytes {
    let ram = NO_RAM
    this.chunks(from, to, (tag, at) => {
      if (tag === 'REGS') {
        const mask = this.view.getUint16(at, true)
        let value = at + 2
        for (let i = 0; i < registers.length; i++) {
          if (!((mask >> i) & 1)) continue
          registers[i] = this.view.getUint16(value, true)
          value += 2
        }
      } else if (tag === 'RAM ') ram = this.ram(at)
    })
    return ram
  }

  private ram(at: number): RamBytes {
    const count = this.view.getUint32(at, true)
    const addresses = new Uint32Array(count)
    const values = new Uint8Array(count)
    for (let i = 0, entry = at + 4; i < count; i++, entry += 5) {
      addresses[i] = this.view.getUint32(entry, true)
      values[i] = this.bytes[entry + 4]
    }
    return { addresses, values }
  }

  test(from: number, to: number, position: number): VectorTest {
    let name = ''
    let bytes = NO_BYTES
    let exception: VectorTest['exception']
    let initialRam = NO_RAM
    let finalRam = NO_RAM
    const initial = new Uint16Array(14)
    let final = initial
    this.chunks(from + 4, to, (tag, at, end) => {
      if (tag === 'NAME') name = ascii.decode(this.bytes.subarray(at + 4, end))
      else if (tag === 'BYTS') bytes = this.bytes.slice(at + 4, end)
      else if (tag === 'INIT') {
        initialRam = this.state(at, end, initial)
        final = initial.slice()
      } else if (tag === 'FINA') finalRam = this.state(at, end, final)
      else if (tag === 'EXCP') {
        // The address of the pushed flags follows, wrong when the stack is at an odd address.
        exception = { vector: this.bytes[at] }
      }
    })
    if (bytes.length === 0) throw new Error(`the test at byte ${from} has no instruction`)
    // The 8086's files have no numbers.
    const index = this.view.getUint32(from, true) || position
    return { index, name, bytes, initial, initialRam, final, finalRam, exception }
  }
}

/**
 * Reads a file's contents, unpacked.
 * @param every of the tests only each so many-th
 * @throws Error with what is wrong, when it is no such file
 */
export function readVectors(bytes: Uint8Array, every = 1): VectorFile {
  const reader = new Reader(bytes)
  if (bytes.length < 20 || ascii.decode(bytes.subarray(0, 4)) !== 'MOO ')
    throw new Error('it does not begin with "MOO "')
  const headerLength = reader.view.getUint32(4, true)
  const cpu = ascii.decode(bytes.subarray(16, 20)).trim()
  const places: [from: number, to: number][] = []
  reader.chunks(8 + headerLength, bytes.length, (tag, from, to) => {
    if (tag === 'TEST') places.push([from, to])
  })
  return {
    cpu,
    tests: (function* () {
      for (let i = 0; i < places.length; i += every) yield reader.test(...places[i], i)
    })(),
  }
}
