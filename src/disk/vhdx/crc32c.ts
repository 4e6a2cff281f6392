/** CRC-32C, by which VHDX protects its structures. */

const TABLE = Uint32Array.from({ length: 256 }, (_, byte) => {
  let value = byte
  for (let i = 0; i < 8; i++) value = value & 1 ? (value >>> 1) ^ 0x82f63b78 : value >>> 1
  return value
})

/** The checksum of `bytes`, with the four at `field` taken for zeros. */
export function crc32c(bytes: Uint8Array, field = -4): number {
  let crc = 0xffffffff
  for (let i = 0; i < bytes.length; i++) {
    const byte = i >= field && i < field + 4 ? 0 : bytes[i]
    crc = TABLE[(crc ^ byte) & 0xff] ^ (crc >>> 8)
  }
  return ~crc >>> 0
}
