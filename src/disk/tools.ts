/** Checks and changes images as wholes, whatever their format. */
import { CheckReport } from './check.ts'
import { type Disk, DiskError } from './disk.ts'
import type { Format } from './format-names.ts'
import { checkQcow2 } from './qcow2/check.ts'
import { Qcow2Disk } from './qcow2/disk.ts'
import {
  applyQcow2Snapshot,
  createQcow2Snapshot,
  deleteQcow2Snapshot,
  hideBacking,
  resizeQcow2,
} from './qcow2/operations.ts'
import { TableDisk } from './table-disk.ts'
import { VdiDisk } from './vdi.ts'
import { VmdkDisk } from './vmdk/open.ts'

/**
 * Looks through an image for contradictions; undefined for formats that have nothing to look through.
 * @param disk opened alone, and for repair if that is asked
 * @param repair whether what can be set right is to be
 */
export async function checkImage(disk: Disk, repair: boolean): Promise<CheckReport | undefined> {
  if (disk instanceof Qcow2Disk) return checkQcow2(disk, repair ? 'all' : 'none')
  if (disk instanceof VdiDisk) return disk.check(repair)
  const parts = disk instanceof VmdkDisk ? disk.parts : [disk]
  const tables = parts.filter(part => part instanceof TableDisk)
  if (tables.length === 0) return undefined
  const report = new CheckReport()
  for (const table of tables) {
    report.total += Math.ceil(table.size / table.clusterSize)
    try {
      report.allocated += await table.countPlaces()
    } catch (error) {
      if (!(error instanceof DiskError) || error.code !== 'corrupt') throw error
      report.error(error.message)
    }
  }
  return report
}

/**
 * Changes an image's size. It has to be opened anew afterwards.
 * @returns what is to be done with it then
 * @throws DiskError `unsupported`
 */
export async function resizeImage(
  disk: Disk,
  format: Format,
  size: number,
  truncate: (size: number) => Promise<void>,
): Promise<(reopened: Disk) => Promise<void>> {
  const old = disk.size
  if (disk instanceof Qcow2Disk) {
    await resizeQcow2(disk, size)
    return async reopened => {
      if (reopened instanceof Qcow2Disk && size > old) await hideBacking(reopened, old)
    }
  }
  if (format !== 'raw') {
    throw new DiskError(
      'unsupported',
      `images of the format ${format} cannot be resized: make a new one of the wanted size and convert to it`,
    )
  }
  await truncate(size)
  return async () => {}
}

/** Does something with an internal snapshot. @throws DiskError `unsupported`, `not-found` or `exists` */
export async function changeSnapshot(
  disk: Disk,
  action: 'create' | 'apply' | 'delete',
  name: string,
  date: number,
): Promise<void> {
  if (!(disk instanceof Qcow2Disk)) {
    throw new DiskError('unsupported', `image '${disk.name}' cannot have snapshots: only qcow2 images can`)
  }
  if (action === 'create') await createQcow2Snapshot(disk, name, date)
  else if (action === 'apply') await applyQcow2Snapshot(disk, name)
  else await deleteQcow2Snapshot(disk, name)
}
