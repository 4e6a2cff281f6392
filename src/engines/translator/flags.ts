/**
 * Flags in translated code. What set them last is remembered, with its operands, and nothing is computed: a comparison and
 * the branch after it become one, and a way out makes of them what the state needs, out of line. Only where ways of execution
 * meet are they put into locals.
 */

import { F } from '../../cpu/state.ts'
import type { Int } from '../../ir/values.ts'
import { type Code, type FlagChanges, Variable } from '../../isa/semantics.ts'
import {
  flagsFromRecipe,
  RECIPE_ADD,
  RECIPE_DECREMENT,
  RECIPE_INCREMENT,
  RECIPE_LOGIC,
  RECIPE_NONE,
  RECIPE_SUB,
  RECIPE_UNTOUCHED,
  recipeKind,
} from '../flag-recipe.ts'
import { changesOfDecrement, changesOfIncrement, PieceFlags, StatePieces } from '../flags.ts'

/** An operation that sets all six flags, which are known by its operands. */
interface Recipe {
  readonly operation: number
  readonly a: Int
  readonly b: Int | undefined
  readonly result: Int
}

/** Single flags, or all, on top of what was known before. */
interface Changed {
  readonly changes: FlagChanges
  /** Undefined where nothing is left of it. */
  readonly over: Known | undefined
  /** They are those of an increment or decrement, RECIPE_INCREMENT or RECIPE_DECREMENT, with CF as it was or as they say. */
  readonly step?: number
}

/**
 * What is known of the flags at a place: they are as the state has them, settled or not; in the state, settled into pieces; in the
 * region's locals; or what set them.
 */
export type Known = 'state' | 'settled' | 'locals' | Recipe | Changed

/** The flags of a region while it is built. */
export class RegionFlags extends PieceFlags {
  /** What is known where code is being built. */
  known: Known = 'state'
  /** Nobody looks at the flags that the instruction being built sets. */
  dead = false
  /** How many conditional parts of the instruction are open: what is found out in one does not hold behind it. */
  nesting = 0
  /** The instruction sets flags in conditional parts: they are in the locals before and after. */
  private sometimes = false
  /** A recipe's kind (src/engines/flag-recipe.ts) and operands; RECIPE_UNTOUCHED: the flags are in the state. */
  private readonly kind: Variable
  private readonly a: Variable
  private readonly b: Variable
  /** The pieces in the state, for writing them whatever is known. */
  private readonly inState: PieceFlags

  /** @param locals numbers of the locals for a recipe's kind and operands, where they are settled */
  constructor(code: Code, locals: readonly number[] = []) {
    super(code, new StatePieces(code))
    this.inState = new PieceFlags(code, this.pieces)
    this.kind = new Variable(code.f, 32, locals[0])
    this.a = new Variable(code.f, 64, locals[1])
    this.b = new Variable(code.f, 64, locals[2])
  }

  /** What is known where the locals hold a recipe of a certain kind. */
  knownLocals(kind: number): Known {
    const width = ([8, 16, 32, 64] as const)[(kind - 1) & 3]
    const operation = kind - ((kind - 1) & 3)
    const a = this.a.value.truncate(width)
    if (operation === RECIPE_INCREMENT || operation === RECIPE_DECREMENT) {
      const step = operation === RECIPE_INCREMENT ? changesOfIncrement(a) : changesOfDecrement(a)
      return { changes: { ...step, carry: this.b.value.bit(0) }, over: undefined, step: operation }
    }
    if (operation === RECIPE_LOGIC) return { operation, a, b: undefined, result: a }
    const b = this.b.value.truncate(width)
    return { operation, a, b, result: operation === RECIPE_SUB ? a.sub(b) : a.add(b) }
  }

