/** A WAV file (RIFF, Microsoft and IBM, "Multimedia Programming Interface and Data Specifications 1.0") that grows. */
import { constants, type FileHandle, open } from 'node:fs/promises'
import { SAMPLE_RATE } from '../../machine/sound.ts'
import { UserError } from './user-error.ts'

const HEADER = 44
/** Bytes of a frame: two samples of 16 bits. */
const FRAME = 4
/** What the header's 32 bits can say, in whole frames. */
const MOST_DATA = 0xffffff00
/** Longer silences are shortened to so many frames. */
const LONGEST_SILENCE = 2 * SAMPLE_RATE

/** Sound in a file: stereo, 16 bits, 48 kHz. Its header is right after every write, so however the program ends. */
export class WaveFile {
  readonly #file: FileHandle
  readonly #path: string
  /** Bytes of samples. */
  #length = 0
  /** The frame of guest time that comes next; undefined before the first. */
  #next: number | undefined

  /** Opens a file, or makes one; what it holds stays until {@link begin}. @throws UserError naming it */
  static async open(path: string): Promise<WaveFile> {
    try {
      return new WaveFile(await open(path, constants.O_WRONLY | constants.O_CREAT), path)
    } catch (error) {
      throw new UserError(`the sound cannot be recorded to ${path}: ${(error as Error).message}`)
    }
  }

  private constructor(file: FileHandle, path: string) {
    this.#file = file
    this.#path = path
  }

  /** Makes it a file without samples. @throws Error when it cannot be written */
  async begin(): Promise<void> {
    // Devices and pipes have no size to change.
    await this.#file.truncate(0).catch(() => {})
    await this.#file.write(header(0), 0, HEADER, 0)
  }

  /**
   * Adds samples that are heard from frame `frame` on, with silence for what is between.
   * @throws Error when they cannot be written, or the file is as large as one can be
   */
  async add(frame: number, samples: Int16Array): Promise<void> {
    const silence = Math.min(Math.max(0, frame - (this.#next ?? frame)), LONGEST_SILENCE)
    this.#next = frame + samples.length / 2
    const bytes = new Uint8Array(silence * FRAME + samples.length * 2)
    const view = new DataView(bytes.buffer)
    for (let i = 0; i < samples.length; i++) view.setInt16(silence * FRAME + 2 * i, samples[i], true)
    if (this.#length + bytes.length > MOST_DATA)
      throw new Error(`${this.#path} has 4 GiB, and a WAV file cannot have more`)
    await this.#file.write(bytes, 0, bytes.length, HEADER + this.#length)
    this.#length += bytes.length
    await this.#file.write(header(this.#length), 0, HEADER, 0)
  }

  /** Closes it. */
  async close(): Promise<void> {
    await this.#file.close()
  }
}

/** The chunks RIFF, `fmt ` and the head of `data`. */
function header(length: number): Uint8Array {
  const bytes = Buffer.alloc(HEADER)
  bytes.write('RIFF', 0, 'latin1')
  bytes.writeUInt32LE(HEADER - 8 + length, 4)
  bytes.write('WAVEfmt ', 8, 'latin1')
  bytes.writeUInt32LE(16, 16)
  bytes.writeUInt16LE(1, 20) // PCM
  bytes.writeUInt16LE(2, 22)
  bytes.writeUInt32LE(SAMPLE_RATE, 24)
  bytes.writeUInt32LE(SAMPLE_RATE * FRAME, 28)
  bytes.writeUInt16LE(FRAME, 32)
  bytes.writeUInt16LE(16, 34)
  bytes.write('data', 36, 'latin1')
  bytes.writeUInt32LE(length, 40)
  return bytes
}
