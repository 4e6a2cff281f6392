/**
 * Flags not yet looked at: the kind of the last operation and its operands, from which a routine makes the pieces that the
 * rest of the house knows when somebody does look.
 */
import { F } from '../cpu/state.ts'
import type { Int, Width } from '../ir/values.ts'
import { routine } from '../isa/semantics.ts'
import { changesOfDecrement, changesOfIncrement, PieceFlags, StatePieces } from './flags.ts'

/** The pieces are what they should be. */
export const RECIPE_NONE = 0
/** Within a region: the flags are still as the state has them. */
export const RECIPE_UNTOUCHED = -1
/** a + b, by width: 1 + index of the width. */
export const RECIPE_ADD = 1
/** a − b. */
export const RECIPE_SUB = 5
/** A logical operation with the result a. */
export const RECIPE_LOGIC = 9

/** The result a of an increment; b is CF. */
export const RECIPE_INCREMENT = 13
/** The result a of a decrement; b is CF. */
export const RECIPE_DECREMENT = 17

const WIDTHS: readonly Width[] = [8, 16, 32, 64]

/** The kind for an operation and a width. */
export const recipeKind = (operation: number, width: Width): number => operation + WIDTHS.indexOf(width)

/** Makes flagResult, flagCarries and flagAdjust of the state from a kind and its operands (zero-extended). */
export const flagsFromRecipe = routine('flagsFromRecipe', [32, 64, 64], undefined, (code, kind, a, b) => {
  const flags = new PieceFlags(code, new StatePieces(code))
  for (const [operation, set] of [
    [RECIPE_ADD, (x: Int, y: Int) => flags.setAdd(x, y, x.add(y))],
    [RECIPE_SUB, (x: Int, y: Int) => flags.setSub(x, y, x.sub(y))],
    [RECIPE_LOGIC, (x: Int) => flags.setLogic(x)],
    [RECIPE_INCREMENT, (x: Int, cf: Int) => flags.set({ ...changesOfIncrement(x), carry: cf.bit(0) })],
    [RECIPE_DECREMENT, (x: Int, cf: Int) => flags.set({ ...changesOfDecrement(x), carry: cf.bit(0) })],
  ] as const) {
    for (const width of WIDTHS) {
      code.if(kind.eq(recipeKind(operation, width)), () => set(a.truncate(width), b.truncate(width)))
    }
  }
  code.set(F.flagKind, RECIPE_NONE)
  return undefined
})
