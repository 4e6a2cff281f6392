/** Node's zlib as the disk formats see it. */
import { promisify } from 'node:util'
import zlib from 'node:zlib'
import { type Compression, zstdFrameLength } from '../../disk/compression.ts'

const [inflateRaw, deflateRaw] = [promisify(zlib.inflateRaw), promisify(zlib.deflateRaw)]
const [inflate, deflate] = [
  promisify<Uint8Array, zlib.ZlibOptions, Uint8Array>(zlib.inflate),
  promisify<Uint8Array, zlib.ZlibOptions, Uint8Array>(zlib.deflate),
]
const [unzstd, zstd] = [promisify(zlib.zstdDecompress), promisify(zlib.zstdCompress)]

/** qcow2's window, as a power of two. */
const QCOW2_WINDOW = 12

/** Node's zlib. */
export const nodeCompression: Compression = {
  // A cluster says in sectors how long it is, so that input may end in the middle of what follows the stream.
  inflateRaw: (bytes, size) => inflateRaw(bytes, { maxOutputLength: size, finishFlush: zlib.constants.Z_SYNC_FLUSH }),
  deflateRaw: bytes => deflateRaw(bytes, { windowBits: QCOW2_WINDOW }),
  inflate: (bytes, size) => inflate(bytes, { maxOutputLength: size, finishFlush: zlib.constants.Z_SYNC_FLUSH }),
  deflate: bytes => deflate(bytes, {}),
  unzstd: (bytes, size) => unzstd(bytes.subarray(0, zstdFrameLength(bytes)), { maxOutputLength: size }),
  zstd: bytes => zstd(bytes),
}
