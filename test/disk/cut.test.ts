/** Images whose end is missing: what is read is what was written, or there is a sentence; never zeros in place of what was lost. */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { MemoryFile, type MemoryFolder } from '../../src/disk/memory.ts'
import { openImage } from '../../src/disk/open.ts'
import { type Disk, DiskError } from '../../src/index.ts'
import { contentOf, hostOf, KINDS, type Kind, makeImage, withFile } from './malformed.ts'
import { randomNumbers } from './random.ts'

const PIECE = 16384
const CLUSTER = 65536
const SEED = 7

function open(folder: MemoryFolder, { format }: Kind, readOnly: boolean): Promise<Disk> {
  const [file] = folder.files.values()
  return openImage(new MemoryFile(file.name, { readOnly, of: file }), hostOf(folder), { format })
}

/**
 * Reads all of a disk.
 * @param filled so many pieces may have zeros where something else was
 * @returns how many of its pieces are refused
 */
async function compare(disk: Disk, content: Uint8Array, filled = 0): Promise<number> {
  let refused = 0
  const piece = new Uint8Array(PIECE)
  for (let at = 0; at < content.length; at += PIECE) {
    try {
      await disk.read(at, piece)
    } catch (error) {
      assert.ok(error instanceof DiskError, `${(error as Error).stack}`)
      assert.match(error.message, /^[^\n]{10,300}$/)
      refused++
      continue
    }
    const differs = piece.some((byte, i) => byte !== content[at + i])
    if (differs && filled-- > 0 && piece.every((byte, i) => byte === content[at + i] || byte === 0)) continue
    assert.equal(
      Buffer.compare(piece, content.subarray(at, at + PIECE)),
      0,
      `what is read at ${at} is what was written`,
    )
  }
  return refused
}

for (const kind of KINDS)
  test(`cut images: ${Object.values(kind).join(', ')}`, async () => {
    const whole = await makeImage(kind)
    const disk = await open(whole, kind, true)
    const content = new Uint8Array(disk.size)
    await disk.read(0, content)
    assert.equal(await compare(disk, content), 0)
    await disk.close()
    // The last of them has the data: of images of several files the first is only their description.
    const index = whole.files.size - 1
    const bytes = await contentOf([...whole.files.values()][index])
    const random = randomNumbers(SEED)
    // Of qcow2, what the last cluster lacks may be what the power's failure took: it becomes zeros when the image is to be written.
    const filled = (readOnly: boolean) => (kind.format === 'qcow2' && !readOnly ? CLUSTER / PIECE : 0)
    let refused = 0
    for (let i = 0; i < 30; i++) {
      const length = Math.floor(random() * bytes.length) & ~(i % 3 === 0 ? 65535 : 0)
      for (const readOnly of [true, false]) {
        const folder = await withFile(whole, index, bytes.subarray(0, length))
        let cut: Disk | undefined
        try {
          cut = await open(folder, kind, readOnly)
          refused += await compare(cut, content, filled(readOnly))
          if (readOnly) continue
          // What is written now takes the place of what was cut off.
          const place = Math.floor((random() * content.length) / PIECE) * PIECE
          const written = new Uint8Array(PIECE).fill(255)
          await cut.write(place, written)
          const changed = content.slice()
          changed.set(written, place)
          refused += await compare(cut, changed, filled(readOnly))
          await cut.flush()
          refused += await compare(cut, changed, filled(readOnly))
        } catch (error) {
          if (!(error instanceof DiskError)) throw new Error(`cut to ${length} of ${bytes.length}`, { cause: error })
          refused++
        } finally {
          await cut?.close().catch(error => assert.ok(error instanceof DiskError))
        }
      }
    }
    assert.ok(refused > 0)
  })
