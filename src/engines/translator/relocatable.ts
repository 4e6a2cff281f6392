/** Functions of regions that can be made for any index, in this process or another: what depends on that is filled in at the end. */
import { type EmittedBody, Emitter, type FunctionBuilder, type Linker } from '../../ir/function.ts'
import { type Node, OP_HOLE } from '../../ir/node.ts'
import { type RamPlacement, regionHeatAddress, regionPageAddress } from '../../memory/layout.ts'
import type { FunctionType } from '../../wasm/types.ts'
import { I32 } from '../../wasm/types.ts'
import type { Unit } from '../library.ts'

/** A function of a region that nothing else in depends on than its index. */
export interface RegionUnit extends Unit {
  /** The function for a region of another index. */
  at(index: number): Unit['f']
}

/** What a linked constant is: the region's index, the address of its counter, of the word that says where its nth page was. */
const INDEX = 0
const HEAT = 1
const PAGE = 2

export const linkedIndex = (f: FunctionBuilder): Node => f.pure(OP_HOLE, I32, [], INDEX)
export const linkedHeat = (f: FunctionBuilder): Node => f.pure(OP_HOLE, I32, [], HEAT)
/** @param page counts the region's pages */
export const linkedPage = (f: FunctionBuilder, page: number): Node => f.pure(OP_HOLE, I32, [], PAGE + page)

/** Makes a unit of a region's function. @param counted its entries are counted @param ram where memory 1 lies */
export function relocatable(
  name: string,
  f: FunctionBuilder,
  uses: Unit['uses'],
  index: number,
  counted: boolean,
  ram: RamPlacement,
): RegionUnit {
  const emitter = new RelocatableEmitter(f, ram)
  const emitted = emitter.emit()
  const { places, calls, types } = emitter
  const start = emitted.body.length - emitter.length
  // A unit is kept for as long as the process runs, and must not keep what it was made of.
  const { type, calls: callees } = f
  const at = (index: number): Unit['f'] => ({
    type,
    calls: callees,
    emit: (linker): EmittedBody => {
      const body = emitted.body.slice()
      for (const [place, kind] of places) {
        const value =
          kind === INDEX
            ? index
            : kind === HEAT
              ? regionHeatAddress(index)
              : regionPageAddress(index, counted, kind - PAGE)
        padded(body, start + place, value)
      }
      for (const [place, callee] of calls) padded(body, start + place, linker.functionIndex(callee))
      for (const [place, called] of types) padded(body, start + place, linker.typeIndex(called))
      return { body, hints: emitted.hints }
    },
  })
  return { name, f: at(index), uses, at }
}

/** A number below 2^34 in five bytes, which is the same as signed and as unsigned LEB128. */
function padded(bytes: Uint8Array, at: number, value: number): void {
  for (let i = 0; i < 4; i++) bytes[at + i] = ((value >>> (7 * i)) & 0x7f) | 0x80
  bytes[at + 4] = value >>> 28
}

const later = (ram: RamPlacement): Linker => ({
  functionIndex(name) {
    throw new Error(`${name} is linked later`)
  },
  typeIndex() {
    throw new Error('types are linked later')
  },
  ram,
})

class RelocatableEmitter extends Emitter {
  /** Offsets of five bytes each, with what they stand for. */
  readonly places: [at: number, kind: number][] = []
  readonly calls: [at: number, name: string][] = []
  readonly types: [at: number, type: FunctionType][] = []

  constructor(f: FunctionBuilder, ram: RamPlacement) {
    super(f.type, f.variables, f.nodes, later(ram))
  }
  /** Bytes of code, without the declaration of locals. */
  get length(): number {
    return this.out.length
  }
  private leaveRoom(): number {
    const at = this.out.length
    for (let i = 0; i < 5; i++) this.out.byte(0)
    return at
  }
  protected override hole(node: Node): void {
    this.out.byte(0x41)
    this.places.push([this.leaveRoom(), node.imm])
  }
  protected override callee(name: string): void {
    this.calls.push([this.leaveRoom(), name])
  }
  protected override typeNumber(type: FunctionType): void {
    this.types.push([this.leaveRoom(), type])
  }
}
