/** All instructions on MMX, XMM and YMM registers. */
import * as aes from './aes.ts'
import * as avxDerived from './avx-derived.ts'
import * as avxMoves from './avx-moves.ts'
import * as avxPermutes from './avx-permutes.ts'
import type { Instruction } from './definition.ts'
import * as f16c from './f16c.ts'
import * as fma from './fma.ts'
import * as mmx from './mmx.ts'
import * as mmxShifts from './mmx-shifts.ts'
import * as pclmulqdq from './pclmulqdq.ts'
import * as sha from './sha.ts'
import * as sseApproximations from './sse-approximations.ts'
import * as sseArithmetic from './sse-arithmetic.ts'
import * as sseCompare from './sse-compare.ts'
import * as sseConvert from './sse-convert.ts'
import * as sseMaskedMoves from './sse-masked-moves.ts'
import * as sseMoves from './sse-moves.ts'
import * as sseShuffles from './sse-shuffles.ts'
import * as sse41 from './sse4-1.ts'
import * as sse42Strings from './sse4-2-strings.ts'
import * as ssse3 from './ssse3.ts'

export const instructions: readonly Instruction[] = [
  ...aes.instructions,
  ...avxDerived.instructions,
  ...avxMoves.instructions,
  ...avxPermutes.instructions,
  ...f16c.instructions,
  ...fma.instructions,
  ...mmx.instructions,
  ...mmxShifts.instructions,
  ...pclmulqdq.instructions,
  ...sha.instructions,
  ...sseApproximations.instructions,
  ...sseArithmetic.instructions,
  ...sseCompare.instructions,
  ...sseConvert.instructions,
  ...sseMaskedMoves.instructions,
  ...sseMoves.instructions,
  ...sseShuffles.instructions,
  ...sse41.instructions,
  ...sse42Strings.instructions,
  ...ssse3.instructions,
]
