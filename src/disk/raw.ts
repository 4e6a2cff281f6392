/** Raw images: the file's bytes are the disk's. */
import type { ByteFile } from './byte-file.ts'
import { checkRange, checkWrite, type Disk, DiskError, type ImmediateAccess } from './disk.ts'

/** Most bytes of zeros that are written at once where the host cannot punch holes. */
const ZEROES = 2 ** 20

/** What a raw disk may be told. */
export interface RawOptions {
  /** Default 512. */
  sectorSize?: number
  /** Where in the file the disk begins, in bytes; default 0. */
  offset?: number
  /** The disk's size in bytes; default: all of the file from `offset`, the last sector made whole with zeros. */
  size?: number
}

function lengthOf(buffers: readonly Uint8Array[]): number {
  let length = 0
  for (const buffer of buffers) length += buffer.length
  return length
}

/** A file, or a part of one, as a disk. */
export class RawDisk implements Disk {
  readonly name: string
  readonly size: number
  readonly sectorSize: number
  readonly readOnly: boolean
  readonly immediate: ImmediateAccess | undefined
  readonly #file: ByteFile
  readonly #start: number
  #closed: Promise<void> | undefined
  readonly #underWay = new Set<Promise<unknown>>()

  /** @param file belongs to the disk from now on */
  constructor(file: ByteFile, options: RawOptions = {}) {
    this.#file = file
    this.#start = options.offset ?? 0
    this.sectorSize = options.sectorSize ?? 512
    this.size = options.size ?? Math.ceil(Math.max(0, file.size - this.#start) / this.sectorSize) * this.sectorSize
    this.name = file.name
    this.readOnly = file.readOnly
    const { immediate } = file
    this.immediate = immediate && {
      read: (offset, into) => {
        this.#checkOpen()
        checkRange(this, offset, lengthOf(into))
        return immediate.read(this.#start + offset, into)
      },
      write: (offset, from) => {
        this.#checkOpen()
        checkWrite(this, offset, lengthOf(from))
        return immediate.write(this.#start + offset, from)
      },
    }
  }

  async read(offset: number, buffer: Uint8Array): Promise<void> {
    this.#checkOpen()
    checkRange(this, offset, buffer.length)
    await this.#track(this.#file.read(this.#start + offset, buffer))
  }

  async write(offset: number, buffer: Uint8Array): Promise<void> {
    this.#checkOpen()
    checkWrite(this, offset, buffer.length)
    await this.#track(this.#file.write(this.#start + offset, buffer))
  }

  async writeZeroes(offset: number, length: number): Promise<void> {
    this.#checkOpen()
    checkWrite(this, offset, length)
    await this.#track(this.#writeZeroes(this.#start + offset, length))
  }

  async #writeZeroes(offset: number, length: number): Promise<void> {
    if (length === 0 || (await this.#file.punch(offset, length))) return
    const zeroes = new Uint8Array(Math.min(length, ZEROES))
    for (let done = 0; done < length; done += ZEROES) {
      await this.#file.write(offset + done, zeroes.subarray(0, length - done))
    }
  }

  async discard(offset: number, length: number): Promise<void> {
    this.#checkOpen()
    checkWrite(this, offset, length)
    if (length > 0) await this.#track(this.#file.punch(this.#start + offset, length))
  }

  async flush(): Promise<void> {
    this.#checkOpen()
    if (!this.readOnly) await this.#track(this.#file.flush())
  }

  close(): Promise<void> {
    return (this.#closed ??= this.#close())
  }

  async #close(): Promise<void> {
    await Promise.allSettled(this.#underWay)
    try {
      if (!this.readOnly) await this.#file.flush()
    } finally {
      await this.#file.close()
    }
  }

  #checkOpen(): void {
    if (this.#closed) throw new DiskError('closed', `disk '${this.name}' is closed`)
  }

  async #track(request: Promise<unknown>): Promise<void> {
    this.#underWay.add(request)
    try {
      await request
    } finally {
      this.#underWay.delete(request)
    }
  }
}
