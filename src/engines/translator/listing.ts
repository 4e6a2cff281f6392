/** A translated region for people: guest bytes, disassembly, and the WebAssembly that was made of them as text. */
import { MODE_USER } from '../../cpu/mode.ts'
import { CS, F, FIELDS } from '../../cpu/state.ts'
import type { Vcpu } from '../../cpu/vcpu.ts'
import type { Linker } from '../../ir/function.ts'
import { disassemble, registerName } from '../../isa/disassembler.ts'
import { PAGE_MASK } from '../../memory/tlb.ts'
import { type Names, printBody } from '../../wasm/text.ts'
import type { FunctionType } from '../../wasm/types.ts'
import { type Block, decodeMode } from '../interpreter/blocks.ts'
import type { Unit } from '../library.ts'
import type { FoundRegion } from './region.ts'

/** Hands out indices as they are asked for, and remembers what they mean. */
class NamingLinker implements Linker, Names {
  readonly functions: { name: string; type: FunctionType }[] = []
  readonly types: FunctionType[] = []
  private readonly signatures: ReadonlyMap<string, FunctionType>

  constructor(signatures: ReadonlyMap<string, FunctionType>) {
    this.signatures = signatures
  }

  functionIndex(name: string): number {
    const known = this.functions.findIndex(f => f.name === name)
    return known >= 0 ? known : this.functions.push({ name, type: this.signatures.get(name)! }) - 1
  }

  typeIndex(type: FunctionType): number {
    const known = this.types.indexOf(type)
    return known >= 0 ? known : this.types.push(type) - 1
  }

  stateAt(offset: number): string | undefined {
    const field = FIELDS.findLast(candidate => candidate.offset <= offset)
    if (!field || offset >= field.offset + field.count * field.stride) return undefined
    const index = Math.floor((offset - field.offset) / field.stride)
    const rest = (offset - field.offset) % field.stride
    const name = field === F.gpr ? registerName(index, 64) : field.count > 1 ? `${field.name}[${index}]` : field.name
    return rest ? `${name}+${rest}` : name
  }
}

/** WebAssembly of a region's function: its text, and how many bytes it is of. The function cannot be used any more. */
export function functionText({ f }: Unit): { text: string; bytes: number } {
  const linker = new NamingLinker(f.calls)
  const { body } = f.emit(linker)
  return { text: printBody(body, f.type, linker), bytes: body.length }
}

/**
 * The instructions of a region in the order of their addresses, a line each; a colon marks where a block begins.
 * @param bytesAt the guest's bytes at a distance from the region's entry
 * @param start address of the entry as it is to be shown
 */
export function listCode(
  { blocks }: FoundRegion,
  bytesAt: (distance: number, length: number) => Uint8Array,
  start: bigint,
): string[] {
  const starts = new Set(blocks.map(({ distance }) => distance))
  const instructions = new Map(blocks.flatMap(b => b.instructions).map(i => [i.distance, i.decoded]))
  return [...instructions]
    .sort(([a], [b]) => a - b)
    .map(([distance, decoded]) => {
      const code = bytesAt(distance, decoded.length)
      const hex = Array.from(code, byte => byte.toString(16).padStart(2, '0')).join('')
      const mark = starts.has(distance) ? ':' : ' '
      const place = (start + BigInt(distance)).toString(16).padStart(3)
      return `${place}${mark} ${hex.padEnd(20)} ${disassemble(decoded, start + BigInt(distance))}`
    })
}

/** A region that was translated, for a person. */
export interface TranslatedCode {
  /** Linear address of its entry. */
  address: bigint
  /** What it is code of, in words: class of mode, size, privilege. */
  mode: string
  /** Instructions, and bytes of them. */
  instructions: number
  bytes: number
  /** Bytes of WebAssembly of its function, without the routines that it calls. */
  wasmBytes: number
  /** Addresses, bytes and disassembly of the guest's code, a line an instruction. */
  listing: string[]
  /** The function as text. */
  text: string
}

/** Lists a region. RIP is in the page of its entry, if not there. @param unit its function, which cannot be used any more */
export function listRegion(cpu: Vcpu, block: Block, found: FoundRegion, unit: Unit): TranslatedCode {
  const { state, memory } = cpu
  const { mode } = block
  const info = decodeMode(mode)
  const long = info.mode === 'long'
  const here = BigInt.asUintN(long ? 64 : 32, state.get64(F.rip) + state.get64(F.segmentBase, CS))
  const offset = block.address & 0xfff
  const address = (here & PAGE_MASK) | BigInt(offset)
  const { text, bytes: wasmBytes } = functionText(unit)
  const bytesAt = (distance: number, length: number) =>
    Uint8Array.from({ length }, (_, i) => {
      const at = offset + distance + i
      return memory.ram[found.pages.get(Math.floor(at / 4096))! + (at & 0xfff)]
    })
  const listing = listCode(found, bytesAt, address)
  const lengths = new Map(found.blocks.flatMap(b => b.instructions).map(i => [i.distance, i.decoded.length]))
  return {
    address,
    mode: `${info.mode}, ${info.codeSize} bits, ${mode & MODE_USER ? 'user' : 'supervisor'}`,
    instructions: lengths.size,
    bytes: [...lengths.values()].reduce((sum, length) => sum + length, 0),
    wasmBytes,
    listing,
    text,
  }
}
