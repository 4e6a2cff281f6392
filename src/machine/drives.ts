/** Drives as they are asked for: what a disk, CD-ROM drive or floppy drive is made of, and where its medium comes from. */
import { wholeFloppy } from '../devices/storage/floppy-geometry.ts'
import type { Disk } from '../disk/disk.ts'
import { DiskError } from '../disk/disk.ts'
import { patientDisk, WRITE_ERRORS, type WriteErrors, type WriteHelp } from '../disk/patient.ts'
import { type Channel, remoteDisk, serveDisk } from '../disk/remote.ts'

/** Controllers that disks and CD-ROM drives can be at. */
export const DISK_BUSES = ['ide', 'sata', 'nvme', 'virtio'] as const
/** The controller of a disk. */
export type DiskBus = (typeof DISK_BUSES)[number]

/** What becomes of writes before the guest flushes. */
export const CACHE_MODES = ['writeback', 'writethrough', 'unsafe'] as const
/**
 * `writeback`: the host may keep writes in its cache until the guest flushes. `writethrough`: every write is on the host's disk
 * before the guest hears of its end. `unsafe`: flushes do nothing, for guests that nobody will miss.
 */
export type CacheMode = (typeof CACHE_MODES)[number]

/**
 * An image file of the host by its path, a file that the program was handed (as by an `<input type=file>`), or whatever a program
 * serves. A `Blob` is read in place; what a guest writes to a disk of one is kept beside it, and forgotten with the machine.
 */
export type MediumSource = string | Blob | Disk

/** A disk of a machine. */
export interface DiskOptions {
  image: MediumSource
  /** Default: `ide`. */
  bus?: DiskBus
  /** Default: `writeback`. */
  cache?: CacheMode
  /** Writes are refused, and the image may be in use by others that only read; default false. */
  readOnly?: boolean
  /** The image's format, for files; default: by content and name. */
  format?: string
  /** What the guest sees as its serial number, at most 20 characters; default made of the drive's number. */
  serial?: string
  /**
   * What becomes of writes that fail. `enospc`: while the host has no room the machine is paused, with an event `diskfull`, and the write is
   * tried again; other errors are the guest's. `stop`: the same for every error. `report`: all are the guest's. Default: what
   * `onFullDisk` of the machine says.
   */
  werror?: WriteErrors
}

/** A CD-ROM drive of a machine. */
export interface CdromOptions {
  /** The medium, of blocks of 2048 bytes; none by default. */
  image?: MediumSource
  /** `ide` (default) or `sata`. */
  bus?: 'ide' | 'sata'
}

/** A floppy drive of a machine. */
export interface FloppyOptions {
  /** The medium, of a size that a format has; none by default. */
  image?: MediumSource
  readOnly?: boolean
}

/** What a worker is told of a medium. */
export type MediumConfiguration =
  | { path: string; format?: string; readOnly: boolean }
  | { blob: Blob; format?: string; readOnly: boolean }
  | { channel: MessagePort }

/** What a worker is told of a drive. */
export interface DriveConfiguration {
  kind: 'disk' | 'cdrom' | 'floppy'
  /** Unique in the machine, as in `disk0` or `cdrom0`. */
  name: string
  bus: DiskBus | 'floppy'
  cache: CacheMode
  serial: string
  /** Default: as the machine says. */
  werror?: WriteErrors
  medium: MediumConfiguration | undefined
}

/** Opens an image file of the host, or one that the caller was handed. */
export type OpenImage = (
  image: string | Blob,
  options: { readOnly: boolean; format?: string; rawSize?: (bytes: number) => number },
) => Promise<Disk>

/** What the worker's host does for media. */
export interface MediumHost {
  /** Without it only disks that the caller serves can be used. */
  openImage?: OpenImage
  /** Helps writes that fail; without it the guest hears of every error. */
  help?: WriteHelp
  /** What becomes of writes that fail where a drive does not say it; default `report`. */
  werror?: WriteErrors
}

/** What {@link driveConfigurations} understands. */
export interface DriveRequests {
  disks?: readonly DiskOptions[]
  cdroms?: readonly CdromOptions[]
  floppies?: readonly FloppyOptions[]
}

/** Most drives of each kind; controllers may have room for fewer. */
const MOST_DRIVES = 26
const MOST_FLOPPIES = 2

/**
 * What the worker is told of drives, and the channels that go with it. The disks that the caller serves are served from now on.
 * @param refuse makes the error for what cannot be
 */
