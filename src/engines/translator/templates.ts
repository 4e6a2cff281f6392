/** The templates of a processor: made when an instruction of a new kind is first translated. */
import { F } from '../../cpu/state.ts'
import { Label } from '../../ir/node.ts'
import { Int } from '../../ir/values.ts'
import { NO_REGISTER } from '../../isa/decoder.ts'
import { Code, type Context, Variable } from '../../isa/semantics.ts'
import type { RamPlacement } from '../../memory/layout.ts'
import { PAGE_MASK, TLB_ADDEND, TLB_READ, TLB_WRITE } from '../../memory/tlb.ts'
import { I32, I64 } from '../../wasm/types.ts'
import type { decodeMode } from '../interpreter/blocks.ts'
import { shapeOf } from '../interpreter/handlers.ts'
import { REGION_TYPE } from '../interpreter/main.ts'
import { isMapped, lookUpJump } from '../jump-table.ts'
import type { Usage } from '../semantics.ts'
import { tlbOffset } from '../tlb-offset.ts'
import { OPERAND_PART, type Reach, STACK_PART } from './near-accesses.ts'
import type { RegionInstruction } from './region.ts'
import {
  type Exactness,
  exactness,
  HOLE_DISPLACEMENT,
  HOLE_IMMEDIATE,
  HOLE_PAGE,
  HOLE_START,
  hasPlainAddress,
  KNOWN_NOTHING,
  KNOWN_SAME,
  LOCALS,
  makeTemplate,
  NoTemplate,
  type Template,
  TemplateEmitter,
  TemplateFlags,
  TemplateFunction,
  TLB_OFFSET,
  templateKey,
} from './template.ts'

/** The templates of the instructions of one shape. */
interface ShapeTemplates {
  readonly exact: Exactness
  readonly context: Context
  readonly byKey: Map<number, Template | undefined>
}

/** Makes and keeps templates. */
export class Templates {
  readonly statistics = { made: 0, refused: 0, milliseconds: 0 }
  readonly ram: RamPlacement
  private readonly byShape = new Map<Usage, ShapeTemplates>()
  private readonly waysOut = new Map<number, Template>()

  /** @param ram where memory 1 lies */
  constructor(ram: RamPlacement) {
    this.ram = ram
  }

  /**
   * The template of an instruction, or undefined where there is none.
   * @param known what is known of the flags in front of it
   * @param live whether anybody looks at the flags that it sets
   * @param near which of its accesses have places: bits by part (near-accesses.ts)
   */
  get(
    instruction: RegionInstruction,
    info: ReturnType<typeof decodeMode>,
    known: number,
    live: boolean,
    near = 0,
  ): Template | undefined {
    const { decoded, usage } = instruction
    let shape = this.byShape.get(usage)
    if (!shape) {
      const { context } = shapeOf(decoded, info.mode, info.stackSize, info.segmented)
      shape = { exact: exactness(instruction), context, byKey: new Map() }
      this.byShape.set(usage, shape)
    }
    if (!usage.readsFlags) known = KNOWN_NOTHING
    const sets = usage.setsFlags || usage.setsFlagsSometimes
    const key = templateKey(decoded, shape.exact, known, live && sets) * 4 + near
    let template = shape.byKey.get(key)
    if (template === undefined && !shape.byKey.has(key)) {
      template = this.make(instruction, shape, known, live, near)
      shape.byKey.set(key, template)
    }
    return template
  }

  private make(
    { decoded, usage }: RegionInstruction,
    { context, exact }: ShapeTemplates,
    known: number,
    live: boolean,
    near: number,
  ): Template | undefined {
    const from = performance.now()
    try {
      if (!hasPlainAddress(decoded)) throw new NoTemplate('an address of 64 bits')
      const template = makeTemplate(decoded, context, usage, exact, known, live, near, this.ram)
      this.statistics.made++
      return template
    } catch (error) {
      if (!(error instanceof NoTemplate)) throw error
      this.statistics.refused++
      return undefined
    } finally {
      this.statistics.milliseconds += performance.now() - from
    }
  }

  /** What every region ends with when its registers are in the state: flags, RIP and budget, and the next region. */
  wayOut(long: boolean, typeIndex: number): Template {
    const key = typeIndex * 2 + (long ? 1 : 0)
    let template = this.waysOut.get(key)
    if (!template) this.waysOut.set(key, (template = makeWayOut(typeIndex)))
    return template
  }

