/** The ATA command layer that the transports (parallel IDE, AHCI) share: registers, commands, and what a device wants done. */
import type { Disk } from '../../disk/disk.ts'

/** Bits of the status register (ATA/ATAPI-7 volume 1, 5.9). */
export const ATA_STATUS = { ERR: 0x01, DRQ: 0x08, DSC: 0x10, DF: 0x20, DRDY: 0x40, BSY: 0x80 } as const
/** Bits of the error register (5.6). */
export const ATA_ERROR = { ABRT: 0x04, IDNF: 0x10, UNC: 0x40, ICRC: 0x80 } as const
/** Bits of the device register. */
export const ATA_DEVICE = { HEAD: 0x0f, DEV: 0x10, LBA: 0x40 } as const
/** Interrupt reason of packet devices, in the sector count register. */
export const ATAPI_REASON = { COMMAND: 1, TO_HOST: 2 } as const

/** Commands (ATA/ATAPI-7 volume 1, table 9; ACS-3). */
export const ATA_COMMAND = {
  NOP: 0x00,
  DATA_SET_MANAGEMENT: 0x06,
  DEVICE_RESET: 0x08,
  READ_SECTORS: 0x20,
  READ_SECTORS_NO_RETRY: 0x21,
  READ_SECTORS_EXT: 0x24,
  READ_DMA_EXT: 0x25,
  READ_NATIVE_MAX_EXT: 0x27,
  READ_MULTIPLE_EXT: 0x29,
  READ_LOG_EXT: 0x2f,
  WRITE_SECTORS: 0x30,
  WRITE_SECTORS_NO_RETRY: 0x31,
  WRITE_SECTORS_EXT: 0x34,
  WRITE_DMA_EXT: 0x35,
  WRITE_MULTIPLE_EXT: 0x39,
  WRITE_DMA_FUA_EXT: 0x3d,
  VERIFY: 0x40,
  VERIFY_NO_RETRY: 0x41,
  VERIFY_EXT: 0x42,
  READ_FPDMA_QUEUED: 0x60,
  WRITE_FPDMA_QUEUED: 0x61,
  EXECUTE_DIAGNOSTIC: 0x90,
  INITIALIZE_DEVICE_PARAMETERS: 0x91,
  PACKET: 0xa0,
  IDENTIFY_PACKET_DEVICE: 0xa1,
  SMART: 0xb0,
  READ_MULTIPLE: 0xc4,
  WRITE_MULTIPLE: 0xc5,
  SET_MULTIPLE_MODE: 0xc6,
  READ_DMA: 0xc8,
  READ_DMA_NO_RETRY: 0xc9,
  WRITE_DMA: 0xca,
  WRITE_DMA_NO_RETRY: 0xcb,
  WRITE_MULTIPLE_FUA_EXT: 0xce,
  STANDBY_IMMEDIATE: 0xe0,
  IDLE_IMMEDIATE: 0xe1,
  STANDBY: 0xe2,
  IDLE: 0xe3,
  READ_BUFFER: 0xe4,
  CHECK_POWER_MODE: 0xe5,
  SLEEP: 0xe6,
  FLUSH_CACHE: 0xe7,
  WRITE_BUFFER: 0xe8,
  FLUSH_CACHE_EXT: 0xea,
  IDENTIFY_DEVICE: 0xec,
  SET_FEATURES: 0xef,
  READ_NATIVE_MAX: 0xf8,
} as const

/**
 * The registers of a device. Those of 16 bits hold what was written last in bits 0 to 7 and what was written before in bits
 * 8 to 15, which 48-bit commands use.
 */
export interface TaskFile {
  feature: number
  count: number
  lbaLow: number
  lbaMid: number
  lbaHigh: number
  device: number
  status: number
  error: number
}

/** The registers after power on. */
export function newTaskFile(): TaskFile {
  return { feature: 0, count: 0, lbaLow: 0, lbaMid: 0, lbaHigh: 0, device: 0, status: 0, error: 0 }
}

/** What a device wants its transport to do about a command. Offsets and lengths are bytes of the device's disk. */
export type AtaAction =
  /** The command is over. */
  | { kind: 'complete' }
  /** It failed; the error register gets this. */
  | { kind: 'abort'; error: number }
  /** Bytes for the host, in blocks of 512. */
  | { kind: 'data-in'; bytes: Uint8Array }
  /** Bytes from the host, which {@link AtaDevice.accept} gets. */
  | { kind: 'data-out'; length: number; dma: boolean }
  /** Sectors to or from the host, by PIO in blocks of `block` bytes. */
  | { kind: 'transfer'; write: boolean; dma: boolean; offset: number; length: number; block: number; flush: boolean }
  /** Something that takes its time and moves nothing. */
  | { kind: 'work'; run(): void | Promise<void> }
  /** The transport gets 12 bytes of a packet from the host and asks {@link PacketDevice.packet}. */
  | { kind: 'packet' }

/** What the transport is to do about a packet. */
export type PacketAction =
  | { kind: 'complete' }
  /** The sense key is in the error register; the rest is in the device. */
  | { kind: 'check' }
  | { kind: 'data-in'; bytes: Uint8Array }
  | { kind: 'data-out'; length: number }
  /** Sectors of 2048 bytes, each handed over as `sectorBytes` bytes that {@link PacketDevice.frame} makes of it. */
  | { kind: 'read'; lba: number; count: number; sectorBytes: number }
  | { kind: 'work'; run(): void | Promise<void> }

/** A device at an ATA port. */
export interface AtaDevice {
  /** Plain values for a snapshot. */
  state: object
  readonly registers: TaskFile
  /** What transfers read and write; undefined without a medium. */
  readonly disk: Disk | undefined
  /** Power on, RESET#, or with `soft` a software reset: leaves the device's signature in the registers. */
  reset(soft: boolean): void
  /** Begins a command. It may change the registers; status and error are the transport's to change. */
  execute(command: number): AtaAction
  /** Gets what `data-out` asked for. */
  accept(command: number, bytes: Uint8Array): AtaAction
  /** Packet commands, where the device has them. */
  readonly packet?: PacketDevice
}

/** The packet commands of a device. */
export interface PacketDevice {
  /** Begins a packet command. */
  packet(command: Uint8Array): PacketAction
  /** Gets what `data-out` asked for. */
  accept(bytes: Uint8Array): PacketAction
  /** Sectors as READ CD wants them; `bytes` are whole sectors of 2048 bytes from `lba`. */
  frame(bytes: Uint8Array, lba: number): Uint8Array
  /** The medium could not be read: sets the sense. */
  readFailed(): void
  /** The error register after a failed command: the sense key and ABRT. */
  readonly errorRegister: number
}

/** Writes a number into the registers that hold a 28- or 48-bit address. */
export function setLba(registers: TaskFile, lba: number, wide: boolean): void {
  const byte = (index: number) => Math.floor(lba / 2 ** (8 * index)) & 0xff
  registers.lbaLow = byte(0) | (wide ? byte(3) << 8 : 0)
  registers.lbaMid = byte(1) | (wide ? byte(4) << 8 : 0)
  registers.lbaHigh = byte(2) | (wide ? byte(5) << 8 : 0)
  if (!wide) registers.device = (registers.device & ~ATA_DEVICE.HEAD) | (byte(3) & ATA_DEVICE.HEAD)
}
