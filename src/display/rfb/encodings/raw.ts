/** Raw: RFC 6143 section 7.7.1. */
import type { ByteWriter } from '../byte-writer.ts'
import { ENCODING } from '../protocol.ts'
import { type Block, writeHeader } from './encoder.ts'

/** Writes a rectangle as it is. */
export function encodeRaw(block: Block, writer: ByteWriter): void {
  writeHeader(writer, block, ENCODING.raw)
  const { pixels, format } = block
  format.putRow(writer.room(pixels.length * format.size), 0, pixels)
}
