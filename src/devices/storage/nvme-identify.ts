/** What an NVMe controller says of itself: Identify data structures and log pages (NVM Express 1.4, 5.15 and 5.14). */

/** Identify's size, and that of everything that it returns. */
export const IDENTIFY_BYTES = 4096

/** Optional NVM commands: Write Uncorrectable no, Dataset Management and Write Zeroes yes. */
const ONCS = 0x0004 | 0x0008
const NVME_1_4 = 0x00010400

function ascii(bytes: Uint8Array, at: number, length: number, text: string): void {
  for (let i = 0; i < length; i++) bytes[at + i] = i < text.length ? text.charCodeAt(i) & 0x7f : 0x20
}

/** What the structures tell. */
export interface NvmeIdentity {
  vendor: number
  serial: string
  /** The largest transfer as a power of two of 4 KiB pages. */
  transferPower: number
  writeCache: boolean
  /** Logical blocks and the power of two of their bytes. */
  blocks: number
  blockPower: number
  readOnly: boolean
}

/** Identify Controller. */
export function identifyController(identity: NvmeIdentity): Uint8Array {
  const bytes = new Uint8Array(IDENTIFY_BYTES)
  const view = new DataView(bytes.buffer)
  view.setUint16(0, identity.vendor, true)
  view.setUint16(2, identity.vendor, true)
  ascii(bytes, 4, 20, identity.serial)
  ascii(bytes, 24, 40, 'typetwo NVMe')
  ascii(bytes, 64, 8, '1.0')
  bytes[77] = identity.transferPower
  view.setUint32(80, NVME_1_4, true)
  view.setUint16(256, 0, true) // no optional admin commands
  bytes[258] = 3 // aborts
  bytes[259] = 3 // asynchronous events
  bytes[260] = 0x03 // one firmware slot, read only
  bytes[261] = 0
  bytes[262] = 3 // error log entries
  view.setUint16(266, 343, true) // warning and critical temperature in kelvin
  view.setUint16(268, 353, true)
  bytes[111] = 1 // an I/O controller
  bytes[512] = 0x66 // submission queue entries of 64 bytes
  bytes[513] = 0x44 // completion queue entries of 16
  view.setUint32(516, 1, true)
  view.setUint16(520, ONCS, true)
  bytes[525] = identity.writeCache ? 1 : 0
  const name = `nqn.2014-08.org.nvmexpress:typetwo:${identity.serial}`
  for (let i = 0; i < name.length; i++) bytes[768 + i] = name.charCodeAt(i)
  bytes[768 + name.length] = 0
  view.setUint16(2048, 2500, true) // power state 0: 25 W
  return bytes
}

/** Identify Namespace. */
export function identifyNamespace({ blocks, blockPower, readOnly }: NvmeIdentity): Uint8Array {
  const bytes = new Uint8Array(IDENTIFY_BYTES)
  const view = new DataView(bytes.buffer)
  for (const at of [0, 8, 16]) view.setBigUint64(at, BigInt(blocks), true)
  bytes[24] = 1 // thin: deallocation gives space back
  bytes[33] = 0
  bytes[99] = readOnly ? 1 : 0 // attributes: write protected
  bytes[128 + 2] = blockPower
  return bytes
}

/** The list of namespaces above a number: there is one, 1. */
export function namespaceList(above: number): Uint8Array {
  const bytes = new Uint8Array(IDENTIFY_BYTES)
  if (above < 1) bytes[0] = 1
  return bytes
}

/** The descriptors by which a namespace is known: a UUID made of the serial number. */
export function namespaceDescriptors(serial: string): Uint8Array {
  const bytes = new Uint8Array(IDENTIFY_BYTES)
  bytes[0] = 3
  bytes[1] = 16
  for (let i = 0; i < 16; i++) bytes[4 + i] = serial.charCodeAt(i % Math.max(1, serial.length)) || 0x54
  bytes[4 + 6] = (bytes[4 + 6] & 0x0f) | 0x40
  bytes[4 + 8] = (bytes[4 + 8] & 0x3f) | 0x80
  return bytes
}

/** Log pages: errors (none), SMART (well), firmware slots, supported commands; undefined for others. */
export function logPage(id: number): Uint8Array | undefined {
  switch (id) {
    case 1:
      return new Uint8Array(3 * 64)
    case 2: {
      const bytes = new Uint8Array(512)
      new DataView(bytes.buffer).setUint16(1, 304, true) // 31 degrees
      bytes[3] = 100
      bytes[4] = 10
      return bytes
    }
    case 3: {
      const bytes = new Uint8Array(512)
      bytes[0] = 1
      ascii(bytes, 8, 8, '1.0')
      return bytes
    }
    default:
      return undefined
  }
}
