/** A disk whose writes wait, instead of failing, while there is no room for them. */
import { type Disk, DiskError, type ImmediateAccess } from './disk.ts'

/** Resolves when a write that found no room shall be tried again. */
export type MakeRoom = (error: DiskError) => Promise<void>

/**
 * A disk of which nobody hears `no-space`: the request waits for `makeRoom`, and is made again. Reads are not held up.
 * @param disk belongs to the new one
 */
export function patientDisk(disk: Disk, makeRoom: MakeRoom): Disk {
  if (disk.readOnly) return disk
  const insist = async (request: () => Promise<void>): Promise<void> => {
    for (;;) {
      try {
        return await request()
      } catch (error) {
        if (!isFull(error)) throw error
        await makeRoom(error)
      }
    }
  }
  const { immediate } = disk
  const patient: ImmediateAccess | undefined = immediate && {
    read: (offset, into) => immediate.read(offset, into),
    write(offset, from) {
      try {
        return immediate.write(offset, from)
      } catch (error) {
        // The caller now asks by a promise, and that can wait.
        if (isFull(error)) return false
        throw error
      }
    },
  }
  return {
    name: disk.name,
    size: disk.size,
    sectorSize: disk.sectorSize,
    readOnly: false,
    immediate: patient,
    read: (offset, buffer) => disk.read(offset, buffer),
    write: (offset, buffer) => insist(() => disk.write(offset, buffer)),
    writeZeroes: (offset, length) => insist(() => disk.writeZeroes(offset, length)),
    discard: (offset, length) => insist(() => disk.discard(offset, length)),
    flush: () => insist(() => disk.flush()),
    async close() {
      // Closing flushes, and what fails then is not tried again.
      await insist(() => disk.flush()).catch(() => {})
      await disk.close()
    },
  }
}

function isFull(error: unknown): error is DiskError {
  return error instanceof DiskError && error.code === 'no-space'
}
