/** gzip files (RFC 1952), by the host's DecompressionStream: initial RAM disks are checked with it, kernels unpacked. */
import { BootError } from './state.ts'

/** More than that is no kernel: a small file may unpack to anything. */
const MOST = 2 ** 30

/** Whether a file begins as gzip's do. */
export function isGzip(bytes: Uint8Array): boolean {
  return bytes[0] === 0x1f && bytes[1] === 0x8b
}

/** Unpacks piece by piece. Iteration throws what the host says of damage. */
export function gzipPieces(bytes: Uint8Array): AsyncIterable<Uint8Array> {
  // Not a Response: Node loads all of fetch for the first one.
  const packed = new ReadableStream<Uint8Array<ArrayBuffer>>({
    start(controller) {
      controller.enqueue(bytes as Uint8Array<ArrayBuffer>)
      controller.close()
    },
  })
  return packed.pipeThrough(new DecompressionStream('gzip'))
}

/** Whether an error only says that something follows the end: more archives, or padding. */
export function isAboutWhatFollows(error: unknown): boolean {
  const { code, message } = error as Error & { code?: string }
  return /junk|trailing|after the end/i.test(`${code} ${message}`)
}

/** Unpacks a kernel. @throws BootError with one sentence where it is damaged, or no kernel by its size */
export async function unpackKernelFile(file: Uint8Array): Promise<Uint8Array> {
  const pieces: Uint8Array[] = []
  let length = 0
  try {
    for await (const piece of gzipPieces(file)) {
      length += piece.length
      if (length > MOST) throw new BootError('the kernel is a gzip file of more than 1 GiB: give one that is a kernel')
      pieces.push(piece)
    }
  } catch (error) {
    if (error instanceof BootError) throw error
    if (!isAboutWhatFollows(error))
      throw new BootError(
        'the kernel is truncated or damaged: its gzip data ends or fails early: fetch or build it again',
      )
  }
  const kernel = new Uint8Array(length)
  let at = 0
  for (const piece of pieces) {
    kernel.set(piece, at)
    at += piece.length
  }
  return kernel
}
