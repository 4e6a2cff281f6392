/** What devices say of themselves: IDENTIFY DEVICE and IDENTIFY PACKET DEVICE (ATA/ATAPI-7 volume 1, 6.17 and 6.18; ACS-3). */

/** Sectors that READ and WRITE MULTIPLE move in a block at most. */
export const MOST_MULTIPLE = 16
/** Blocks of 512 bytes that DATA SET MANAGEMENT takes. */
export const TRIM_BLOCKS = 8
/** Requests that a SATA device takes at a time. */
export const QUEUE_DEPTH = 32

/** A disk's shape for cylinder, head and sector addressing. */
export interface Geometry {
  cylinders: number
  heads: number
  sectors: number
}

/** What the words of a disk tell. */
export interface DiskIdentity {
  serial: string
  model: string
  sectors: number
  standard: Geometry
  current: Geometry
  /** 0 while READ MULTIPLE is off. */
  multiple: number
  writeCache: boolean
  smart: boolean
  /** The mode that SET FEATURES chose: 0x20 + n for multiword DMA, 0x40 + n for Ultra DMA. */
  mode: number
  sata: boolean
  canDiscard: boolean
}

/** ASCII into words, the first of two characters in the high byte, filled up with blanks. */
function text(words: Uint16Array, from: number, count: number, value: string): void {
  const padded = value.padEnd(2 * count).slice(0, 2 * count)
  for (let i = 0; i < count; i++)
    words[from + i] = ((padded.charCodeAt(2 * i) & 0x7f) << 8) | (padded.charCodeAt(2 * i + 1) & 0x7f)
}

function number32(words: Uint16Array, at: number, value: number): void {
  words[at] = value & 0xffff
  words[at + 1] = (value / 0x10000) & 0xffff
}

/** The words with the checksum of word 255, as they travel. */
function finish(words: Uint16Array): Uint8Array {
  words[255] = 0x00a5
  const bytes = new Uint8Array(512)
  for (const [i, word] of words.entries()) {
    bytes[2 * i] = word & 0xff
    bytes[2 * i + 1] = word >> 8
  }
  let sum = 0
  for (const byte of bytes) sum += byte
  bytes[511] = -sum & 0xff
  return bytes
}

/** DMA modes in words 62, 63 and 88: those there are, and the chosen one in the high byte. */
function modes(words: Uint16Array, mode: number): void {
  words[63] = 0x07 | ((mode & 0xf8) === 0x20 ? 0x100 << (mode & 7) : 0)
  words[88] = 0x3f | ((mode & 0xf8) === 0x40 ? 0x100 << (mode & 7) : 0)
}

/** The 512 bytes of IDENTIFY DEVICE. */
export function identifyDisk(identity: DiskIdentity): Uint8Array {
  const w = new Uint16Array(256)
  const { standard, current, sectors } = identity
  w[0] = 0x0040
  w[1] = standard.cylinders
  w[3] = standard.heads
  w[4] = standard.sectors * 512
  w[5] = 512
  w[6] = standard.sectors
  text(w, 10, 10, identity.serial)
  w[20] = 3 // a buffer with look-ahead
  w[21] = 512
  w[22] = 4
  text(w, 23, 4, '1.0')
  text(w, 27, 20, identity.model)
  w[47] = 0x8000 | MOST_MULTIPLE
  w[48] = 0x4000
  w[49] = 0x0f00 // IORDY, LBA, DMA
  w[50] = 0x4000
  w[51] = 0x0200
  w[52] = 0x0200
  w[53] = 7
  w[54] = current.cylinders
  w[55] = current.heads
  w[56] = current.sectors
  number32(w, 57, Math.min(sectors, current.cylinders * current.heads * current.sectors))
  w[59] = identity.multiple > 0 ? 0x100 | identity.multiple : 0
  number32(w, 60, Math.min(sectors, 0x0fffffff))
  modes(w, identity.mode)
  w[64] = 3
  for (let i = 65; i <= 68; i++) w[i] = 120
  if (identity.sata) {
    w[75] = QUEUE_DEPTH - 1
    w[76] = 0x0106 // queued commands, 1.5 and 3 Gb/s
  }
  w[80] = 0x01f0 // ATA/ATAPI-4 to ATA8-ACS
  w[82] = 0x4000 | 0x3000 | 0x0060 | 0x0008 | 0x0001 // NOP, buffers, caches, power management, SMART
  w[83] = 0x4000 | 0x2000 | 0x1000 | 0x0400 // flushes, 48 bits
  w[84] = 0x4000 | 0x0040 | 0x0002 | 0x0001 // FUA, SMART's self-test and error log
  w[85] = 0x4000 | 0x3000 | 0x0040 | (identity.writeCache ? 0x20 : 0) | 0x0008 | (identity.smart ? 1 : 0)
  w[86] = 0x2000 | 0x1000 | 0x0400
  w[87] = 0x4000 | 0x0040 | 0x0002 | 0x0001
  w[93] = identity.sata ? 0 : 0x6001
  number32(w, 100, sectors % 2 ** 32)
  number32(w, 102, Math.floor(sectors / 2 ** 32))
  if (identity.canDiscard) {
    w[105] = TRIM_BLOCKS
    w[169] = 1
  }
  w[106] = 0x4000
  w[217] = 1 // does not rotate
  return finish(w)
}

/** The 512 bytes of IDENTIFY PACKET DEVICE of a CD-ROM drive. */
export function identifyCdrom(identity: { serial: string; model: string; mode: number; sata: boolean }): Uint8Array {
  const w = new Uint16Array(256)
  w[0] = 0x8580 // packet device, CD-ROM, removable, answers within 50 us, packets of 12 bytes
  text(w, 10, 10, identity.serial)
  w[20] = 3
  w[21] = 512
  w[22] = 4
  text(w, 23, 4, '1.0')
  text(w, 27, 20, identity.model)
  w[48] = 0x4000
  w[49] = 0x0f00
  w[53] = 6
  modes(w, identity.mode)
  w[64] = 3
  for (let i = 65; i <= 68; i++) w[i] = 120
  w[71] = 30
  w[72] = 30
  if (identity.sata) w[76] = 0x0006
  w[80] = 0x00f0
  w[82] = 0x4000 | 0x0200 | 0x0010 // NOP, DEVICE RESET, PACKET
  w[83] = 0x4000
  w[84] = 0x4000
  w[85] = 0x4000 | 0x0200 | 0x0010
  w[87] = 0x4000
  w[93] = identity.sata ? 0 : 0x6001
  return finish(w)
}
