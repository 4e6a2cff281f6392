/** Opens qcow2 images. */
import type { ByteFile } from '../byte-file.ts'
import { type Disk, DiskError } from '../disk.ts'
import type { OpenContext } from '../formats.ts'
import { checkQcow2, mayBeCut, needsRepair } from './check.ts'
import { Qcow2Disk } from './disk.ts'
import { INCOMPATIBLE, readHeader } from './header.ts'

/**
 * Opens an image and its backing files. One that was not closed when it was last written is repaired first if it may be
 * written: refcounts are counted anew.
 * @throws DiskError
 */
export async function openQcow2(file: ByteFile, context: OpenContext): Promise<Qcow2Disk> {
  const header = await readHeader(file)
  if (!file.readOnly && header.hasBitmaps) {
    throw new DiskError(
      'unsupported',
      `qcow2 image '${file.name}' has persistent bitmaps, which writing would make wrong: open it read-only, or remove them`,
    )
  }
  if (!file.readOnly && header.incompatibleFeatures & INCOMPATIBLE.corrupt && !context.isForRepair) {
    throw new DiskError(
      'corrupt',
      `qcow2 image '${file.name}' is marked as damaged: repair it by 'typetwo disk check --repair', or open it read-only`,
    )
  }
  let backing: Disk | undefined
  if (header.backingFile !== undefined && !context.isAlone) {
    backing = await context.openBacking(header.backingFile, header.backingFormat)
  }
  const disk = new Qcow2Disk({ file, header, backing, compression: context.compression })
  try {
    if (!file.readOnly && !context.isForRepair) await makeWritable(disk)
  } catch (error) {
    await backing?.close()
    throw error
  }
  return disk
}

/**
 * Counts references anew where they may be wrong, and looks for clusters that were cut off with the end of the file: new ones would get
 * their places. What a file lacks of its last cluster become zeros: so much of what was never flushed may be missing when the power has
 * failed.
 * @throws DiskError `corrupt`
 */
async function makeWritable(disk: Qcow2Disk): Promise<void> {
  const refuse = (finding: string) =>
    new DiskError(
      'corrupt',
      `qcow2 image '${disk.name}' is damaged (${finding}): open it read-only to save what it holds, or have 'typetwo disk check --repair' drop what is missing`,
    )
  await disk.fillLastCluster()
  let isToRepair = needsRepair(disk)
  if (!isToRepair && (await mayBeCut(disk))) {
    const report = await checkQcow2(disk, 'none')
    if (report.errors > 0) throw refuse(report.findings[0])
    isToRepair = true
  }
  if (!isToRepair) return
  const report = await checkQcow2(disk, 'counts')
  if (!report.isGood) throw refuse(report.findings[0])
  await disk.flush()
}
