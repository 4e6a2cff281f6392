/** A disk whose writes wait, instead of failing, while there is no room for them or the host has other trouble with them. */
import { type Disk, DiskError, type ImmediateAccess } from './disk.ts'

/** What becomes of writes that fail, in QEMU's words. */
export const WRITE_ERRORS = ['enospc', 'stop', 'report'] as const
/**
 * `enospc`: a write that finds no room waits, other errors are the guest's. `stop`: every write that fails waits. `report`: every error
 * is the guest's.
 */
export type WriteErrors = (typeof WRITE_ERRORS)[number]

/** Who helps writes that fail. */
export interface WriteHelp {
  /** A write has failed that now waits. */
  begin(): void
  /** Resolves when it shall be tried again; called each time that it fails. */
  again(error: Error): Promise<void>
  /** It has come to an end. */
  end(): void
}

/** Errors that no help changes. */
const HOPELESS: readonly string[] = ['read-only', 'out-of-range', 'closed']

/**
 * A disk of which nobody hears certain errors: the request waits for help, and is made again. Reads are not held up.
 * @param disk belongs to the new one
 * @param errors which ones; not `report`
 */
export function patientDisk(disk: Disk, help: WriteHelp, errors: 'enospc' | 'stop' = 'enospc'): Disk {
  if (disk.readOnly) return disk
  const waits = (error: unknown): error is Error =>
    errors === 'enospc' ? isFull(error) : !(error instanceof DiskError && HOPELESS.includes(error.code))
  const insist = async (request: () => Promise<void>): Promise<void> => {
    let begun = false
    try {
      for (;;) {
        try {
          return await request()
        } catch (error) {
          if (!waits(error)) throw error
          if (!begun) help.begin()
          begun = true
          await help.again(error)
        }
      }
    } finally {
      if (begun) help.end()
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
        if (waits(error)) return false
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