  /**
   * Puts the flags into the locals.
   * @returns what is known of them now: a recipe's kind, or 'locals' where that is only known when the code runs, or 'settled'
   */
  keep(): number | 'locals' | 'state' | 'settled' {
    const { known } = this
    this.toLocals()
    if (typeof known === 'string') {
      if (known !== 'locals') this.kind.set(RECIPE_UNTOUCHED)
      return known
    }
    if ('operation' in known) return recipeKind(known.operation, known.result.width)
    return known.step ? recipeKind(known.step, known.changes.result!.width) : 'settled'
  }

  /** What comes first in the region's function. */
  enter(): void {
    this.kind.set(RECIPE_UNTOUCHED)
  }

  /** Before an instruction. @param sometimes it sets flags in conditional parts */
  begin(sometimes: boolean): void {
    this.sometimes = sometimes && !this.dead
    if (!this.sometimes) return
    this.toLocals()
    this.known = 'locals'
  }

  /** After an instruction. */
  end(): void {
    this.sometimes = false
  }

  /** Builds what puts the flags where ways of execution that meet expect them. What is known stays as it is. */
  toLocals(): void {
    const { known, kind } = this
    if (known === 'locals') return
    if (typeof known === 'object' && 'operation' in known) this.recipeToLocals(known)
    else if (typeof known === 'object' && known.step) this.stepToLocals(known, known.step)
    else {
      this.toState()
      kind.set(RECIPE_UNTOUCHED)
    }
  }

  private stepToLocals(known: Changed, step: number): void {
    const { code, kind, a, b } = this
    const result = known.changes.result!
    const carry = this.carryOf(known)
    if (carry) b.value = carry.zeroExtend(64)
    else {
      // CF is what it was: after another step it is where it shall be.
      const isStep = kind.value.geS(RECIPE_INCREMENT)
      const find = () => {
        this.settle(known.over!)
        b.value = this.inState.carry.zeroExtend(64)
      }
      if (known.over === 'locals') code.if(isStep.isZero(), find, undefined, 'unlikely')
      else find()
    }
    kind.set(recipeKind(step, result.width))
    a.value = result.zeroExtend(64)
  }

  /** CF where it takes no more than a few operations. */
  private carryOf(known: Known): Int | undefined {
    if (known === 'settled') return this.inState.carry
    if (typeof known === 'string') return undefined
    if (!('operation' in known)) return known.changes.carry ?? (known.over && this.carryOf(known.over))
    const { operation, a, b, result } = known
    if (operation === RECIPE_LOGIC) return this.code.bool(false)
    return operation === RECIPE_SUB ? a.ltU(b!) : result.ltU(a)
  }

  private recipeToLocals({ operation, a, b, result }: Recipe): void {
    this.kind.set(recipeKind(operation, result.width))
    this.a.value = (operation === RECIPE_LOGIC ? result : a).zeroExtend(64)
    if (b && operation !== RECIPE_LOGIC) this.b.value = b.zeroExtend(64)
  }

  /** Builds what puts the flags into the state. What is known stays as it is. */
  toState(known: Known = this.known): void {
    const { code } = this
    if (known === 'state' || known === 'settled') return
    if (known === 'locals') this.localsToState()
    else if ('operation' in known) {
      const { operation, a, b, result } = known
      code.set(F.flagKind, recipeKind(operation, result.width))
      code.set(F.flagA, (operation === RECIPE_LOGIC ? result : a).zeroExtend(64))
      if (b && operation !== RECIPE_LOGIC) code.set(F.flagB, b.zeroExtend(64))
    } else {
      const carry = known.step ? this.carryOf(known) : undefined
      if (known.step && carry) {
        const result = known.changes.result!
        code.set(F.flagKind, recipeKind(known.step, result.width))
        code.set(F.flagA, result.zeroExtend(64))
        code.set(F.flagB, carry.zeroExtend(64))
        return
      }
      this.settle(known)
    }
  }

  /** Builds what takes the locals into the state. */
  localsToState(): void {
    const { code } = this
    code.if(this.kind.value.ne(RECIPE_UNTOUCHED), () => {
      code.set(F.flagKind, this.kind.value)
      code.set(F.flagA, this.a.value)
      code.set(F.flagB, this.b.value)
    })
  }

