/** What must be equal after an instruction: everything but what the manuals leave undefined. */
import * as S from '../../src/cpu/state.ts'
import type { Decoded } from '../../src/isa/decoder.ts'
import {
  CODE,
  NO_FAULT,
  RECORD_ADDRESS,
  RECORD_END,
  RECORD_ERROR,
  RECORD_FLAGS,
  RECORD_GPR,
  RECORD_HASH,
  RECORD_MXCSR,
  RECORD_OFFSET,
  RECORD_RIP,
  RECORD_VECTOR,
  RECORD_WINDOW,
  RECORD_XMM,
  RECORD_YMM_HIGH,
  WINDOW,
} from './record.ts'

const REGISTER_NAMES = 'rax rcx rdx rbx rsp rbp rsi rdi r8 r9 r10 r11 r12 r13 r14 r15'.split(' ')

const { CF, PF, AF, ZF, SF, OF, ARITHMETIC_FLAGS } = S

/** What an instruction leaves undefined in a state: flags, or `result` when the destination is undefined too. */
export interface Undefined {
  flags: number
  result?: boolean
}

/** The count of a shift as the record gives it. */
function shiftCount(decoded: Decoded, before: DataView, width: number): number {
  const kinds = decoded.form.operands
  const last = kinds[kinds.length - 1]
  const count =
    last.kind === 'one' ? 1 : last.kind === 'immediate' ? decoded.immLow & 0xff : before.getUint8(RECORD_GPR + 8)
  return count & (width === 64 ? 63 : 31)
}

/** SDM vol. 2 and appendix A of vol. 1. */
export function undefinedAfter(decoded: Decoded, before: DataView): Undefined {
  const { mnemonic } = decoded.form.instruction
  const width = decoded.form.operands[0]?.size === 'b' ? 8 : decoded.operandSize
  switch (mnemonic) {
    case 'AND':
    case 'OR':
    case 'XOR':
    case 'TEST':
      return { flags: AF }
    case 'SHL':
    case 'SHR':
    case 'SAR': {
      const count = shiftCount(decoded, before, width)
      if (count === 0) return { flags: 0 }
      return { flags: AF | (count === 1 ? 0 : OF) | (count >= width && mnemonic !== 'SAR' ? CF : 0) }
    }
    case 'ROL':
    case 'ROR':
    case 'RCL':
    case 'RCR':
      return { flags: shiftCount(decoded, before, width) <= 1 ? 0 : OF }
    case 'SHLD':
    case 'SHRD': {
      const count = shiftCount(decoded, before, width)
      if (count === 0) return { flags: 0 }
      if (count > width) return { flags: ARITHMETIC_FLAGS, result: true }
      return { flags: AF | (count === 1 ? 0 : OF) }
    }
    case 'MUL':
    case 'IMUL':
      return { flags: SF | ZF | AF | PF }
    case 'DIV':
    case 'IDIV':
      return { flags: ARITHMETIC_FLAGS }
    case 'BT':
    case 'BTS':
    case 'BTR':
    case 'BTC':
      return { flags: OF | SF | AF | PF }
    case 'BSF':
    case 'BSR':
      // With a source of 0 Intel's manual leaves the destination undefined; all processors leave it alone.
      return { flags: CF | OF | SF | AF | PF }
    case 'ANDN':
    case 'BLSI':
    case 'BLSMSK':
    case 'BLSR':
    case 'BZHI':
      return { flags: AF | PF }
    case 'BEXTR':
      return { flags: SF | AF | PF }
    case 'TZCNT':
    case 'LZCNT':
      return { flags: OF | SF | AF | PF }
    case 'BSWAP':
      return { flags: 0, result: decoded.operandSize === 16 }
    case 'DAA':
    case 'DAS':
      return { flags: OF }
    case 'AAA':
    case 'AAS':
      return { flags: OF | SF | ZF | PF }
    case 'AAM':
    case 'AAD':
      return { flags: OF | AF | CF }
  }
  return { flags: 0 }
}

/**
 * Instructions that write in several steps: a fault may leave some of them behind, below the top of the stack. (POPA may
 * leave registers behind.)
 */
const PARTIAL = new Set(['PUSHA', 'ENTER'])

/** Their undefined flags follow no rule worth having (SHLD: with 16 bits and a count of 16). */
const NOT_STRICT = new Set(['AAA', 'AAD', 'AAM', 'AAS', 'DAA', 'DAS', 'SHLD'])

