/** Whether the host's `relaxed_madd` rounds once (relaxed SIMD leaves it open): then it is the processor's multiply-add. */
import { FunctionBuilder } from '../ir/function.ts'
import { Float, Vector } from '../ir/values.ts'
import { ModuleBuilder } from '../wasm/module.ts'
import * as S from '../wasm/simd.ts'
import { F64, type FunctionType } from '../wasm/types.ts'

function probe(): boolean {
  const type: FunctionType = { params: [F64, F64, F64], results: [F64] }
  const f = new FunctionBuilder(type)
  const [a, b, c] = [0, 1, 2].map(i => Vector.from(new Float(f, f.getLocal(i, F64), 64), S.F64X2_SPLAT))
  const sum = a.op(S.F64X2_RELAXED_MADD, [b, c])
  f.return(sum.toFloat(S.F64X2_EXTRACT_LANE, 64, Uint8Array.of(0)).node)
  const module = new ModuleBuilder()
  const index = module.declare(type, 'multiplyAdd')
  module.export('multiplyAdd', index)
  module.define(index, f.emit({ functionIndex: () => 0, typeIndex: one => module.type(one) }).body)
  const bytes = module.finish() as Uint8Array<ArrayBuffer>
  // Without relaxed SIMD the module is not valid.
  if (!WebAssembly.validate(bytes)) return false
  const { exports } = new WebAssembly.Instance(new WebAssembly.Module(bytes))
  const tiny = 2 ** -30
  // The product is 1 - 2^-60, which has no double: rounded twice the sum is 0.
  return (exports.multiplyAdd as (a: number, b: number, c: number) => number)(1 + tiny, 1 - tiny, -1) === -(tiny * tiny)
}

/** See the head of this file. The host does not change while a program runs. */
export const HOST_FUSES: boolean = probe()
