/**
 * Flags in translated code: the last operation and its operands, as far as they are known, so that a comparison and the
 * branch after it become one; as pieces where an operation sets only some of them.
 */

import { F } from '../../cpu/state.ts'
import type { FunctionBuilder } from '../../ir/function.ts'
import type { Int } from '../../ir/values.ts'
import type { Code, FlagChanges, Variable } from '../../isa/semantics.ts'
import {
  flagsFromRecipe,
  RECIPE_ADD,
  RECIPE_LOGIC,
  RECIPE_NONE,
  RECIPE_SUB,
  RECIPE_UNTOUCHED,
  recipeKind,
} from '../flag-recipe.ts'
import { type FlagPieces, PieceFlags } from '../flags.ts'

/** The locals that flags live in across a region. */
export class FlagLocals implements FlagPieces {
  readonly result: Variable
  readonly carries: Variable
  readonly adjust: Variable
  /** Kind and operands of a recipe (src/engines/flag-recipe.ts); kind 0: the pieces hold. */
  readonly kind: Variable
  readonly a: Variable
  readonly b: Variable

  private readonly code: Code

  constructor(code: Code) {
    this.code = code
    this.result = code.variable(64, 0)
    this.carries = code.variable(64, 0)
    this.adjust = code.variable(64, 0)
    this.kind = code.variable(32, 0)
    this.a = code.variable(64, 0)
    this.b = code.variable(64, 0)
  }
  /** Takes up the flags as they are in the state. */
  load(): void {
    const { code } = this
    this.kind.value = code.get(F.flagKind)
    this.a.value = code.get(F.flagA)
    this.b.value = code.get(F.flagB)
    this.result.value = code.get(F.flagResult)
    this.carries.value = code.get(F.flagCarries)
    this.adjust.value = code.get(F.flagAdjust)
  }

  /** Puts the flags into the state, if they are not as they were there. */
  store(): void {
    const { code } = this
    code.if(this.kind.value.ne(RECIPE_UNTOUCHED), () => {
      code.set(F.flagKind, this.kind.value)
      code.if(
        this.kind.value.isNonZero(),
        () => {
          code.set(F.flagA, this.a.value)
          code.set(F.flagB, this.b.value)
        },
        () => {
          code.set(F.flagResult, this.result.value)
          code.set(F.flagCarries, this.carries.value)
          code.set(F.flagAdjust, this.adjust.value)
        },
      )
    })
  }

  getResult(): Int {
    return this.result.value
  }
  getCarries(): Int {
    return this.carries.value
  }
  getAdjust(): Int {
    return this.adjust.value
  }
  setResult(value: Int): void {
    this.result.value = value
  }
  setCarries(value: Int): void {
    this.carries.value = value
  }
  setAdjust(value: Int): void {
    this.adjust.value = value
  }
}

interface Recipe {
  operation: number
  a: Int
  b: Int | undefined
  result: Int
}

/** The flags of a region while it is built. */
export class RegionFlags extends PieceFlags {
  readonly locals: FlagLocals
  /** Nobody looks at the flags that the instruction being built sets. */
  dead = false
  /** What is known here: the operation that set them, that the pieces hold them, or nothing. */
  private known: Recipe | 'pieces' | 'nothing' = 'nothing'

  constructor(code: Code, locals: FlagLocals) {
    super(code, locals)
    this.locals = locals
  }

  /** A new basic block: nothing is known of what its predecessors did. */
  startBlock(): void {
    this.known = 'nothing'
  }

  /** Makes the pieces hold the flags, for code that sets them only sometimes. */
  usePieces(): void {
    if (this.known === 'pieces') return
    const { locals, code } = this
    if (this.known === 'nothing') {
      code.if(locals.kind.value.eq(RECIPE_UNTOUCHED), () => locals.load())
      this.f.if(locals.kind.value.node, () => {
        code.call(flagsFromRecipe, locals.kind.value, locals.a.value, locals.b.value)
        locals.result.value = code.get(F.flagResult)
        locals.carries.value = code.get(F.flagCarries)
        locals.adjust.value = code.get(F.flagAdjust)
      })
    } else {
      const { operation, a, b, result } = this.known
      if (operation === RECIPE_ADD) super.setAdd(a, b!, result)
      else if (operation === RECIPE_SUB) super.setSub(a, b!, result)
      else super.setLogic(result)
    }
    locals.kind.set(RECIPE_NONE)
    this.known = 'pieces'
  }

  private get f(): FunctionBuilder {
    return this.code.f
  }

