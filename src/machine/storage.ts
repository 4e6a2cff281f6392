/** Puts drives into a PC: controllers for those that were asked for, on the PCI bus or at their ports. */
import type { Bus, Device } from '../devices/bus.ts'
import type { Dma8237 } from '../devices/dma8237.ts'
import type { MessageSignal } from '../devices/msix.ts'
import type { PciBus } from '../devices/pci.ts'
import { AHCI_PORTS, AhciController } from '../devices/storage/ahci.ts'
import type { AtaDevice } from '../devices/storage/ata.ts'
import { AtaDisk, standardGeometry } from '../devices/storage/ata-disk.ts'
import { AtapiCdrom } from '../devices/storage/atapi.ts'
import type { HostWork } from '../devices/storage/block.ts'
import type { Cdrom } from '../devices/storage/cdrom.ts'
import { FloppyController } from '../devices/storage/floppy.ts'
import { EMPTY_DRIVE_SIZE, EMPTY_DRIVE_TYPE, floppyFormat } from '../devices/storage/floppy-geometry.ts'
import { IdeController } from '../devices/storage/ide.ts'
import { Nvme } from '../devices/storage/nvme.ts'
import { VirtioBlk } from '../devices/virtio/blk.ts'
import { VirtioPci } from '../devices/virtio/transport-pci.ts'
import type { Disk } from '../disk/disk.ts'
import type { FloppyDescription } from './acpi/isa-devices.ts'
import { BootError } from './boot/state.ts'
import type { DiskGeometry } from './cmos.ts'
import { type DriveConfiguration, type MediumHost, openMedium, withCache, writeErrors } from './drives.ts'

/** A drive with its medium open. */
export interface OpenDrive {
  configuration: DriveConfiguration
  disk: Disk | undefined
}

/** A drive whose medium can go and come. */
interface RemovableDrive {
  /** Puts a medium in, or takes it out. @returns what was in */
  change(disk: Disk | undefined): Disk | undefined
  /** Whether the guest wants it to stay. */
  readonly locked: boolean
  /** Tells the guest that somebody would like to have it. */
  requestEject(): void
}

/** The machine's part. */
export interface StorageHost {
  pci: PciBus
  message: MessageSignal
  work: HostWork
  dma: Dma8237
  /** The slot of the PIIX3, whose function 1 is the IDE controller. */
  isaBridgeSlot: number
  /** The function of that slot that is the chipset's own SATA controller, where it has one. */
  sataFunction?: number
  /** Whether the IDE and floppy controllers, which every PC has, are there even if nothing is at them. */
  everyController: boolean
}

/** Bytes of a sector of a disk at IDE. */
const ATA_SECTOR = 512
/** Sectors of a CD. */
const CD_SECTOR = 2048
/** Milliseconds between two looks whether the guest has let go of a medium. */
const LOCK_POLL = 50
/** Where drives go on the four IDE positions: disks from the first, CD-ROM drives from the third. */
const IDE_DISK_ORDER = [0, 1, 2, 3] as const
const IDE_CDROM_ORDER = [2, 3, 1, 0] as const

/**
 * Opens the media of drives.
 * @throws BootError with one sentence when one cannot be; the others are closed then
 */
export async function openDrives(drives: readonly DriveConfiguration[], host: MediumHost): Promise<OpenDrive[]> {
  const open: OpenDrive[] = []
  try {
    for (const configuration of drives) {
      const { medium } = configuration
      const disk = medium && (await openMedium(medium, host, configuration.kind, writeErrors(configuration, host)))
      open.push({ configuration, disk })
      if (disk) checkMedium(configuration, disk)
    }
    return open
  } catch (error) {
    await closeDrives(open).catch(() => {})
    throw new BootError((error as Error).message)
  }
}

/** Flushes and closes the media. @throws the first error, after trying all */
export async function closeDrives(drives: Iterable<OpenDrive>): Promise<void> {
  const results = await Promise.allSettled([...drives].map(({ disk }) => disk?.close()))
  for (const result of results) if (result.status === 'rejected') throw result.reason
}

