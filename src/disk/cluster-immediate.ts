/** Requests that are over when the call returns, for disks of clusters: where tables are at hand and data lies in a row. */
import type { Location } from './cluster.ts'
import type { ImmediateAccess } from './disk.ts'

/** What is needed of the disk. */
export interface ImmediateParts {
  clusterSize: number
  /** The file's own. */
  file: ImmediateAccess
  /** Where a cluster is; a promise where that has to be read first. */
  locate(cluster: number): Location | Promise<Location>
  /** Where the file ends: what is said to lie behind it is left to those who can say what is wrong. */
  end(): number
  /** Throws where a request cannot be. */
  checkRead(offset: number, length: number): void
  checkWrite(offset: number, length: number): void
  /** Whether absent clusters are zeros. */
  isZeroBelow: boolean
  /** Whether writes in place need nothing more to be prepared. */
  isReady(): boolean
}

/** Makes the access. */
export function immediateClusters(parts: ImmediateParts): ImmediateAccess {
  /** Where the range is in the file: -1 for zeros, undefined where it is not in a row, or not at hand. */
  const placeOf = (offset: number, length: number, isWrite: boolean): number | undefined => {
    const { clusterSize } = parts
    const first = Math.floor(offset / clusterSize)
    const last = Math.floor((offset + length - 1) / clusterSize)
    let place: number | undefined
    for (let cluster = first; cluster <= last; cluster++) {
      const location = parts.locate(cluster)
      if (location instanceof Promise) {
        // It only fills the cache; who asks next hears of the error.
        location.catch(() => {})
        return undefined
      }
      let here: number
      if (location.kind === 'data' && !location.state && (location.isOwn || !isWrite)) here = location.offset
      else if (!isWrite && (location.kind === 'zero' || (location.kind === 'absent' && parts.isZeroBelow))) here = -1
      else return undefined
      if (cluster === first) place = here
      else if (here !== (place === -1 ? -1 : place! + (cluster - first) * clusterSize)) return undefined
    }
    return place === -1 || place === undefined ? place : place + (offset % clusterSize)
  }
  return {
    read(offset, into) {
      const length = lengthOf(into)
      parts.checkRead(offset, length)
      const place = length === 0 ? undefined : placeOf(offset, length, false)
      if (place === undefined) return false
      if (place >= 0) return place + length <= parts.end() && parts.file.read(place, into)
      for (const buffer of into) buffer.fill(0)
      return true
    },
    write(offset, from) {
      const length = lengthOf(from)
      parts.checkWrite(offset, length)
      if (length === 0 || !parts.isReady()) return false
      const place = placeOf(offset, length, true)
      return place !== undefined && parts.file.write(place, from)
    },
  }
}

function lengthOf(buffers: readonly Uint8Array[]): number {
  let length = 0
  for (const buffer of buffers) length += buffer.length
  return length
}
