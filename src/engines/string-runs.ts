/** Elements in guest RAM that are like a value, or like others, or not: 16 bytes at a time, for SCAS and CMPS. */
import { Vector } from '../ir/values.ts'
import { type Code, type Int, type Routine, routine, type Width } from '../isa/semantics.ts'
import * as S from '../wasm/simd.ts'
import { V128 } from '../wasm/types.ts'

const EQUAL = { 1: S.I8X16_EQ, 8: S.I8X16_EQ, 16: S.I16X8_EQ, 32: S.I32X4_EQ, 64: S.I64X2_EQ } as const
const LOAD = 0xfd00
const ALL = 0xffff

const load = (code: Code, address: Int, at: Int): Vector =>
  new Vector(code.f, code.f.load(LOAD, V128, 1, address.add(at).node, 0))

/**
 * How many elements come before the first where `equal`, a mask for 16 bytes at a distance, is not as `alike` wants; only
 * whole vectors among the elements are looked at.
 */
function count(code: Code, width: Width, alike: boolean, elements: Int, equal: (at: Int) => Vector): Int {
  const shift = Math.log2(width / 8)
  const at = code.variable(32, 0)
  const bytes = code.variable(32, elements.shl(shift)).value
  const differing = code.variable(32, 0)
  code.while(
    () => differing.value.isZero().and(at.value.add(16).leU(bytes)),
    () => {
      const mask = equal(at.value).toInt(S.I8X16_BITMASK, 32)
      differing.value = alike ? mask.xor(ALL) : mask
      const before = differing.value.or(1 << 16).ctz()
      at.value = at.value.add(before)
    },
  )
  return at.value.shr(shift)
}

function scanRoutine(width: Width, alike: boolean): Routine {
  return routine(`scan${width}${alike ? 'Alike' : 'Unlike'}`, [32, 32, width], 32, (code, address, elements, value) => {
    const wanted = code.vectorVariable(Vector.splat(value))
    const equal = (at: Int) => load(code, address, at).op(EQUAL[width], [wanted.value])
    return count(code, width, alike, elements, equal)
  })
}

function compareRoutine(width: Width, alike: boolean): Routine {
  return routine(`compare${width}${alike ? 'Alike' : 'Unlike'}`, [32, 32, 32], 32, (code, a, b, elements) =>
    count(code, width, alike, elements, at => load(code, a, at).op(EQUAL[width], [load(code, b, at)])),
  )
}

const WIDTHS = [8, 16, 32, 64] as const
type Pair = readonly [unlike: Routine, alike: Routine]
const pairs = (make: (width: Width, alike: boolean) => Routine) =>
  Object.fromEntries(WIDTHS.map(width => [width, [make(width, false), make(width, true)] as Pair]))
const SCANS = pairs(scanRoutine)
const COMPARISONS = pairs(compareRoutine)

/** Elements unlike a value, or like it. Parameters: address in RAM, how many to look at, the value. Gives their number. */
export const scan = (width: Width, alike: boolean): Routine => SCANS[width][alike ? 1 : 0]

/** Elements at two addresses in RAM that are unlike, or alike. Parameters: the addresses, how many to look at. */
export const compare = (width: Width, alike: boolean): Routine => COMPARISONS[width][alike ? 1 : 0]
