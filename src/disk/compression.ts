/** The compressions that images use, which hosts have as libraries. */

/** Compresses and uncompresses; everything rejects with any `Error` where the input is not what it should be. */
export interface Compression {
  /** Uncompresses a raw deflate stream, whatever follows it. Rejects if it gives more than `size` bytes. */
  inflateRaw(bytes: Uint8Array, size: number): Promise<Uint8Array>
  /** Compresses to a raw deflate stream with a window of 4 KiB, as qcow2 has it. */
  deflateRaw(bytes: Uint8Array): Promise<Uint8Array>
  /** Uncompresses a zlib stream (RFC 1950), whatever follows it. Rejects if it gives more than `size` bytes. */
  inflate(bytes: Uint8Array, size: number): Promise<Uint8Array>
  /** Compresses to a zlib stream. */
  deflate(bytes: Uint8Array): Promise<Uint8Array>
  /** Uncompresses a Zstandard frame, whatever follows it; undefined where the host cannot. */
  unzstd?(bytes: Uint8Array, size: number): Promise<Uint8Array>
  /** Compresses to a Zstandard frame; undefined where the host cannot. */
  zstd?(bytes: Uint8Array): Promise<Uint8Array>
}

/**
 * How many of the bytes a Zstandard frame at their beginning takes (RFC 8878, 3.1.1): what follows may look like another.
 * All of them where they are no whole frame, for the decoder to complain of.
 */
export function zstdFrameLength(bytes: Uint8Array): number {
  const descriptor = bytes[4]
  const isSingleSegment = (descriptor & 0x20) !== 0
  const sizeOfSize = [isSingleSegment ? 1 : 0, 2, 4, 8][descriptor >> 6]
  let at = 5 + (isSingleSegment ? 0 : 1) + [0, 1, 2, 4][descriptor & 3] + sizeOfSize
  for (let isLast = false; !isLast && at + 3 <= bytes.length; ) {
    const header = bytes[at] | (bytes[at + 1] << 8) | (bytes[at + 2] << 16)
    isLast = (header & 1) !== 0
    const isRun = ((header >> 1) & 3) === 1
    at += 3 + (isRun ? 1 : header >> 3)
    if (isLast) at += descriptor & 4
  }
  return Math.min(at, bytes.length)
}