export function driveConfigurations(
  { disks = [], cdroms = [], floppies = [] }: DriveRequests,
  refuse: (sentence: string) => Error,
): { drives: DriveConfiguration[]; transfer: MessagePort[] } {
  const transfer: MessagePort[] = []
  const drives: DriveConfiguration[] = []
  if (disks.length > MOST_DRIVES || cdroms.length > MOST_DRIVES)
    throw refuse(
      `there are ${disks.length} disks and ${cdroms.length} CD-ROM drives: at most ${MOST_DRIVES} of each fit`,
    )
  if (floppies.length > MOST_FLOPPIES)
    throw refuse(`there are ${floppies.length} floppy drives: at most ${MOST_FLOPPIES} fit`)
  for (const [
    index,
    { image, bus = 'ide', cache = 'writeback', readOnly = false, format, serial, werror },
  ] of disks.entries()) {
    if (!DISK_BUSES.includes(bus)) throw refuse(`there is no disk bus '${bus}': choose ${DISK_BUSES.join(', ')}`)
    if (!CACHE_MODES.includes(cache))
      throw refuse(`there is no cache mode '${cache}': choose ${CACHE_MODES.join(', ')}`)
    if (werror !== undefined && !WRITE_ERRORS.includes(werror))
      throw refuse(`there is no way '${werror}' to deal with writes that fail: choose ${WRITE_ERRORS.join(', ')}`)
    if (serial !== undefined && !/^[\x20-\x7e]{1,20}$/.test(serial))
      throw refuse(`the disk's serial number '${serial}' is not 1 to 20 printable ASCII characters`)
    if (image === undefined) throw refuse(`disk ${index} has no image: give the path of a file, or a disk`)
    const medium = mediumOf(image, { readOnly, format }, transfer)
    drives.push({ kind: 'disk', name: `disk${index}`, bus, cache, serial: serial ?? serialOf(index), werror, medium })
  }
  for (const [index, { image, bus = 'ide' }] of cdroms.entries()) {
    if (bus !== 'ide' && bus !== 'sata') throw refuse(`a CD-ROM drive cannot be at '${bus}': choose ide or sata`)
    const medium = image === undefined ? undefined : mediumOf(image, { readOnly: true, format: 'raw' }, transfer)
    drives.push({
      kind: 'cdrom',
      name: `cdrom${index}`,
      bus,
      cache: 'writeback',
      serial: serialOf(100 + index),
      medium,
    })
  }
  for (const [index, { image, readOnly = false }] of floppies.entries()) {
    const medium = image === undefined ? undefined : mediumOf(image, { readOnly, format: 'raw' }, transfer)
    drives.push({ kind: 'floppy', name: `floppy${index}`, bus: 'floppy', cache: 'writeback', serial: '', medium })
  }
  return { drives, transfer }
}

function serialOf(number: number): string {
  return `TT${String(number).padStart(8, '0')}`
}

/** What the worker is told of a medium; a channel to it joins `transfer`. */
export function mediumOf(
  source: MediumSource,
  options: { readOnly: boolean; format?: string },
  transfer: MessagePort[],
): MediumConfiguration {
  if (typeof source === 'string') return { path: source, ...options }
  if (source instanceof Blob) return { blob: source, ...options }
  const { port1, port2 } = new MessageChannel()
  serveDisk(source, channelOf(port1))
  transfer.push(port2)
  return { channel: port2 }
}

/** A message port as a channel. */
function channelOf(port: MessagePort): Channel {
  return {
    postMessage: (message, transfer) => port.postMessage(message, transfer ?? []),
    onMessage: listener => {
      port.onmessage = event => listener(event.data)
    },
  }
}

/**
 * Opens a medium, in the worker.
 * @param kind of the drive that it is for: the image of a floppy may lack its end
 * @param errors what becomes of writes that fail
 * @throws DiskError with one sentence
 */
export async function openMedium(
  medium: MediumConfiguration,
  host: MediumHost,
  kind: DriveConfiguration['kind'],
  errors: WriteErrors,
): Promise<Disk> {
  const disk = await open(medium, host, kind)
  return host.help && errors !== 'report' ? patientDisk(disk, host.help, errors) : disk
}

async function open(
  medium: MediumConfiguration,
  { openImage }: MediumHost,
  kind: DriveConfiguration['kind'],
): Promise<Disk> {
  if ('channel' in medium) {
    const { channel } = medium
    const disk = await remoteDisk(channelOf(channel))
    // What a program serves stays its own: it is flushed, not closed.
    const close = async () => {
      await disk.flush()
      channel.close()
    }
    return { ...disk, close }
  }
  const { readOnly, format } = medium
  const image = 'blob' in medium ? medium.blob : medium.path
  if (openImage) return openImage(image, { readOnly, format, ...(kind === 'floppy' && { rawSize: wholeFloppy }) })
  const what = typeof image === 'string' ? `image '${image}'` : 'a Blob'
  throw new DiskError('unsupported', `${what} cannot be opened here: give a disk instead`)
}

/** What becomes of a drive's writes that fail. */
export function writeErrors(drive: Pick<DriveConfiguration, 'werror'>, host: MediumHost): WriteErrors {
  return drive.werror ?? host.werror ?? 'report'
}

/** A disk with a cache mode: with `unsafe`, flushes do nothing. The other modes are the controllers'. */
export function withCache(disk: Disk, cache: CacheMode): Disk {
  if (cache !== 'unsafe') return disk
  return {
    name: disk.name,
    size: disk.size,
    sectorSize: disk.sectorSize,
    readOnly: disk.readOnly,
    immediate: disk.immediate,
    read: (offset, buffer) => disk.read(offset, buffer),
    write: (offset, buffer) => disk.write(offset, buffer),
    writeZeroes: (offset, length) => disk.writeZeroes(offset, length),
    discard: (offset, length) => disk.discard(offset, length),
    flush: async () => {},
    close: () => disk.close(),
  }
}