/**
 * Compares what the processor made of a record with what an engine made of it.
 * @param strict undefined flags and results too
 * @returns the differences as text (processor's value first), empty when there are none; undefined when the two cannot be compared
 */
export function compare(
  decoded: Decoded,
  before: DataView,
  native: DataView,
  ours: DataView,
  strict: boolean,
): string[] | undefined {
  const differences: string[] = []
  const start = BigInt(CODE + before.getUint32(RECORD_OFFSET, true))
  let vector = native.getUint32(RECORD_VECTOR, true)
  let rip = native.getBigUint64(RECORD_RIP, true)
  const error = native.getUint32(RECORD_ERROR, true)
  if (vector === NO_FAULT) rip -= 1n
  else if (vector === 14 && error & 0x10 && rip !== start)
    vector = NO_FAULT // a jump to where nothing can be fetched
  else if (vector === 13 && rip !== start) return undefined // AMD's processors find the target not canonical when they are there
  const { mnemonic } = decoded.form.instruction
  const ourVector = ours.getUint32(RECORD_VECTOR, true)
  const check = (what: string, a: bigint | number, b: bigint | number): void => {
    if (a !== b) differences.push(`${what} ${a.toString(16)} ≠ ${b.toString(16)}`)
  }
  // Which of two reads that fault is reported is the processor's choice.
  if (mnemonic.startsWith('CMPS') && vector !== NO_FAULT && ourVector !== NO_FAULT) return undefined
  // Intel's manual demands aligned operands of the SHA instructions, AMD's processors do not.
  if (mnemonic.startsWith('SHA') && ourVector === 13) return undefined
  // Whether bytes that are masked out fault, and which byte is reported, is left to the implementation.
  if (/^V?MASKMOVDQU$/.test(mnemonic) && vector !== NO_FAULT) return undefined
  check('vector', vector, ourVector)
  check('rip', rip, ours.getBigUint64(RECORD_RIP, true))
  if (vector === ourVector && vector !== NO_FAULT) {
    const kernel = native.getBigUint64(RECORD_ADDRESS, true) >= 0xffff800000000000n
    if (vector === 14) {
      // MASKMOVDQU reports a byte of its choice.
      if (!/^V?MASKMOVDQU$/.test(mnemonic))
        check('cr2', native.getBigUint64(RECORD_ADDRESS, true), ours.getBigUint64(RECORD_ADDRESS, true))
      // The kernel hides whether its own pages are present.
      const mask = kernel ? 0xfffe : 0xffff
      check('error code', error & mask, ours.getUint32(RECORD_ERROR, true) & mask)
    }
  }
  const follows = strict && !NOT_STRICT.has(mnemonic)
  const undefinedNow = follows || vector !== NO_FAULT ? { flags: 0 } : undefinedAfter(decoded, before)
  const flags = ~undefinedNow.flags & ~S.RF
  const flagsOf = (record: DataView): number => (Number(record.getBigUint64(RECORD_FLAGS, true)) & flags) >>> 0
  check('flags', flagsOf(native), flagsOf(ours))
  if (undefinedNow.result || (vector !== NO_FAULT && mnemonic === 'POPA')) return differences
  REGISTER_NAMES.forEach((name, i) => {
    check(name, native.getBigUint64(RECORD_GPR + i * 8, true), ours.getBigUint64(RECORD_GPR + i * 8, true))
  })
  if (vector !== NO_FAULT && PARTIAL.has(mnemonic)) return differences
  for (let i = 0; i < 16; i++) {
    for (const half of [0, 8]) {
      const offset = RECORD_XMM + i * 16 + half
      check(`xmm${i}+${half}`, native.getBigUint64(offset, true), ours.getBigUint64(offset, true))
      const high = RECORD_YMM_HIGH + i * 16 + half
      check(`ymm${i}+${16 + half}`, native.getBigUint64(high, true), ours.getBigUint64(high, true))
    }
  }
  check('mxcsr', native.getUint32(RECORD_MXCSR, true), ours.getUint32(RECORD_MXCSR, true))
  for (let i = 0; i < WINDOW; i++) {
    check(`boundary${i - WINDOW / 2}`, native.getUint8(RECORD_WINDOW + i), ours.getUint8(RECORD_WINDOW + i))
  }
  for (let i = 0; i < WINDOW / 2; i++) {
    check(`end${i - WINDOW / 2}`, native.getUint8(RECORD_END + i), ours.getUint8(RECORD_END + i))
  }
  check('memory', native.getBigUint64(RECORD_HASH, true), ours.getBigUint64(RECORD_HASH, true))
  return differences
}
