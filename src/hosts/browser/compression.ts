/** The compressions of a page. */
import type { Compression } from '../../disk/compression.ts'
import { zstdFrameLength } from '../../disk/compression.ts'
import { inflateRaw, inflateZlib } from '../../disk/inflate.ts'

/** All that a stream of the page makes of bytes. @throws Error where that is more than `size` bytes */
async function through(format: string, bytes: Uint8Array, size: number, compress = false): Promise<Uint8Array> {
  const Stream = compress ? CompressionStream : DecompressionStream
  // A copy: what is shared a stream does not take.
  const source = new Blob([new Uint8Array(bytes)]).stream()
  const chunks: Uint8Array<ArrayBuffer>[] = []
  let length = 0
  // biome-ignore lint/suspicious/noExplicitAny: not every format that a page may know is among the types
  for await (const chunk of source.pipeThrough(new Stream(format as any)) as unknown as AsyncIterable<
    Uint8Array<ArrayBuffer>
  >) {
    chunks.push(chunk)
    if ((length += chunk.length) > size) throw new RangeError(`there are more than ${size} bytes`)
  }
  return new Uint8Array(await new Blob(chunks).arrayBuffer())
}

/** Whether the page's streams know Zstandard, as only some do. */
function knowsZstandard(): boolean {
  try {
    new DecompressionStream('zstd' as CompressionFormat)
    return true
  } catch {
    return false
  }
}

/**
 * A page's compressions. Its streams take no bytes behind the end of what they uncompress, so that this is our own; and they
 * compress with a window of 32 KiB, for which qcow2 has no room.
 */
export const browserCompression: Compression = {
  inflateRaw: async (bytes, size) => inflateRaw(bytes, size),
  async deflateRaw() {
    throw new Error('a page cannot compress clusters of qcow2')
  },
  inflate: async (bytes, size) => inflateZlib(bytes, size),
  deflate: bytes => through('deflate', bytes, Number.MAX_SAFE_INTEGER, true),
  unzstd: knowsZstandard()
    ? (bytes, size) => through('zstd', bytes.subarray(0, zstdFrameLength(bytes)), size)
    : undefined,
}
