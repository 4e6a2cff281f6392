/** Streams of zlib for displays, by Node. */
import { constants, createDeflate, deflateSync } from 'node:zlib'
import type { DeflateOnce, Deflater } from '../../../display/rfb/encodings/encoder.ts'

/** Makes a stream. @param level 1 (quick) to 9 (small) */
export function nodeDeflater(level: number): Deflater {
  const stream = createDeflate({ level })
  let parts: Buffer[] = []
  let closed: ((error: Error) => void) | undefined
  stream.on('data', part => parts.push(part))
  stream.on('error', error => closed?.(error))
  return {
    deflate(bytes) {
      return new Promise((resolve, reject) => {
        closed = reject
        stream.write(bytes)
        stream.flush(constants.Z_SYNC_FLUSH, () => {
          closed = undefined
          const all = parts.length === 1 ? parts[0] : Buffer.concat(parts)
          parts = []
          resolve(all)
        })
      })
    },
    close() {
      stream.close()
      closed?.(new Error('the stream was closed'))
    },
  }
}

/** Compresses a little, without another thread's help, which comes late where the host is busy. */
export const nodeDeflateOnce: DeflateOnce = (bytes, level) =>
  deflateSync(bytes, { level, finishFlush: constants.Z_SYNC_FLUSH })
