/** From opcode, prefixes and ModRM to the form: tables made from the forms, each only as wide as its opcode needs. */
import type { Form } from './encoding.ts'

/** The prefix that selects among forms: the last of F3 and F2, else 66, else none. */
export const PREFIX_NONE = 0
export const PREFIX_66 = 1
export const PREFIX_F3 = 2
export const PREFIX_F2 = 3

/**
 * What one opcode byte of one map leads to. The form is
 * `cells[is64 * mode + prefix * prefix + W * w + B * b + L * l + (mod == 3) * mod + reg * reg + rm * rm]`
 * where a stride is 0 for what does not matter at this opcode.
 */
export interface OpcodeSlot {
  readonly hasModrm: boolean
  /** ModRM.mod is ignored: no displacement follows whatever it is. */
  readonly ignoresMod: boolean
  readonly modeStride: number
  readonly prefixStride: number
  readonly wStride: number
  readonly bStride: number
  readonly lStride: number
  readonly modStride: number
  readonly regStride: number
  readonly rmStride: number
  readonly cells: readonly (Form | undefined)[]
}

const ALL_PREFIXES = [PREFIX_NONE, PREFIX_66, PREFIX_F3, PREFIX_F2]
const PREFIXES: Record<string, readonly number[]> = {
  NP: [PREFIX_NONE],
  NFx: [PREFIX_NONE, PREFIX_66],
  '66': [PREFIX_66],
  F3: [PREFIX_F3],
  F2: [PREFIX_F2],
}
const BOTH = [0, 1]
const ZERO = [0]
const ONE = [1]
const ANY_OF_EIGHT = [0, 1, 2, 3, 4, 5, 6, 7]
const SINGLE = ANY_OF_EIGHT.map(n => [n])

const pairs = (first: readonly number[], second: readonly number[]): (readonly [number, number])[] =>
  first.flatMap(a => second.map(b => [a, b] as const))

/**
 * How much a form says about when it applies. Where two forms share a cell the one that says more has it: a form that
 * names its prefix before one that any prefix reaches, NOP (90) before XCHG (90+r).
 */
function specificity(form: Form): number {
  const { mandatoryPrefix } = form
  const prefix = mandatoryPrefix === undefined ? 0 : mandatoryPrefix === 'NFx' ? 1 : 2
  return prefix + (form.opcodeRegister ? 0 : 4)
}

/** Makes the slot of the forms that share an opcode. @throws Error when two of them cannot be told apart. */
export function makeSlot(forms: readonly Form[]): OpcodeSlot {
  const hasModrm = forms[0].modrm !== undefined
  const ignoresMod = forms[0].modKind === 'ignored'
  for (const form of forms) {
    if ((form.modrm !== undefined) !== hasModrm || (form.modKind === 'ignored') !== ignoresMod) {
      throw new Error(`'${form.encoding}' and '${forms[0].encoding}' disagree on ModRM`)
    }
  }
  let size = 1
  const dimension = (used: boolean, values: number): number => {
    if (!used) return 0
    const stride = size
    size *= values
    return stride
  }
  const rmStride = dimension(
    forms.some(form => form.rmFixed !== undefined),
    8,
  )
  const regStride = dimension(
    forms.some(form => typeof form.modrm === 'number'),
    8,
  )
  const modStride = dimension(
    forms.some(form => form.modKind === 'mem' || form.modKind === 'reg'),
    2,
  )
  const prefixStride = dimension(
    forms.some(form => form.mandatoryPrefix !== undefined),
    4,
  )
  const wStride = dimension(
    forms.some(form => form.rexW !== undefined),
    2,
  )
  const modeStride = dimension(
    forms.some(form => form.only64 || form.not64),
    2,
  )
  // REX.B matters where a plain opcode lies among eight that name a register: 41 90 is XCHG, not NOP.
  const plainAmongRegisters = forms.some(form => form.opcodeRegister) && forms.some(form => !form.opcodeRegister)
  const bStride = dimension(plainAmongRegisters, 2)

  const lStride = dimension(
    forms.some(form => form.vexLength === 0 || form.vexLength === 1),
    2,
  )

  const cells: (Form | undefined)[] = new Array(size).fill(undefined)
  for (const form of forms) {
    const modes = modeStride ? (form.only64 ? ONE : form.not64 ? ZERO : BOTH) : ZERO
    const prefixes = prefixStride ? (form.mandatoryPrefix ? PREFIXES[form.mandatoryPrefix] : ALL_PREFIXES) : ZERO
    const ws = wStride ? (form.rexW === undefined ? BOTH : form.rexW ? ONE : ZERO) : ZERO
    const bs = bStride && form.opcodeRegister ? BOTH : ZERO
    const ls = lStride ? (form.vexLength === 'any' ? BOTH : form.vexLength === 1 ? ONE : ZERO) : ZERO
    const mods = modStride ? (form.modKind === 'mem' ? ZERO : form.modKind === 'reg' ? ONE : BOTH) : ZERO
    const regs = regStride ? (typeof form.modrm === 'number' ? SINGLE[form.modrm] : ANY_OF_EIGHT) : ZERO
    const rms = rmStride ? (form.rmFixed !== undefined ? SINGLE[form.rmFixed] : ANY_OF_EIGHT) : ZERO
    for (const mode of modes)
      for (const prefix of prefixes)
        for (const w of ws)
          for (const bl of pairs(bs, ls))
            for (const mod of mods)
              for (const reg of regs)
                for (const rm of rms) {
                  const i =
                    mode * modeStride +
                    prefix * prefixStride +
                    w * wStride +
                    bl[0] * bStride +
                    bl[1] * lStride +
                    mod * modStride +
                    reg * regStride +
                    rm * rmStride
                  const other = cells[i]
                  if (other) {
                    const difference = specificity(form) - specificity(other)
                    if (difference < 0) continue
                    if (difference === 0) {
                      throw new Error(
                        `${other.instruction.mnemonic} '${other.encoding}' and ${form.instruction.mnemonic} '${form.encoding}' cannot be told apart`,
                      )
                    }
                  }
                  cells[i] = form
                }
  }
  return {
    hasModrm,
    ignoresMod,
    modeStride,
    prefixStride,
    wStride,
    bStride,
    lStride,
    modStride,
    regStride,
    rmStride,
    cells,
  }
}

/** Added to the element of a slot for encodings with VEX. */
export const VEX_SLOTS = 0x400

/**
 * The forms that share an opcode: element `map << 8 | opcode`, {@link VEX_SLOTS} on with VEX; undefined where nothing is defined.
 */
export function groupForms(forms: readonly Form[]): (Form[] | undefined)[] {
  const groups: (Form[] | undefined)[] = new Array(2 * VEX_SLOTS).fill(undefined)
  for (const form of forms) {
    const first = (form.vexLength === undefined ? 0 : VEX_SLOTS) | (form.map << 8) | form.opcode
    const count = form.opcodeRegister ? 8 : 1
    for (let i = first; i < first + count; i++) {
      const group = groups[i]
      if (group) group.push(form)
      else groups[i] = [form]
    }
  }
  return groups
}
