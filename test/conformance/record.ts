/** The records that native.c and the engines under test take and give: one instruction with the state around it. */

/** Two pages of data, nothing mapped around them. */
export const DATA = 0x10000000
/** Two pages of code, nothing mapped around them, full of INT3 but for the instruction. */
export const CODE = 0x20000000
export const PAGE = 4096
/** Bytes of data around the boundary of the two pages; the first half of them also ends the second page. */
export const WINDOW = 256

/** Byte offsets in a record; 64-bit little-endian values unless said otherwise. */
export const RECORD_CODE = 0
/** 32 bits each: bytes of code, and where in the code pages it lies. */
export const RECORD_LENGTH = 16
export const RECORD_OFFSET = 20
export const RECORD_GPR = 24
export const RECORD_FLAGS = 152
/** Results: where execution stopped and (32 bits each) why: exception vector and error code; CR2; a hash of the data pages. */
export const RECORD_RIP = 160
export const RECORD_VECTOR = 168
export const RECORD_ERROR = 172
export const RECORD_ADDRESS = 176
export const RECORD_HASH = 184
/** 32 bits. */
export const RECORD_MXCSR = 192
export const RECORD_XMM = 200
export const RECORD_WINDOW = 456
/** Result: the last half window of the second page. */
export const RECORD_END = 712
/** Upper halves of the YMM registers. */
export const RECORD_YMM_HIGH = 840
export const RECORD_SIZE = 1096

/** The flags that a record sets: CF PF AF ZF SF DF OF. */
export const RECORD_FLAGS_MASK = 0xcd5

/** The vector of a record whose instruction came to its end: that of the INT3 behind it. */
export const NO_FAULT = 3

/** What fills the data pages outside the windows. */
export const pattern: Uint8Array = Uint8Array.from({ length: 2 * PAGE }, (_, i) => (i * 37 + 11) & 0xff)

/** The hash of the data pages, as native.c's. */
export function hashData(words: Uint32Array): bigint {
  let a = 1
  let b = 2
  for (let i = 0; i < words.length; i += 2) {
    a = Math.imul(a ^ words[i], 0x9e3779b1)
    b = Math.imul(b ^ words[i + 1], 0x85ebca6b)
    a ^= a >>> 15
    b ^= b >>> 13
  }
  return (BigInt(b >>> 0) << 32n) | BigInt(a >>> 0)
}
