/**
 * What image formats need of the host: files as rows of bytes, and the folder that an image lies in. Node's files, the
 * files of a browser's private file system and memory are the same to them.
 */

import type { ImmediateAccess } from './disk.ts'

/** A piece of a file: bytes and where they go. */
export interface FilePart {
  offset: number
  bytes: Uint8Array
}

/**
 * A file. Any number of requests may be under way at a time; the promises reject with a `DiskError` that names the file.
 */
export interface ByteFile {
  /** For messages: usually the path. */
  readonly name: string
  readonly readOnly: boolean
  /** Whether it is a device of the host rather than a file; default false. */
  readonly isDevice?: boolean
  /** In bytes, as of the last request that came back. */
  readonly size: number
  /** How to read and write without a promise, where the host can; as the other calls, it knows no end of the file. */
  readonly immediate?: ImmediateAccess
  /** Fills `buffer` with what is at `offset`; what lies behind the end reads as zeros. */
  read(offset: number, buffer: Uint8Array): Promise<void>
  /** Writes `buffer` to `offset`. A file that ends before grows, reading as zeros in between. */
  write(offset: number, buffer: Uint8Array): Promise<void>
  /**
   * Writes the parts one after the other, as close together in time as the host can: a killed process should rarely
   * be killed in between, and when it is, has written all parts before one and none after it.
   */
  writeInOrder(parts: readonly FilePart[]): Promise<void>
  /**
   * Cuts or extends the file to `size` bytes, at once: requests made later come after it. What is new reads as zeros and
   * takes no space where the host can do that.
   */
  truncate(size: number): Promise<void>
  /** Gives the space of a range back. @returns whether it could: then, and only then, the range reads as zeros */
  punch(offset: number, length: number): Promise<boolean>
  /** Brings all writes that came back before to the medium. */
  flush(): Promise<void>
  /** Bytes that the file takes on the host, or undefined where the host does not say. */
  allocated(): Promise<number | undefined>
  /** Lets go of the file without flushing. Calling it again does nothing. */
  close(): Promise<void>
}

/** How a file is opened. */
export interface OpenMode {
  /** Default: false, reading and writing. */
  readOnly?: boolean
  /** Make a new file, which must not be there yet. */
  create?: boolean
}

/**
 * Where an image lies: opens the other files that it names (a backing file, an extent). Names come from inside images and
 * so from strangers: the folder refuses what lies elsewhere unless its maker allowed that.
 */
export interface ImageFolder {
  /**
   * Opens a file that the image at `image` names.
   * @param image the name of the file that the name stands in, as {@link ByteFile.name} has it
   * @param name as written in the image: relative to it, or absolute
   * @throws DiskError `not-found`, `denied`, `in-use` …
   */
  open(image: string, name: string, mode: OpenMode): Promise<ByteFile>
  /** The name by which {@link open} would open `name`, as a {@link ByteFile.name}: two names of one file are equal. */
  resolve(image: string, name: string): Promise<string>
}