  private recipe(operation: number, a: Int, b: Int | undefined, result: Int): void {
    if (this.dead) return
    if (this.known === 'pieces' && this.onlySometimes) {
      if (operation === RECIPE_ADD) super.setAdd(a, b!, result)
      else if (operation === RECIPE_SUB) super.setSub(a, b!, result)
      else super.setLogic(result)
      return
    }
    this.known = { operation, a, b, result }
    this.locals.kind.set(recipeKind(operation, result.width))
    this.locals.a.value = (operation === RECIPE_LOGIC ? result : a).zeroExtend(64)
    if (b && operation !== RECIPE_LOGIC) this.locals.b.value = b.zeroExtend(64)
  }

  /** The instruction sets flags in conditional parts: they must stay in pieces. */
  onlySometimes = false

  override setAdd(a: Int, b: Int, result: Int, carry?: Int): void {
    if (carry) this.pieceful(() => super.setAdd(a, b, result))
    else this.recipe(RECIPE_ADD, a, b, result)
  }

  override setSub(a: Int, b: Int, result: Int, borrow?: Int): void {
    if (borrow) this.pieceful(() => super.setSub(a, b, result))
    else this.recipe(RECIPE_SUB, a, b, result)
  }

  override setLogic(result: Int): void {
    this.recipe(RECIPE_LOGIC, result, undefined, result)
  }

  override set(changes: FlagChanges): void {
    const { result, carry, overflow, zero, sign, parity } = changes
    // A piece that is left as it is has to be there; single flags of the others come through the getters below.
    const all = (result || zero || sign || parity) && (carry || overflow)
    if (!all && !this.dead) this.usePieces()
    this.pieceful(() => super.set(changes))
  }

  /** Sets the pieces. */
  private pieceful(set: () => void): void {
    if (this.dead) return
    set()
    if (this.known !== 'pieces') this.locals.kind.set(RECIPE_NONE)
    this.known = 'pieces'
  }

  private fused(get: (recipe: Recipe) => Int | undefined, other: () => Int): Int {
    if (typeof this.known === 'object') {
      const value = get(this.known)
      if (value) return value
    }
    this.usePieces()
    return other()
  }

  override get carry(): Int {
    return this.fused(
      ({ operation, a, b, result }) =>
        operation === RECIPE_SUB ? a.ltU(b!) : operation === RECIPE_ADD ? result.ltU(a) : this.code.bool(false),
      () => super.carry,
    )
  }
  override get zero(): Int {
    return this.fused(
      ({ operation, a, b, result }) => (operation === RECIPE_SUB ? a.eq(b!) : result.isZero()),
      () => super.zero,
    )
  }
  override get sign(): Int {
    return this.fused(
      ({ result }) => result.isNegative(),
      () => super.sign,
    )
  }
  override get overflow(): Int {
    return this.fused(
      ({ operation, a, b, result }) => {
        if (operation === RECIPE_LOGIC) return this.code.bool(false)
        const differs = operation === RECIPE_SUB ? a.xor(b!) : a.xor(b!).not()
        return differs.and(a.xor(result)).isNegative()
      },
      () => super.overflow,
    )
  }
  override get parity(): Int {
    return this.fused(
      ({ result }) => result.resize(32).and(0xff).popcnt().and(1).isZero(),
      () => super.parity,
    )
  }
  override get adjust(): Int {
    return this.fused(
      ({ operation, a, b, result }) =>
        operation === RECIPE_LOGIC ? this.code.bool(false) : a.xor(b!).xor(result).bit(4),
      () => super.adjust,
    )
  }

  override condition(code: number): Int {
    return this.fused(
      recipe => this.fusedCondition(code, recipe),
      () => super.condition(code),
    )
  }

  private fusedCondition(code: number, { operation, a, b, result }: Recipe): Int | undefined {
    if (operation === RECIPE_SUB) {
      switch (code) {
        case 2:
          return a.ltU(b!)
        case 3:
          return a.geU(b!)
        case 4:
          return a.eq(b!)
        case 5:
          return a.ne(b!)
        case 6:
          return a.leU(b!)
        case 7:
          return a.gtU(b!)
        case 12:
          return a.ltS(b!)
        case 13:
          return a.geS(b!)
        case 14:
          return a.leS(b!)
        case 15:
          return a.gtS(b!)
      }
    }
    if (operation === RECIPE_LOGIC) {
      switch (code) {
        case 6:
          return result.isZero()
        case 7:
          return result.isNonZero()
        case 12:
          return result.isNegative()
        case 13:
          return result.isNegative().isZero()
        case 14:
          return result.isNegative().or(result.isZero())
        case 15:
          return result.isNegative().or(result.isZero()).isZero()
      }
    }
    if (code === 5) return result.isNonZero()
    // SF ≠ OF of an addition is read from the pieces.
    if (code >= 12) return undefined
    // The rest is made of the flags one by one, which are fused in their turn.
    return super.condition(code)
  }

  override readImage(): Int {
    this.usePieces()
    return super.readImage()
  }
}
