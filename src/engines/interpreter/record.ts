/**
 * Decoded instructions as the interpreter runs them: a block is a header and a row of records in memory 0, ended by a
 * record whose handler is {@link HANDLER_END}. Registers are named by the byte offsets of their places in the state.
 */

/** Bytes of a record. */
export const RECORD_SIZE = 32
/** Bytes of a block's header, which lies in front of its first record. */
export const HEADER_SIZE = 64

/** u16: index of the handler. */
export const RECORD_HANDLER = 0
/** u8: bytes of the instruction. */
export const RECORD_LENGTH = 2
/** u8: shift of the index register. */
export const RECORD_SCALE = 3
/** u16: the register of ModRM.reg, or its number for segment, control, debug registers. */
export const RECORD_REG = 4
/** u16: the register of ModRM.rm or the base register; the number for ST(i). */
export const RECORD_RM = 6
/** u16: the index register, of general or vector registers; or the second immediate. */
export const RECORD_INDEX = 8
/** u16: the register of the opcode, or of VEX.vvvv. */
export const RECORD_OPCODE_REGISTER = 10
/** u16: the segment of the memory operand. */
export const RECORD_SEGMENT = 12
/** u16: bytes from the start of the block to the end of the instruction. */
export const RECORD_END = 14
/** i64: displacement. */
export const RECORD_DISPLACEMENT = 16
/** i64: immediate; or the register that it names. */
export const RECORD_IMMEDIATE = 24

// What the block is found by lies next to its first record.
/** i32: how many more entries until the block is hot. */
export const HEADER_HEAT = 32
/** i32: index of the function that runs in the block's place, 0: none; or {@link CAREFUL}. */
export const HEADER_REGION = 36
/** i32: address in memory 1 of the first byte. */
export const HEADER_ADDRESS = 40
/** i32: the mode word it was decoded for. */
export const HEADER_MODE = 44
/** i32: first record of the next block in the chain, 0: none. */
export const HEADER_NEXT = 48
/**
 * i32: the first records of blocks that came after this one, each with some bits of its address (main.ts, linkTag) in the low bits, 0: none. The
 * first by falling through, the others by a jump; they lie where the header is in the cache anyway, the table does not.
 */
export const HEADER_FELL = 52
export const HEADER_JUMPED = 56
/** Which of the two a jump to an address has, as an offset. Generated code: main.ts. */
export const JUMPED_SHIFT = 3
export const JUMPED_MASK = 4
/** i32: what its heat was when unused blocks were last dropped, or at the start. */
export const HEADER_HEAT_THEN = 0
/** i32: bytes that it depends on; may reach beyond the frame. */
export const HEADER_LENGTH = 4
/** i32: first record of another block that has code in the frame of its first byte, 0: none. */
export const HEADER_FRAME_NEXT = 8
/** i32: of another that has code in the frame where its instruction goes on. */
export const HEADER_SECOND_FRAME_NEXT = 12
/** i32: how the block is kept (blocks.ts). */
export const HEADER_STATE = 16
/** i32: bytes from the first that must lie within the limit of CS. */
export const HEADER_EXTENT = 20
/** i32: address in memory 1 of where its instruction goes on in another page, or -1. */
export const HEADER_SECOND = 24
/** i32: instructions in the block. */
export const HEADER_COUNT = 28

/** Ends a block: continue at RIP of the record. An invalidated record becomes one, so that execution leaves it. */
export const HANDLER_END = 0

/**
 * The table that finds blocks by their address in memory 1: the first record (i32) of a chain of blocks that share an entry, 0:
 * none.
 */
export const BLOCK_TABLE_ENTRIES = 131072
/** Which entry an address has. Generated code: main.ts. */
export const blockTableIndex = (address: number): number => (address ^ (address >>> 17)) & (BLOCK_TABLE_ENTRIES - 1)
/** In the place of a region: the block's extent and second page are to be looked at before it is entered. */
export const CAREFUL = -1