/** @throws Error with one sentence where a drive cannot take a medium */
function checkMedium({ kind, bus }: DriveConfiguration, disk: Disk): void {
  if (kind === 'disk' && disk.size < 512)
    throw new Error(`disk '${disk.name}' is empty: give an image of a sector at least`)
  if (kind === 'disk' && (bus === 'ide' || bus === 'sata') && disk.sectorSize !== 512)
    throw new Error(
      `disk '${disk.name}' has sectors of ${disk.sectorSize} bytes, which bus ${bus} cannot have: choose virtio or nvme`,
    )
  if (kind === 'floppy' && floppyFormat(disk.size) === undefined)
    throw new Error(
      `floppy image '${disk.name}' has ${disk.size} bytes, which no format has: a 1.44 MB floppy has 1474560`,
    )
  if (kind === 'cdrom' && disk.size < CD_SECTOR)
    throw new Error(`CD image '${disk.name}' is empty or shorter than a block`)
}

/** Types of the floppy drives as CMOS has them: what takes the floppy that is in, or most of them. */
export function floppyTypes(drives: readonly OpenDrive[]): number[] {
  return drives
    .filter(({ configuration }) => configuration.kind === 'floppy')
    .map(({ disk }) => (disk && floppyFormat(disk.size)?.drive) ?? EMPTY_DRIVE_TYPE)
}

/**
 * The drives at the four places of the IDE controller: primary device 0 and 1, secondary device 0 and 1.
 * @throws BootError where there are more
 */
function idePlaces(drives: readonly OpenDrive[]): (OpenDrive | undefined)[] {
  const places: (OpenDrive | undefined)[] = [undefined, undefined, undefined, undefined]
  for (const drive of drives) {
    if (drive.configuration.bus !== 'ide') continue
    const order = drive.configuration.kind === 'cdrom' ? IDE_CDROM_ORDER : IDE_DISK_ORDER
    const place = order.find(at => places[at] === undefined)
    if (place === undefined)
      throw new BootError('there are more than 4 drives on bus ide: put others on sata, nvme or virtio')
    places[place] = drive
  }
  return places
}

/** The geometries of the disks at the places of the IDE controller, as CMOS has them. */
export function ideGeometries(drives: readonly OpenDrive[]): (DiskGeometry | undefined)[] {
  return idePlaces(drives).map(drive =>
    drive?.configuration.kind === 'disk' ? standardGeometry(Math.floor(drive.disk!.size / ATA_SECTOR)) : undefined,
  )
}

/** How ACPI describes a floppy drive: by what is in it, as CMOS does. */
function describeFloppy({ disk }: OpenDrive): FloppyDescription {
  const { drive: type, cylinders, heads, sectors } = floppyFormat(disk?.size ?? EMPTY_DRIVE_SIZE)!
  return { type, cylinders, heads, sectors }
}

/** The drives of a PC. */
export class Storage {
  readonly devices: Device[] = []
  readonly #removable = new Map<string, RemovableDrive & { drive: OpenDrive }>()
  readonly #drives: readonly OpenDrive[]
  readonly #bus: Bus
  readonly #host: StorageHost

  /** @throws BootError where there is no room for a drive */
  constructor(bus: Bus, drives: readonly OpenDrive[], host: StorageHost) {
    this.#bus = bus
    this.#drives = drives
    this.#host = host
    this.#addIde(drives.filter(({ configuration }) => configuration.bus === 'ide'))
    this.#addSata(drives.filter(({ configuration }) => configuration.bus === 'sata'))
    this.#addFloppy(drives.filter(({ configuration }) => configuration.bus === 'floppy'))
    for (const drive of drives) {
      if (drive.configuration.bus === 'nvme') this.#addNvme(drive)
      if (drive.configuration.bus === 'virtio') this.#addVirtio(drive)
    }
  }

  /** Every drive with what is in it. */
  get drives(): readonly OpenDrive[] {
    return this.#drives
  }

  /** What a drive was made as. */
  configurationOf(name: string): DriveConfiguration | undefined {
    return this.#drives.find(({ configuration }) => configuration.name === name)?.configuration
  }

  /** The floppy drives; undefined without a controller. */
  floppies(): FloppyDescription[] | undefined {
    const drives = this.#drives.filter(({ configuration }) => configuration.kind === 'floppy')
    return drives.length > 0 || this.#host.everyController ? drives.map(describeFloppy) : undefined
  }

