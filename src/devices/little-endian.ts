/**
 * Numbers in bytes that a device read from guest memory. Not by a DataView: V8 keeps arrays of up to 64 bytes in its own heap, and asking for
 * their buffer allocates another outside of it, which costs more than a descriptor does otherwise.
 */

/** The 16 bits at `at`. */
export function wordAt(bytes: Uint8Array, at: number): number {
  return bytes[at] | (bytes[at + 1] << 8)
}

/** The 32 bits at `at`, unsigned. */
export function dwordAt(bytes: Uint8Array, at: number): number {
  return (bytes[at] | (bytes[at + 1] << 8) | (bytes[at + 2] << 16) | (bytes[at + 3] << 24)) >>> 0
}

/** The 64 bits at `at` as a double: exact below 2^53, as addresses are. */
export function qwordAt(bytes: Uint8Array, at: number): number {
  return dwordAt(bytes, at) + dwordAt(bytes, at + 4) * 2 ** 32
}

/** Stores 16 bits at `at`. */
export function setWord(bytes: Uint8Array, at: number, value: number): void {
  bytes[at] = value
  bytes[at + 1] = value >>> 8
}

/** Stores 32 bits at `at`. */
export function setDword(bytes: Uint8Array, at: number, value: number): void {
  setWord(bytes, at, value)
  setWord(bytes, at + 2, value >>> 16)
}
