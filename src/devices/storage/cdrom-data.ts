/** Answers of a CD-ROM drive that are tables: INQUIRY, mode pages, features, table of contents, events (MMC-5, SPC-3). */

/** Logical blocks of a medium from which on it is a DVD: no CD holds 99 minutes. */
export const CD_BLOCKS = 99 * 60 * 75
/** Profiles of MMC-5, table 91. */
const PROFILE_CD = 0x0008
const PROFILE_DVD = 0x0010
/** Blocks between minute 0, second 0 and logical block 0. */
const MSF_OFFSET = 150

/** A logical block's minute, second and frame. */
export function msf(lba: number): [minute: number, second: number, frame: number] {
  const frames = lba + MSF_OFFSET
  return [Math.floor(frames / (60 * 75)) & 0xff, Math.floor(frames / 75) % 60, frames % 75]
}

/** The logical block at a minute, second and frame, possibly negative. */
export function lbaOf(minute: number, second: number, frame: number): number {
  return (minute * 60 + second) * 75 + frame - MSF_OFFSET
}

function big16(value: number): number[] {
  return [(value >> 8) & 0xff, value & 0xff]
}

function big32(value: number): number[] {
  return [(value >>> 24) & 0xff, (value >>> 16) & 0xff, (value >>> 8) & 0xff, value & 0xff]
}

function ascii(text: string, length: number): number[] {
  return Array.from({ length }, (_, i) => (i < text.length ? text.charCodeAt(i) & 0x7f : 0x20))
}

/** INQUIRY's standard data. */
export function inquiry(): number[] {
  return [0x05, 0x80, 0x05, 0x21, 31, 0, 0, 0, ...ascii('TYPETWO', 8), ...ascii('CD-ROM', 16), ...ascii('1.0', 4)]
}

/** INQUIRY's page of serial number, or the list of pages; undefined where there is no such page. */
export function inquiryPage(page: number, serial: string): number[] | undefined {
  if (page === 0) return [0x05, 0, 0, 3, 0x00, 0x80, 0x83]
  if (page === 0x80) return [0x05, 0x80, 0, 20, ...ascii(serial, 20)]
  if (page === 0x83) return [0x05, 0x83, 0, 24, 2, 0, 0, 20, ...ascii(serial, 20)]
  return undefined
}

/** Mode pages by number (MMC-5, 7.2; read error recovery, CD audio control, capabilities). */
function modePages(locked: boolean): Record<number, number[]> {
  return {
    1: [0x01, 0x06, 0x00, 0x05, 0, 0, 0, 0],
    13: [0x0d, 0x06, 0, 0, ...big16(60), ...big16(75)],
    14: [0x0e, 0x0e, 0x04, 0, 0, 0, 0, 75, 1, 0xff, 2, 0xff, 0, 0, 0, 0],
    // Reads CD-R, CD-RW and DVD; mode 2, multisession; tray that locks, ejects.
    42: [
      ...[0x2a, 0x12, 0x3b, 0, 0x70, 0x60, 0x29 | (locked ? 2 : 0), 0],
      ...[...big16(8467), ...big16(2), ...big16(512), ...big16(8467), 0, 0, 0, 0],
    ],
  }
}

/**
 * MODE SENSE's answer, with the 8-byte header of MODE SENSE (10) or the 4 bytes of the older one; undefined where there is no
 * such page.
 */
export function modeSense(page: number, how: { ten: boolean; locked: boolean; medium: boolean }): number[] | undefined {
  const pages = modePages(how.locked)
  const chosen = page === 0x3f ? Object.values(pages).flat() : pages[page]
  if (chosen === undefined) return undefined
  const type = how.medium ? 0x01 : 0x70
  if (how.ten) return [...big16(6 + chosen.length), type, 0, 0, 0, 0, 0, ...chosen]
  return [3 + chosen.length, type, 0, 0, ...chosen]
}

/** GET CONFIGURATION's answer (MMC-5, 6.6): the features from `first` on, or only that one, or the current ones. */
export function configuration(
  blocks: number | undefined,
  { first, only, current }: { first: number; only: boolean; current: boolean },
): number[] {
  const profile = blocks === undefined ? 0 : blocks > CD_BLOCKS ? PROFILE_DVD : PROFILE_CD
  const isCd = profile === PROFILE_CD ? 1 : 0
  const isDvd = profile === PROFILE_DVD ? 1 : 0
  const any = isCd | isDvd
  const features: [code: number, flags: number, current: number, ...data: number[]][] = [
    [0x0000, 0, 1, ...big16(PROFILE_DVD), isDvd, 0, ...big16(PROFILE_CD), isCd, 0],
    [0x0001, 0x08, 1, 0, 0, 0, 2, 1, 0, 0, 0], // core: ATAPI
    [0x0002, 0x04, 1, 2, 0, 0, 0], // morphing
    [0x0003, 0x04, 1, 0x29, 0, 0, 0], // removable medium: tray, eject, lock
    [0x0010, 0, any, ...big32(2048), ...big16(16), 0, 0], // random readable
    [0x001e, 0x08, isCd, 0, 0, 0, 0], // CD read
    [0x001f, 0x04, isDvd, 0, 0, 0, 0], // DVD read
    [0x0100, 0x04, 1], // power management
  ]
  const chosen = features
    .filter(([code]) => (only ? code === first : code >= first))
    .filter(([, , is]) => !current || is === 1)
    .flatMap(([code, flags, is, ...data]) => [
      ...big16(code),
      flags | (0x02 * (code < 4 ? 1 : 0)) | is,
      data.length,
      ...data,
    ])
  return [...big32(4 + chosen.length), 0, 0, ...big16(profile), ...chosen]
}

