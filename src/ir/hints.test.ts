import assert from 'node:assert/strict'
import { test } from 'node:test'
import { ModuleBuilder } from '../wasm/module.ts'
import { I32, I64 } from '../wasm/types.ts'
import { FunctionBuilder } from './function.ts'

const IF = 0x04
const linker = { functionIndex: () => 0, typeIndex: () => 0 }

test('a hint points at its branch, behind the declarations of locals', () => {
  const f = new FunctionBuilder({ params: [I32], results: [] })
  const counter = f.local(I64)
  const condition = () => f.getLocal(0, I32)
  f.if(condition(), () => f.setLocal(counter, f.const64(1, 0)), undefined, 'unlikely')
  f.if(condition(), () => f.setLocal(counter, f.const64(2, 0)))
  f.if(condition(), () => f.return(), undefined, 'likely')
  const { body, hints } = f.emit(linker)
  assert.deepEqual(
    hints.map(({ offset, likely }) => [body[offset], likely]),
    [
      [IF, false],
      [IF, true],
    ],
  )
  const module = new ModuleBuilder()
  module.define(module.declare(f.type), body, hints)
  assert.equal(
    WebAssembly.Module.customSections(new WebAssembly.Module(module.finish()), 'metadata.code.branch_hint').length,
    1,
  )
})