  /** Leaves on the stack whether a page is where it was: where HOLE_PAGE says, for what lies at HOLE_START. Branches as if missed where the TLB does not have it. */
  guard(long: boolean): Template {
    const key = long ? 1 : 0
    this.guards[key] ??= makeGuard(long)
    return this.guards[key]
  }
  private readonly guards: Template[] = []

  /** Looks up where a range of addresses is: {@link TemplateWriter.reach}. */
  reach({ decoded, part, writes }: Reach, width: 32 | 64): Template {
    const narrow = (part === STACK_PART ? width : decoded.addressSize) !== 64
    const index = part === OPERAND_PART && decoded.index !== NO_REGISTER
    const key = (index ? decoded.scale + 1 : 0) * 4 + (narrow ? 2 : 0) + (writes ? 1 : 0)
    this.reaches[key] ??= makeReach(index ? decoded.scale : undefined, narrow, writes)
    return this.reaches[key]
  }
  private readonly reaches: Template[] = []

  /** Forgets all: the interpreter has forgotten its handlers. */
  clear(): void {
    this.byShape.clear()
  }
}

function makeGuard(long: boolean): Template {
  const f = new TemplateFunction()
  const code = new Code(f)
  const entry = new Variable(f, 64, LOCALS.entry)
  const rip = entry.value.add(f.hole(HOLE_START, 64))
  const page = new Int(f, f.load(0x28, I32, 0, f.hole(HOLE_PAGE, 32).node, 0), 32)
  const unknown = new Label()
  const same = isMapped(code, long ? rip : rip.and(0xffffffff), page, unknown)
  return new TemplateEmitter(f, { missed: unknown }).template(same.node, KNOWN_SAME, 'next', [])
}

/** @param scale of the index register; undefined: there is none */
function makeReach(scale: number | undefined, narrow: boolean, writes: boolean): Template {
  const f = new TemplateFunction()
  const code = new Code(f)
  const width = narrow ? 32 : 64
  let sum = f.baseRegister().truncate(width)
  if (scale !== undefined) sum = sum.add(f.indexRegister().truncate(width).shl(scale))
  const low = code.variable(64, sum.add(f.hole(HOLE_DISPLACEMENT, width)).zeroExtend(64)).value
  const offset = code.variable(32, tlbOffset(low.truncate(32))).value
  f.setPlace(new Int(f, f.load(0x28, I32, 0, offset.node, TLB_OFFSET + TLB_ADDEND), 32).add(low.truncate(32)))
  const stored = new Int(f, f.load(0x29, I64, 0, offset.node, TLB_OFFSET + (writes ? TLB_WRITE : TLB_READ)), 64)
  const tag = code.variable(64, stored).value
  const page = low.add(f.hole(HOLE_IMMEDIATE, 64)).and(PAGE_MASK)
  // None. It is 0 whatever the tag is: V8 keeps that in a register, as with PLACE_RAM.
  code.if(tag.ne(page), () => f.setPlace(tag.or(1).isZero().zeroExtend(32)), undefined, 'unlikely')
  return new TemplateEmitter(f, undefined).template(undefined, KNOWN_SAME, 'next', [])
}

function makeWayOut(typeIndex: number): Template {
  const f = new TemplateFunction()
  const code = new Code(f)
  const flags = new TemplateFlags(code, KNOWN_NOTHING)
  const rip = new Variable(f, 64, LOCALS.rip)
  const budget = new Variable(f, 32, LOCALS.budget)
  const bailing = new Variable(f, 32, LOCALS.bailing)
  flags.localsToState()
  code.set(F.rip, rip.value)
  code.set(F.budget, budget.value)
  const waiting = code.get(F.events).or(code.get(F.interruptShadow)).or(bailing.value)
  const next = () =>
    lookUpJump(code, rip.value, code.get(F.tlb), index =>
      f.returnCallIndirect(REGION_TYPE, [code.base.node, index.node]),
    )
  code.if(waiting.isZero(), next, undefined, 'likely')
  f.return(bailing.value.node)
  f.unreachable()
  const linker = {
    functionIndex: (name: string): number => {
      throw new Error(`the way out does not call ${name}`)
    },
    typeIndex: () => typeIndex,
  }
  return new TemplateEmitter(f, undefined, linker).template(undefined, KNOWN_NOTHING, 'next', [])
}
