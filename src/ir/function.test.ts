/** What the builder makes of values that could take the way through an integer register, and its branch hints. */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { Code } from '../isa/semantics.ts'
import { ModuleBuilder } from '../wasm/module.ts'
import { I32, I64 } from '../wasm/types.ts'
import { FunctionBuilder } from './function.ts'
import { Int, Vector } from './values.ts'

const linker = { functionIndex: () => 0, typeIndex: () => 0 }

/** The body of a function that `build` makes, and the function itself, compiled. */
function make(build: (code: Code, parameter: Int) => void) {
  const type = { params: [I32, I32], results: [I32] } as const
  const f = new FunctionBuilder(type)
  build(new Code(f), new Int(f, f.getLocal(1, I32), 32))
  f.return(f.const32(7))
  const { body, hints } = f.emit(linker)
  const module = new ModuleBuilder()
  module.importMemory({ module: 'm', name: '0', minimum: 1, maximum: 1 })
  const index = module.declare(type)
  module.define(index, body, hints)
  module.export('f', index)
  const memory = new WebAssembly.Memory({ initial: 1, maximum: 1, shared: true })
  const bytes = module.finish()
  const { exports } = new WebAssembly.Instance(new WebAssembly.Module(bytes), { m: { 0: memory } })
  return { body, bytes, hints, run: exports.f as (a: number, b: number) => number, memory }
}

const REINTERPRET = [0xbc, 0xbd, 0xbe, 0xbf]

test('a double from memory to memory, by way of bits and lanes, stays out of integer registers', () => {
  const { body, run, memory } = make((code, at) => {
    const load = (offset: number) => new Int(code.f, code.f.load(0x29, I64, 0, at.node, offset), 64)
    const sum = load(0).asFloat().add(load(8).asFloat()).bits()
    const vector = Vector.low(load(0)).withLane(1, sum)
    const doubled = vector.lane(64, 1).asFloat().add(vector.lane(64, 0).asFloat())
    code.f.store(0x37, 0, at.node, doubled.bits().node, 16)
    code.f.store(0x37, 0, at.node, vector.lane(64, 1).node, 24)
  })
  assert.deepEqual(
    REINTERPRET.filter(opcode => body.includes(opcode)),
    [],
  )
  const doubles = new Float64Array(memory.buffer)
  doubles.set([1.5, 2.25])
  run(0, 0)
  assert.deepEqual([...doubles.subarray(2, 4)], [5.25, 3.75])
})

test('a load is not repeated behind a store', () => {
  const { run, memory } = make((code, at) => {
    const before = new Int(code.f, code.f.load(0x29, I64, 0, at.node, 0), 64)
    code.f.store(0x37, 0, at.node, code.const(0, 64).node, 0)
    code.f.store(0x37, 0, at.node, before.asFloat().bits().node, 8)
  })
  const doubles = new Float64Array(memory.buffer)
  doubles.set([1.5])
  run(0, 0)
  assert.deepEqual([...doubles.subarray(0, 2)], [0, 1.5])
})

test('hints name the places of ifs and branches', () => {
  const { body, hints, bytes, run } = make((code, value) => {
    code.if(value.isZero(), () => code.f.return(code.const(1, 32).node), undefined, 'unlikely')
    code.block(end => {
      code.leave(end, value.eq(2), 'likely')
      code.leave(end, value.eq(5))
      code.f.return(code.const(3, 32).node)
    })
  })
  assert.deepEqual(
    hints.map(({ offset, likely }) => [body[offset], likely]),
    [
      [0x04, false],
      [0x0d, true],
    ],
  )
  assert.ok(Buffer.from(bytes).includes('metadata.code.branch_hint'))
  assert.deepEqual(
    [0, 1, 2].map(n => run(0, n)),
    [1, 3, 7],
  )
})
