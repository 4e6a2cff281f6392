/** The text of a golden file: guest code, and the WebAssembly that the translator makes of it. */
import {
  MODE_CODE_32,
  MODE_LONG,
  MODE_PROTECTED,
  MODE_SSE,
  MODE_STACK_32,
  MODE_TLB_SHIFT,
  MODE_USER,
  MODE_X87,
} from '../../src/cpu/mode.ts'
import { F, FIELDS } from '../../src/cpu/state.ts'
import { decodeMode } from '../../src/engines/interpreter/blocks.ts'
import { shapeOf, usageOf } from '../../src/engines/interpreter/handlers.ts'
import { takesSegmentChecks, type Usage } from '../../src/engines/semantics.ts'
import { findRegion, type RegionBlock } from '../../src/engines/translator/region.ts'
import { translateRegion } from '../../src/engines/translator/translate.ts'
import { usageInRegion } from '../../src/engines/translator/translator.ts'
import type { Linker } from '../../src/ir/function.ts'
import { OP_CALL, OP_RETURN_CALL } from '../../src/ir/node.ts'
import type { Decoded } from '../../src/isa/decoder.ts'
import { disassemble, registerName } from '../../src/isa/disassembler.ts'
import { TLB_USER } from '../../src/memory/tlb.ts'
import type { FunctionType, ValueType } from '../../src/wasm/types.ts'
import type { GoldenCase } from './cases.ts'
import { type Names, printBody } from './wat.ts'

/** Where the code lies in its page. */
const START = 0x100
const PAGE = 4096

const UNITS = MODE_USER | MODE_X87 | MODE_SSE | (TLB_USER << MODE_TLB_SHIFT)
const MODES = { 32: MODE_PROTECTED | MODE_CODE_32 | MODE_STACK_32 | UNITS, 64: MODE_LONG | UNITS } as const

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

/** The golden file of a piece of guest code. */
export function goldenText({ name, bits, shows, code }: GoldenCase): string {
  const bytes = Buffer.from(code.replace(/ /g, ''), 'hex')
  const ram = new Uint8Array(PAGE)
  // What follows the code is no instruction of it.
  ram.fill(0xf4).set(bytes, START)
  const mode = MODES[bits]
  const info = decodeMode(mode)
  const usage = (decoded: Decoded): Usage | undefined =>
    usageInRegion(decoded, mode, () => {
      const segmented = takesSegmentChecks(info.segmented, info.mode, decoded.segment)
      return usageOf(shapeOf(decoded, info.mode, info.stackSize, segmented))
    })
  const blocks = findRegion({ memory: { ram }, usage }, START, info)
  const { f } = translateRegion(name, blocks, mode, info)
  const signatures = new Map<string, FunctionType>()
  for (const node of f.nodes) {
    if (node.op !== OP_CALL && node.op !== OP_RETURN_CALL) continue
    const params = node.args.map(arg => arg.type as ValueType)
    signatures.set(node.extra as string, { params, results: node.type ? [node.type] : [] })
  }
  const linker = new NamingLinker(signatures)
  const { body } = f.emit(linker)
  const listing = listCode(blocks, bytes)
  const head = [
    `${name}: ${shows}`,
    '',
    ...listing,
    '',
    `${bits}-bit code, ${listing.length} instructions in ${bytes.length} bytes; ${body.length} bytes of WebAssembly`,
  ]
  return `${head.map(line => `;; ${line}`.trimEnd()).join('\n')}\n${printBody(body, f.type, linker)}`
}

/** The instructions of a region in the order of their addresses, a line in front of each block. */
function listCode(blocks: ReadonlyMap<number, RegionBlock>, bytes: Uint8Array): string[] {
  const instructions = new Map([...blocks.values()].flatMap(b => b.instructions).map(i => [i.distance, i.decoded]))
  return [...instructions]
    .sort(([a], [b]) => a - b)
    .map(([distance, decoded]) => {
      const hex = Buffer.from(bytes.subarray(distance, distance + decoded.length)).toString('hex')
      const mark = blocks.has(distance) ? ':' : ' '
      const place = distance.toString(16).padStart(3)
      return `${place}${mark} ${hex.padEnd(20)} ${disassemble(decoded, BigInt(distance))}`
    })
}