  /** Builds what puts the flags into the state, settled. */
  private settle(known: Known): void {
    const { code } = this
    if (known === 'settled') return
    if (known === 'state' || known === 'locals') {
      this.toState(known)
      code.if(code.get(F.flagKind).isNonZero(), () => {
        code.call(flagsFromRecipe, code.get(F.flagKind), code.get(F.flagA), code.get(F.flagB))
      })
      return
    }
    if ('operation' in known) {
      const { operation, a, b, result } = known
      if (operation === RECIPE_ADD) this.inState.setAdd(a, b!, result)
      else if (operation === RECIPE_SUB) this.inState.setSub(a, b!, result)
      else this.inState.setLogic(result)
    } else {
      if (known.over !== undefined) this.settle(known.over)
      this.inState.set(known.changes)
    }
    code.set(F.flagKind, RECIPE_NONE)
  }

  /** Makes the pieces hold the flags, for code that reads them from there. */
  private settled(): void {
    this.settle(this.known)
    if (this.sometimes) this.kind.set(RECIPE_UNTOUCHED)
    else if (this.nesting === 0) this.known = 'settled'
  }

  private learn(known: Recipe | Changed): void {
    if (this.dead) return
    if (this.nesting > 0 && !this.sometimes)
      throw new Error('flags are set in a conditional part that was not known of')
    if (!this.sometimes) {
      this.known = known
      return
    }
    // Here they are in the locals, and stay there.
    if ('operation' in known) this.recipeToLocals(known)
    else {
      this.toState(known)
      this.kind.set(RECIPE_UNTOUCHED)
    }
  }

  override setAdd(a: Int, b: Int, result: Int, carry?: Int): void {
    if (carry) this.learn(this.withCarry(a, b, result, false))
    else this.learn({ operation: RECIPE_ADD, a, b, result })
  }

  override setSub(a: Int, b: Int, result: Int, borrow?: Int): void {
    if (borrow) this.learn(this.withCarry(a, b, result, true))
    else this.learn({ operation: RECIPE_SUB, a, b, result })
  }

  /** The flags of an addition or subtraction with a carry into it, from the carries between all of its bits. */
  private withCarry(a: Int, b: Int, result: Int, subtracts: boolean): Changed {
    const first = subtracts ? a.not() : a
    const carries = first.and(b).or(first.or(b).and(subtracts ? result : result.not()))
    const differs = subtracts ? a.xor(b) : a.xor(b).not()
    const changes = {
      result,
      carry: carries.isNegative(),
      overflow: differs.and(a.xor(result)).isNegative(),
      adjust: carries.bit(3),
    }
    return { changes, over: undefined }
  }

  override setLogic(result: Int): void {
    this.learn({ operation: RECIPE_LOGIC, a: result, b: undefined, result })
  }

  override setIncrement(result: Int): void {
    this.set(changesOfIncrement(result), RECIPE_INCREMENT)
  }

  override setDecrement(result: Int): void {
    this.set(changesOfDecrement(result), RECIPE_DECREMENT)
  }

  override set(changes: FlagChanges, step?: number): void {
    if (this.dead) return
    if (this.nesting > 0 && !this.sometimes)
      throw new Error('flags are set in a conditional part that was not known of')
    const { known } = this
    if (this.sometimes) {
      // What is left as it is has to be in the pieces.
      if (!isComplete(changes)) this.settled()
      this.inState.set(changes)
      this.code.set(F.flagKind, RECIPE_NONE)
      this.kind.set(RECIPE_UNTOUCHED)
      return
    }
    const merged = typeof known === 'object' && 'changes' in known ? mergedChanges(known.changes, changes) : changes
    const over = typeof known === 'object' && 'changes' in known ? known.over : known
    this.learn({ changes: merged, over: isComplete(merged) ? undefined : over, step })
  }

