/** Opens qcow2 images. */
import type { ByteFile } from '../byte-file.ts'
import { type Disk, DiskError } from '../disk.ts'
import type { OpenContext } from '../formats.ts'
import { checkQcow2, needsRepair } from './check.ts'
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
    if (needsRepair(disk) && !file.readOnly && !context.isForRepair) {
      const report = await checkQcow2(disk, true)
      if (!report.isGood) {
        throw new DiskError(
          'corrupt',
          `qcow2 image '${file.name}' is damaged (${report.findings[0]}): open it read-only to save what it holds`,
        )
      }
      await disk.flush()
    }
  } catch (error) {
    await backing?.close()
    throw error
  }
  return disk
}
