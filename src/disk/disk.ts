/**
 * A disk as devices and programs see it: a row of bytes that is read and written by promises. Images of every format,
 * memory, and whatever a program serves itself implement {@link Disk}; devices are written against nothing else.
 */

/** What went wrong, for code that must tell cases apart; the message is the sentence for a person. */
export type DiskErrorCode =
  /** The host could not read or write. */
  | 'input-output'
  /** The host's disk is full. Nothing is lost or inconsistent, and the same request may succeed later. */
  | 'no-space'
  /** A write to a disk that is read-only. */
  | 'read-only'
  /** The request is not within the disk, or not in whole sectors. */
  | 'out-of-range'
  /** The disk was closed. */
  | 'closed'
  /** There is no such file, or no such snapshot. */
  | 'not-found'
  /** Something of that name is there already. */
  | 'exists'
  /** The host does not permit it, or a name inside an image leads out of its folder. */
  | 'denied'
  /** The image is in use by somebody else. */
  | 'in-use'
  /** The file is not of the format that it should be, or of none that is known. */
  | 'format'
  /** The image contradicts itself. */
  | 'corrupt'
  /** The image is right, but needs what is not there. */
  | 'unsupported'

/** An error of a disk. The message is one sentence that names the file, what is wrong and, where there is one, the remedy. */
export class DiskError extends Error {
  override readonly name = 'DiskError'
  readonly code: DiskErrorCode

  constructor(code: DiskErrorCode, message: string, options?: ErrorOptions) {
    super(message, options)
    this.code = code
  }
}

/**
 * A disk: `size` bytes, read and written in whole sectors.
 *
 * Any number of requests may be under way at a time. Requests that overlap and are under way together have no order
 * among each other, as on hardware; who needs one waits for the first. A buffer belongs to the disk until the promise
 * settles; it may lie in shared memory, such as a guest's RAM. All promises reject with a {@link DiskError}; a
 * disk that a program serves may reject with any `Error`, which devices report to the guest as an input/output error.
 */
export interface Disk {
  /** For messages: usually the file's path. */
  readonly name: string
  /** In bytes, a multiple of {@link sectorSize}. */
  readonly size: number
  /** Bytes of a logical sector, the unit of offsets and lengths: 512, or for disks that say so 2048 or 4096. */
  readonly sectorSize: number
  /** Whether writes are refused. */
  readonly readOnly: boolean
  /** How to read and write without a promise, where the disk can. */
  readonly immediate?: ImmediateAccess
  /** Fills `buffer` with what is at `offset`. */
  read(offset: number, buffer: Uint8Array): Promise<void>
  /** Writes `buffer` to `offset`. The write survives a crash once a {@link flush} that was called after it has come back. */
  write(offset: number, buffer: Uint8Array): Promise<void>
  /** Makes the range read as zeros, giving its space back to the host where possible. */
  writeZeroes(offset: number, length: number): Promise<void>
  /** Says that nobody needs the range's content any more. It then reads as zeros, or as what it was before. */
  discard(offset: number, length: number): Promise<void>
  /** Makes every write, zeroing and discard that came back before this call survive a crash of this process and of the host. */
  flush(): Promise<void>
  /**
   * Flushes, and lets go of the files. Requests under way are finished first, later ones rejected. Calling it again
   * does nothing. Also when it rejects, because the last flush failed, the files are let go of.
   */
  close(): Promise<void>
}

/**
 * Reads and writes that are over when the call returns: what a device asks for first, because they can go straight to and from
 * a guest's memory. Ranges are checked as those of the other calls.
 */
export interface ImmediateAccess {
  /** Fills the buffers, in order. @returns false where it did nothing, because it would take too long: then use {@link Disk.read} */
  read(offset: number, into: readonly Uint8Array[]): boolean
  /** Writes the buffers, in order. @returns false where it did nothing: then use {@link Disk.write} */
  write(offset: number, from: readonly Uint8Array[]): boolean
}

/**
 * Checks that a request lies within a disk and consists of whole sectors.
 * @throws DiskError `out-of-range`
 */
export function checkRange(disk: Pick<Disk, 'name' | 'size' | 'sectorSize'>, offset: number, length: number): void {
  const { name, size, sectorSize } = disk
  const whole = Number.isSafeInteger(offset) && offset % sectorSize === 0 && length % sectorSize === 0
  if (whole && offset >= 0 && length >= 0 && offset + length <= size) return
  throw new DiskError(
    'out-of-range',
    `a request for ${length} bytes at ${offset} is not ${whole ? `within the ${size} bytes` : `in whole sectors of ${sectorSize} bytes`} of disk '${name}'`,
  )
}

/**
 * Checks a request that changes the disk, as {@link checkRange} does.
 * @throws DiskError `out-of-range` or `read-only`
 */
export function checkWrite(
  disk: Pick<Disk, 'name' | 'size' | 'sectorSize' | 'readOnly'>,
  offset: number,
  length: number,
): void {
  if (disk.readOnly) throw new DiskError('read-only', `disk '${disk.name}' is read-only`)
  checkRange(disk, offset, length)
}
