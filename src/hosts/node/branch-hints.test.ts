import assert from 'node:assert/strict'
import { test } from 'node:test'
import { FunctionBuilder, type Likelihood } from '../../ir/function.ts'
import { ModuleBuilder } from '../../wasm/module.ts'
import { I32 } from '../../wasm/types.ts'
import { heedBranchHints } from './branch-hints.ts'
import { nativeCode } from './native-code.ts'

/** The machine code of a function that stores or does not. */
function machineCode(likelihood: Likelihood): Buffer {
  const native = nativeCode()
  assert.ok(native)
  const f = new FunctionBuilder({ params: [I32], results: [I32] })
  f.if(f.getLocal(0, I32), () => f.setLocal(0, f.const32(0x1234)), undefined, likelihood)
  f.return(f.getLocal(0, I32))
  const { body, hints } = f.emit({ functionIndex: () => 0, typeIndex: () => 0 })
  const module = new ModuleBuilder()
  const index = module.declare(f.type)
  module.define(index, body, hints)
  module.export('f', index)
  const compiled = new WebAssembly.Module(module.finish() as Uint8Array<ArrayBuffer>)
  return Buffer.from(native.write(compiled, new WebAssembly.Instance(compiled).exports.f as CallableFunction))
}

test('V8 lays out code by branch hints', { skip: !nativeCode() && 'machine code cannot be had from this V8' }, () => {
  heedBranchHints()
  assert.deepEqual(machineCode('likely'), machineCode('likely'))
  assert.notDeepEqual(machineCode('likely'), machineCode('unlikely'))
})
