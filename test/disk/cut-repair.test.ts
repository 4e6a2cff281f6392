/** qcow2 images whose end is missing, repaired: what the file still has is there, the rest reads as never written, and QEMU finds nothing wrong. */
import assert from 'node:assert/strict'
import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { after, test } from 'node:test'
import { MemoryFile, type MemoryFolder } from '../../src/disk/memory.ts'
import { openImage, type ToolOptions } from '../../src/disk/open.ts'
import { changeSnapshot, checkImage } from '../../src/disk/tools.ts'
import { type Disk, DiskError } from '../../src/index.ts'
import { contentOf, hostOf, type Kind, makeImage, withFile } from './malformed.ts'
import { qemuCheck, scratch, withoutQemu } from './qemu.ts'
import { randomNumbers } from './random.ts'

const PIECE = 4096
const CUTS = 15

const KINDS: Record<string, Kind & { snapshot?: true }> = {
  'version 3': { format: 'qcow2' },
  'version 2, clusters of 512 bytes': { format: 'qcow2', version: 2, clusterSize: 512 },
  subclusters: { format: 'qcow2', extendedL2: true, clusterSize: 16384 },
  'refcounts of 1 bit': { format: 'qcow2', clusterSize: 4096, refcountBits: 1 },
  'with a snapshot': { format: 'qcow2', clusterSize: 512, snapshot: true },
}

const { folder: scratchFolder, remove } = scratch()
after(remove)

async function open(folder: MemoryFolder, options: ToolOptions & { readOnly?: boolean } = {}): Promise<Disk> {
  const [file] = folder.files.values()
  return openImage(
    new MemoryFile(file.name, { readOnly: options.readOnly ?? false, of: file }),
    hostOf(folder),
    options,
  )
}

/** The disk's pieces; undefined for those that are refused. */
async function piecesOf(disk: Disk): Promise<(string | undefined)[]> {
  const pieces: (string | undefined)[] = []
  const bytes = new Uint8Array(PIECE)
  for (let at = 0; at < disk.size; at += PIECE)
    try {
      await disk.read(at, bytes)
      pieces.push(Buffer.from(bytes).toString('latin1'))
    } catch (error) {
      assert.ok(error instanceof DiskError)
      pieces.push(undefined)
    }
  return pieces
}

/** QEMU finds nothing wrong with the only file of a folder. */
async function checkByQemu(folder: MemoryFolder): Promise<void> {
  if (withoutQemu) return
  const path = join(scratchFolder, 'image.qcow2')
  const [file] = folder.files.values()
  writeFileSync(path, await contentOf(file))
  qemuCheck(path, 'qcow2')
}

for (const [name, { snapshot, ...kind }] of Object.entries(KINDS))
  test(`cut images are repaired: ${name}`, async () => {
    const whole = await makeImage(kind)
    if (snapshot) {
      const disk = await open(whole)
      await changeSnapshot(disk, 'create', 'before', 0)
      for (let i = 0; i < 8; i++) await disk.write(i * 2 ** 20, new Uint8Array(4096).fill(100 + i))
      await disk.close()
    }
    const bytes = await contentOf([...whole.files.values()][0])
    const random = randomNumbers(3)
    let repaired = 0
    for (let i = 0; i < CUTS; i++) {
      // Also the last clusters alone, and a file that ends within one.
      const length =
        i % 3 === 0 ? bytes.length - 512 * (1 + i) : Math.floor(random() * bytes.length) & ~(i % 3 === 1 ? 511 : 0)
      const cut = await withFile(whole, 0, bytes.subarray(0, length))
      try {
        let before: (string | undefined)[]
        try {
          const disk = await open(cut, { readOnly: true })
          before = await piecesOf(disk)
          await disk.close()
          const again = await open(cut, { isForRepair: true, isAlone: true })
          const report = (await checkImage(again, true))!
          await again.close()
          assert.ok(report.isGood, report.findings.join('\n'))
          if (report.errors > 0) repaired++
        } catch (error) {
          // What the header leads to is missing: there is nothing to repair.
          if (!(error instanceof DiskError)) throw error
          assert.ok(length < bytes.length / 2 || /table of snapshots/.test(error.message), error.message)
          continue
        }
        await checkByQemu(cut)
        const disk = await open(cut)
        const pieces = await piecesOf(disk)
        const index = pieces.findIndex((piece, i) => before[i] !== undefined && piece !== before[i])
        assert.equal(index, -1, `what could be read at ${index * PIECE} is there`)
        await disk.write(0, new Uint8Array(2 ** 20).fill(77))
        await disk.close()
        await checkByQemu(cut)
      } catch (error) {
        throw new Error(`cut to ${length} of ${bytes.length}`, { cause: error })
      }
    }
    assert.ok(repaired >= CUTS / 5, `${repaired} of ${CUTS} were damaged and are not`)
  })