  /** A flag as far as what set it is known; else from the pieces. */
  private read(
    fromRecipe: (recipe: Recipe) => Int | undefined,
    fromChanges: (changes: FlagChanges) => Int | undefined,
    fromPieces: () => Int,
  ): Int {
    const { known } = this
    if (typeof known === 'object') {
      if ('operation' in known) {
        const value = fromRecipe(known)
        if (value) return value
      } else {
        const value = fromChanges(known.changes)
        if (value) return value
        const under = known.over
        if (typeof under === 'object' && 'operation' in under) {
          const below = fromRecipe(under)
          if (below) return below
        }
      }
    }
    this.settled()
    return fromPieces()
  }

  override get carry(): Int {
    return this.read(
      ({ operation, a, b, result }) =>
        operation === RECIPE_SUB ? a.ltU(b!) : operation === RECIPE_ADD ? result.ltU(a) : this.code.bool(false),
      changes => changes.carry,
      () => super.carry,
    )
  }
  override get zero(): Int {
    return this.read(
      ({ operation, a, b, result }) => (operation === RECIPE_SUB ? a.eq(b!) : result.isZero()),
      changes => changes.zero ?? changes.result?.isZero(),
      () => super.zero,
    )
  }
  override get sign(): Int {
    return this.read(
      ({ result }) => result.isNegative(),
      changes => changes.sign ?? changes.result?.isNegative(),
      () => super.sign,
    )
  }
  override get overflow(): Int {
    return this.read(
      ({ operation, a, b, result }) => {
        if (operation === RECIPE_LOGIC) return this.code.bool(false)
        const differs = operation === RECIPE_SUB ? a.xor(b!) : a.xor(b!).not()
        return differs.and(a.xor(result)).isNegative()
      },
      changes => changes.overflow,
      () => super.overflow,
    )
  }
  override get parity(): Int {
    const even = (result: Int) => result.resize(32).and(0xff).popcnt().and(1).isZero()
    return this.read(
      ({ result }) => even(result),
      changes => changes.parity ?? (changes.result && even(changes.result)),
      () => super.parity,
    )
  }
  override get adjust(): Int {
    return this.read(
      ({ operation, a, b, result }) =>
        operation === RECIPE_LOGIC ? this.code.bool(false) : a.xor(b!).xor(result).bit(4),
      changes => changes.adjust,
      () => super.adjust,
    )
  }

  override condition(code: number): Int {
    const { known } = this
    if (typeof known === 'object') {
      if ('operation' in known) {
        const fused = fusedCondition(code, known)
        if (fused) return fused
      }
      return this.fromFlags(code)
    }
    this.settled()
    return super.condition(code)
  }

  /** A condition made of the flags one by one, which are fused in their turn. */
  private fromFlags(code: number): Int {
    if (code < 12) return super.condition(code)
    const less = this.sign.xor(this.overflow)
    const positive = code < 14 ? less : less.or(this.zero)
    return code & 1 ? positive.isZero() : positive
  }

  override readImage(): Int {
    this.settled()
    return super.readImage()
  }
}

/** Whether nothing is left of the flags before. */
function isComplete({ result, carry, overflow, adjust, zero, sign, parity }: FlagChanges): boolean {
  return !!(carry && overflow && adjust && (result || (zero && sign && parity)))
}

/** Changes on top of others. */
function mergedChanges(before: FlagChanges, after: FlagChanges): FlagChanges {
  const merged = { ...before }
  if (after.result) {
    delete merged.zero
    delete merged.sign
    delete merged.parity
  }
  for (const [name, value] of Object.entries(after) as [keyof FlagChanges, Int | undefined][]) {
    if (value) merged[name] = value
  }
  return merged
}

function fusedCondition(code: number, { operation, a, b, result }: Recipe): Int | undefined {
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
  return code === 5 ? result.isNonZero() : undefined
}
