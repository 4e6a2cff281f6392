/** The guest code whose translation is written down: short pieces that are typical of real code. */

/** A piece of guest code. */
export interface GoldenCase {
  /** Names the file. */
  readonly name: string
  readonly bits: 32 | 64
  /** What it is there to show. */
  readonly shows: string
  /** The code in hexadecimal; a space between instructions. */
  readonly code: string
}

/** All pieces. 64-bit ones are user code, 32-bit ones too, with flat segments. */
export const CASES: readonly GoldenCase[] = [
  {
    name: 'register-loop',
    bits: 64,
    shows: 'a loop in registers, ended by dec and jnz',
    code: 'b9e8030000 31c0 4801c8 48c1c007 4831c8 48ffc9 75f1 c3',
  },
  {
    name: 'nested-loops',
    bits: 64,
    shows: 'two loops, one inside the other',
    code: '31db 31c9 4801c8 ffc1 39f9 7cf7 ffc3 39f3 7cef c3',
  },
  {
    name: 'copy-bytes',
    bits: 64,
    shows: 'a byte loop through memory, ended by cmp and jb',
    code: '0fb6040e 88040f 4883c101 4839d1 72f0 c3',
  },
  {
    name: 'string-length',
    bits: 64,
    shows: 'a comparison with memory in a loop',
    code: '48ffc7 803f00 75f8 c3',
  },
  {
    name: 'compare-branch',
    bits: 64,
    shows: 'branches forward that meet again',
    code: '39d8 7e06 8d4c9805 eb06 85d2 7802 29d1 c3',
  },
  {
    name: 'call-return',
    bits: 64,
    shows: 'a frame, a call within the page, and returns by address',
    code: '55 4889e5 bf05000000 e802000000 c9 c3 8d4701 c3',
  },
  {
    name: 'push-pop',
    bits: 64,
    shows: 'registers saved on the stack',
    code: '53 4154 4889fb 4989f4 415c 5b c3',
  },
  {
    name: 'scalar-double',
    bits: 64,
    shows: 'scalar SSE2 arithmetic in a loop',
    code: 'f20f100ccf f20f59ca f20f58c1 48ffc1 4839d1 75eb c3',
  },
  {
    name: 'packed-integers',
    bits: 64,
    shows: 'packed integer SSE2 with unaligned and aligned memory',
    code: 'f30f6f07 660ffec1 660fefd0 660f70da4e 660f7f5c24e8 c3',
  },
  {
    name: 'multiword-add',
    bits: 64,
    shows: 'the carry of add used by adc, and that of adc by setc',
    code: '488b06 480302 488b5e08 48135a08 0f92c1 c3',
  },
  {
    name: 'conditional-move',
    bits: 64,
    shows: 'one comparison used by cmovb, seta and sbb',
    code: '4839f7 480f42fe 0f97c0 19d2 c3',
  },
  {
    name: 'rip-relative',
    bits: 64,
    shows: 'data beside the code: a read, and a read-modify-write',
    code: '488b0510000000 ff0520000000 c3',
  },
  {
    name: 'thread-local',
    bits: 64,
    shows: 'an access through FS, and an instruction that raises an exception',
    code: '64488b042528000000 4833442408 7501 c3 0f0b',
  },
  {
    name: 'sixteen-bits',
    bits: 64,
    shows: 'registers written in part: 16 bits, and bits 8 to 15',
    code: '0fb707 6601d8 668907 88dc c3',
  },
  {
    name: 'shifts',
    bits: 64,
    shows: 'shifts by CL, which set flags only sometimes, by constants, and of two words',
    code: '48d3e0 c1ea03 48d1fb 7205 480fa4d004 c3',
  },
  {
    name: 'read-modify-write',
    bits: 64,
    shows: 'arithmetic on memory, one of it locked',
    code: '830701 48836608f0 f00fc102 c3',
  },
  {
    name: 'function-frame-32',
    bits: 32,
    shows: '32-bit code with a frame and a null check',
    code: '55 89e5 8b4508 85c0 7409 8b5004 03550c 895004 5d c3',
  },
  {
    name: 'copy-bytes-32',
    bits: 32,
    shows: 'inc and dec, which leave the carry alone, in a 32-bit byte loop',
    code: '8a06 46 8807 47 49 75f7 c3',
  },
  {
    name: 'x87-32',
    bits: 32,
    shows: 'x87 arithmetic on doubles in memory',
    code: 'dd442404 dc4c240c dd5c2404 c3',
  },
]