/** An address as READ TOC has it. */
function address(lba: number, asMsf: boolean): number[] {
  return asMsf ? [0, ...msf(lba)] : big32(lba)
}

/** READ TOC's formats 0 to 2 (MMC-5, 6.26) of a medium with one data track; undefined for others. */
export function tableOfContents(
  blocks: number,
  { format, asMsf, track }: { format: number; asMsf: boolean; track: number },
): number[] | undefined {
  const first = [0, 0x14, 1, 0, ...address(0, asMsf)]
  const leadOut = [0, 0x14, 0xaa, 0, ...address(blocks, asMsf)]
  if (format === 0) {
    if (track > 1 && track !== 0xaa) return undefined
    const entries = track <= 1 ? [...first, ...leadOut] : leadOut
    return [...big16(2 + entries.length), 1, 1, ...entries]
  }
  if (format === 1) return [0, 10, 1, 1, ...first]
  if (format !== 2) return undefined
  const entry = (point: number, position: number[]) => [1, 0x14, 0, point, 0, 0, 0, ...position]
  const entries = [
    ...entry(0xa0, [0, 1, 0, 0]),
    ...entry(0xa1, [0, 1, 0, 0]),
    ...entry(0xa2, [0, ...msf(blocks)]),
    ...entry(1, [0, ...msf(0)]),
  ]
  return [...big16(2 + entries.length), 1, 1, ...entries]
}

/** READ DISC INFORMATION: one finished session. */
export function discInformation(): number[] {
  return [
    0,
    32,
    0x0e,
    1,
    1,
    1,
    1,
    0x20,
    0,
    0,
    0,
    0,
    ...new Array(4).fill(0),
    ...new Array(8).fill(0xff),
    ...new Array(10).fill(0),
  ]
}

/** READ TRACK INFORMATION of the one track. */
export function trackInformation(blocks: number): number[] {
  return [
    0,
    34,
    1,
    1,
    0,
    0x04,
    0x01,
    0,
    ...big32(0),
    ...big32(0),
    ...big32(0),
    ...big32(0),
    ...big32(blocks),
    ...new Array(8).fill(0),
  ]
}

/** READ DVD STRUCTURE's physical format, and copyright, of a single-layer DVD-ROM; undefined for others. */
export function dvdStructure(format: number, blocks: number): number[] | undefined {
  if (format === 0x01) return [0, 6, 0, 0, 0, 0, 0, 0]
  if (format !== 0x00) return undefined
  const layer = [0x01, 0x02, 0x01, 0x00, ...big32(0x30000), ...big32(0x30000 + blocks - 1), ...big32(0), 0]
  return [...big16(2 + 2048), 0, 0, ...layer, ...new Array(2048 - layer.length).fill(0)]
}

/** Sectors as READ CD hands them over: what it may contain besides the user data. */
export const READ_CD = { SYNC: 0x80, HEADER: 0x20, SUBHEADER: 0x40, USER: 0x10, ECC: 0x08 } as const

/** Bytes of a mode 1 sector of which the fields of `mask` are wanted. */
export function framedBytes(mask: number): number {
  let bytes = 0
  if (mask & READ_CD.SYNC) bytes += 12
  if (mask & READ_CD.HEADER) bytes += 4
  if (mask & READ_CD.USER) bytes += 2048
  if (mask & READ_CD.ECC) bytes += 288
  return bytes
}

const binaryCoded = (value: number) => (Math.floor(value / 10) << 4) | (value % 10)

/**
 * Mode 1 sectors with sync, header, data, EDC and ECC as `mask` asks. EDC is right; the parity of the ECC, which no host
 * reads, is zeros.
 */
export function framed(bytes: Uint8Array, lba: number, mask: number): Uint8Array {
  const count = bytes.length / 2048
  const size = framedBytes(mask)
  const out = new Uint8Array(count * size)
  for (let i = 0; i < count; i++) {
    const raw = new Uint8Array(2352)
    raw.fill(0xff, 1, 11)
    raw.set(msf(lba + i).map(binaryCoded), 12)
    raw[15] = 1
    raw.set(bytes.subarray(2048 * i, 2048 * (i + 1)), 16)
    const edc = errorDetection(raw.subarray(0, 2064))
    for (let j = 0; j < 4; j++) raw[2064 + j] = edc >>> (8 * j)
    let at = i * size
    const copy = (from: number, length: number) => {
      out.set(raw.subarray(from, from + length), at)
      at += length
    }
    if (mask & READ_CD.SYNC) copy(0, 12)
    if (mask & READ_CD.HEADER) copy(12, 4)
    if (mask & READ_CD.USER) copy(16, 2048)
    if (mask & READ_CD.ECC) copy(2064, 288)
  }
  return out
}

/** The EDC of ECMA-130, 14.3: a CRC with polynomial (x^16+x^15+x^2+1)(x^16+x^2+x+1), low bit first. */
function errorDetection(bytes: Uint8Array): number {
  let crc = 0
  for (const byte of bytes) {
    crc ^= byte
    for (let bit = 0; bit < 8; bit++) crc = (crc >>> 1) ^ (crc & 1 ? 0xd8018001 : 0)
  }
  return crc >>> 0
}
