/** The pointer that viewers draw themselves: a dot, so that it never hides the guest's own. RFC 6143 section 7.8.1 */
import { ByteWriter } from './byte-writer.ts'
import { writeHeader } from './encodings/encoder.ts'
import type { PixelWriter } from './pixel-format.ts'
import { ENCODING } from './protocol.ts'

/** Rows of the dot: `#` black, `o` white, a blank for what shines through. */
const DOT = [' ### ', '#ooo#', '#ooo#', '#ooo#', ' ### ']
const SIZE = DOT.length

/** Writes the pseudo-rectangle with the dot. */
export function writeCursor(writer: ByteWriter, format: PixelWriter): void {
  const hotspot = SIZE >> 1
  writeHeader(writer, { x: hotspot, y: hotspot, width: SIZE, height: SIZE }, ENCODING.cursor)
  const mask = new ByteWriter()
  for (const row of DOT) {
    let bits = 0
    for (let x = 0; x < SIZE; x++) {
      format.put(writer.room(format.size), 0, row[x] === 'o' ? 0xffffffff : 0xff000000)
      if (row[x] !== ' ') bits |= 0x80 >> x
    }
    mask.u8(bits)
  }
  writer.bytes(mask.view())
}
