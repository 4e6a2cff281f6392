/** Binary16, as F16C's conversions know it (SDM vol. 1, 14.4.1): FTZ does not count, DAZ does for singles. */
import { routine } from '../isa/semantics.ts'
import { BINARY32, DENORMAL, type HalfFormat, INVALID, roundTo } from './rounding.ts'
import { Operation } from './sse-operation.ts'
import { Unrounded } from './unrounded.ts'

/** Half precision. */
const BINARY16: HalfFormat = { width: 16, precision: 11, maximum: 0x1f, bias: 15 }

/** Raises the invalid flag, and the exception if it is unmasked. */
export const raiseInvalid = routine('raiseInvalid', [], 32, code => {
  const op = new Operation(code, BINARY32)
  op.raise(INVALID)
  return op.finish()
})

/**
 * A single, by its bits, as a half, with exceptions as in sse.ts.
 * Second parameter: bits 1 to 0 the rounding mode, bit 2 to take MXCSR's instead.
 */
export const f32ToF16 = routine('f32ToF16', [32, 32], 16, (code, x, control) => {
  const op = new Operation(code, BINARY16)
  const a = op.operand(x, BINARY32)
  const sign = () => a.sign.shl(15)
  code.block(done => {
    code.if(a.isNaN, () => {
      op.raise(INVALID, a.isSignalling)
      op.result.value = a.quieted
        .and(a.signMask - 1n)
        .shr(13)
        .and(0x3ff)
        .or(0x7c00)
        .or(sign())
        .truncate(16)
    })
    code.leave(done, a.isNaN)
    code.if(a.isInfinite, () => {
      op.result.value = sign().or(0x7c00).truncate(16)
    })
    code.leave(done, a.isInfinite)
    op.raise(DENORMAL, a.isDenormal)
    code.leave(done, op.stopped())
    const { sign: negative, exponent, significand } = a.unpack()
    const number = new Unrounded(code)
    number.sign.value = negative
    number.exponent.value = exponent
    number.high.value = significand
    const mode = code.variable(32, control.bit(2).select(op.mode, control.and(3)))
    roundTo(code, BINARY16, number, { mode: mode.value, masks: op.mxcsr.value.shr(7) }, op.flags, op.result)
  })
  return op.finish()
})
