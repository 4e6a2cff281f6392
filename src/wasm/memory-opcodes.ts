/** Loads by bits, zero-extended into an i32 up to 32 bits (core specification, section 5.4.6). A truth value is a byte. */
export const LOAD_OPCODES = { 1: 0x2d, 8: 0x2d, 16: 0x2f, 32: 0x28, 64: 0x29 } as const

/** Stores of the low bits, by their number. */
export const STORE_OPCODES = { 1: 0x3a, 8: 0x3a, 16: 0x3b, 32: 0x36, 64: 0x37 } as const
