/**
 * Compares a line of a picture with what is there and stores what differs, four pixels at a time: a screen whose every pixel changes
 * 60 times a second is 47 million pixels, for which JavaScript takes three times as long.
 */
import { FunctionBuilder } from '../../ir/function.ts'
import { Int, Vector } from '../../ir/values.ts'
import { Code } from '../../isa/semantics.ts'
import { STORE_OPCODES } from '../../wasm/memory-opcodes.ts'
import { ModuleBuilder } from '../../wasm/module.ts'
import * as S from '../../wasm/simd.ts'
import { type FunctionType, I32, V128 } from '../../wasm/types.ts'

/**
 * Stores `count` pixels from byte address `from` at byte address `to`.
 * @returns 0 where they were there already, else the first that differs, and in the upper half the one behind the last
 */
export type StoreLine = (from: number, to: number, count: number) => number

/** The functions of one memory. */
export interface LineStores {
  /** Stores pixels as they are. */
  plain: StoreLine
  /** Stores pixels with blue in the lowest byte and something in the highest as pictures have them. */
  swapped: StoreLine
}

/** Most pages of the memory: what the largest picture takes, and its line. */
export const MOST_PAGES = 2048

const TYPE: FunctionType = { params: [I32, I32, I32], results: [I32] }
/** Bytes of four pixels from blue, green, red, and their alpha. */
const RED_FIRST = [2, 1, 0, 3, 6, 5, 4, 7, 10, 9, 8, 11, 14, 13, 12, 15]
const ALPHA = Uint8Array.from(RED_FIRST, byte => (byte % 4 === 3 ? 0xff : 0))
/** How so many pixels become a vector, and which of its lanes they are. */
const FOUR = { load: 0xfd00, bytes: 16, lanes: 0xf } as const
const ONE = { load: 0xfd5c, bytes: 4, lanes: 1 } as const

function lineStore(swapped: boolean): FunctionBuilder {
  const f = new FunctionBuilder(TYPE)
  const code = new Code(f)
  const [from, to, count] = [0, 1, 2].map(index => new Int(f, f.getLocal(index, I32), 32))
  const at = code.variable(32, 0)
  const first = code.variable(32, -1)
  const last = code.variable(32, 0)
  const pixel = () => at.value.shr(2)
  const storeUntil = (end: Int, { load, bytes, lanes }: typeof FOUR | typeof ONE) => {
    const pixels = (line: Int) => new Vector(f, f.load(load, V128, 0, line.add(at.value).node, 0))
    code.while(
      () => at.value.ltU(end),
      () => {
        const read = pixels(from)
        const wanted = swapped ? read.shuffle(1, read, RED_FIRST).or(code.vector(ALPHA)) : read
        const differ = wanted
          .op(S.I32X4_NE, [pixels(to)])
          .toInt(S.I32X4_BITMASK, 32)
          .and(lanes)
        code.if(differ, () => {
          const target = to.add(at.value).node
          if (lanes === 1) f.store(STORE_OPCODES[32], 0, target, wanted.lane(32, 0).node, 0)
          else f.store(0xfd0b, 0, target, wanted.node, 0)
          code.if(first.value.isNegative(), () => {
            first.value = pixel().add(differ.ctz())
          })
          last.value = pixel().add(32).sub(differ.clz())
        })
        at.value = at.value.add(bytes)
      },
    )
  }
  const end = count.shl(2)
  storeUntil(end.and(-FOUR.bytes), FOUR)
  storeUntil(end, ONE)
  f.return(first.value.isNegative().select(code.const(0, 32), first.value.or(last.value.shl(16))).node)
  f.unreachable()
  return f
}

/** Makes the functions for a memory of at most {@link MOST_PAGES}. */
export function lineStores(memory: WebAssembly.Memory): LineStores {
  const module = new ModuleBuilder()
  module.importMemory({ module: 'picture', name: 'memory', minimum: 1, maximum: MOST_PAGES })
  for (const name of ['plain', 'swapped'] as const) {
    const index = module.declare(TYPE, name)
    const { body } = lineStore(name === 'swapped').emit({
      functionIndex: () => 0,
      typeIndex: type => module.type(type),
    })
    module.define(index, body)
    module.export(name, index)
  }
  const { exports } = new WebAssembly.Instance(new WebAssembly.Module(module.finish()), { picture: { memory } })
  return exports as unknown as LineStores
}