  /**
   * Changes the medium of a drive.
   * @param disk the new one, or undefined to take the old one out
   * @param force also where the guest has locked it
   * @param wait how long a guest that has locked it may take to let go, in milliseconds of the host
   * @throws Error with one sentence where that cannot be
   */
  async change(name: string, disk: Disk | undefined, { force, wait }: { force: boolean; wait: number }): Promise<void> {
    const drive = this.#removable.get(name)
    if (drive === undefined) {
      const all = [...this.#removable.keys()].join(', ') || 'none'
      throw new Error(`there is no drive '${name}' whose medium can be changed: there are ${all}`)
    }
    if (disk) checkMedium(drive.drive.configuration, disk)
    if (drive.locked && !force) drive.requestEject()
    for (let waited = 0; drive.locked && !force && waited < wait; waited += LOCK_POLL)
      await new Promise(resolve => setTimeout(resolve, LOCK_POLL))
    if (drive.locked && !force) {
      throw new Error(`the guest holds the medium of drive '${name}'; it was asked to let it go`)
    }
    const before = drive.change(disk)
    drive.drive.disk = disk
    await before?.close()
  }

  #ata({ configuration, disk }: OpenDrive, sata: boolean): AtaDevice {
    const { kind, serial, cache } = configuration
    if (kind !== 'cdrom')
      return new AtaDisk({ disk: withCache(disk!, cache), serial, sata, writethrough: cache === 'writethrough' })
    return new AtapiCdrom({ medium: disk, serial, sata })
  }

  #keep(drive: OpenDrive, device: AtaDevice): void {
    if (device.packet === undefined) return
    const cdrom = device.packet as Cdrom
    this.#removable.set(drive.configuration.name, {
      drive,
      change: disk => cdrom.change(disk),
      get locked() {
        return cdrom.locked
      },
      requestEject: () => cdrom.requestEject(),
    })
  }

  #addIde(drives: readonly OpenDrive[]): void {
    if (drives.length === 0 && !this.#host.everyController) return
    const devices = idePlaces(drives).map(drive => {
      const device = drive && this.#ata(drive, false)
      if (device) this.#keep(drive, device)
      return device
    })
    const controller = new IdeController(this.#bus, { devices, host: this.#host.work })
    this.#host.pci.add(this.#host.isaBridgeSlot, 1, controller.function)
    this.devices.push(controller)
  }

  /** As many controllers as the drives need. */
  #addSata(drives: readonly OpenDrive[]): void {
    for (let first = 0; first < drives.length; first += AHCI_PORTS) {
      const devices = drives.slice(first, first + AHCI_PORTS).map(drive => {
        const device = this.#ata(drive, true)
        this.#keep(drive, device)
        return device
      })
      const name = first === 0 ? 'ahci' : `ahci${first / AHCI_PORTS}`
      const controller = new AhciController(this.#bus, this.#host.message, { name, devices, host: this.#host.work })
      const { pci, isaBridgeSlot, sataFunction } = this.#host
      if (first === 0 && sataFunction !== undefined) pci.add(isaBridgeSlot, sataFunction, controller.function)
      else pci.addAnywhere(controller.function)
      this.devices.push(controller)
    }
  }

  #addFloppy(drives: readonly OpenDrive[]): void {
    if (drives.length === 0 && !this.#host.everyController) return
    const controller = new FloppyController(this.#bus, {
      drives: drives.map(({ disk }) => ({ medium: disk })),
      dma: onReady => this.#host.dma.channel(2, onReady),
      host: this.#host.work,
    })
    for (const [index, drive] of drives.entries())
      this.#removable.set(drive.configuration.name, {
        drive,
        change: disk => controller.change(index, disk),
        locked: false,
        requestEject() {},
      })
    this.devices.push(controller)
  }

  #addNvme({ configuration, disk }: OpenDrive): void {
    const { cache, name, serial } = configuration
    const device = new Nvme(this.#bus, this.#host.message, {
      name: `nvme-${name}`,
      disk: withCache(disk!, cache),
      serial,
      writethrough: cache === 'writethrough',
      host: this.#host.work,
    })
    this.#host.pci.addAnywhere(device.function)
    this.devices.push(device)
  }

  #addVirtio({ configuration, disk }: OpenDrive): void {
    const { cache, name, serial } = configuration
    const device = new VirtioBlk(this.#bus, {
      name: `virtio-blk-${name}`,
      disk: withCache(disk!, cache),
      serial,
      writethrough: cache === 'writethrough',
      host: this.#host.work,
    })
    const transport = new VirtioPci(this.#bus, device, this.#host.message)
    this.#host.pci.addAnywhere(transport.function)
    this.devices.push(transport)
  }
}
