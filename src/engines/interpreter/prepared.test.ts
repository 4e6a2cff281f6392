/** What one process leaves for the next: the next does the same with it, and compiles nothing that is there. */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { CR0_PE } from '../../cpu/registers.ts'
import { CS, F, RAX, RCX, SS } from '../../cpu/state.ts'
import { testVcpu } from '../../cpu/test-vcpu.ts'
import type { CodeStore } from '../code-store.ts'
import { MemoryStore } from '../test-store.ts'
import { HOT_SHAPES } from './hot-shapes.ts'
import { Interpreter } from './interpreter.ts'
import { readPrepared, writePrepared } from './prepared.ts'

/** Runs 32-bit code: MOV ECX,5; ADD EAX,ECX; ROR EAX,3; DEC ECX; JNZ; HLT. ROR and HLT are handlers of their own. */
function run(store: CodeStore | undefined) {
  const { cpu } = testVcpu(1 << 20)
  const { state, memory } = cpu
  state.set32(F.cr0, CR0_PE)
  for (const segment of [0, SS, 3]) cpu.setSegment(segment, 16, 0, 0xffffffff, 0xc093)
  cpu.setSegment(CS, 8, 0, 0xffffffff, 0xc09b)
  cpu.rflags = 2
  cpu.updateMode()
  cpu.setRegister(4, 0x8000)
  const engine = new Interpreter(cpu, store)
  memory.write(0x1000, Uint8Array.of(0xb9, 5, 0, 0, 0, 0x01, 0xc8, 0xc1, 0xc8, 3, 0x49, 0x75, 0xf8, 0xf4))
  cpu.rip = 0x1000n
  assert.equal(engine.run(1000).kind, 'halt')
  return { engine, result: [cpu.register(RAX), cpu.register(RCX), cpu.rflags] }
}

test('an interpreter made of what another left does the same', () => {
  const store = new MemoryStore()
  const without = run(undefined)
  const first = run(store)
  assert.equal(store.kept.size, 1)
  const second = run(store)
  assert.deepEqual(first.result, without.result)
  assert.deepEqual(second.result, without.result)
  const modules = (made: typeof first) => made.engine.library.statistics.modules
  // HLT is none of those that are kept.
  assert.equal(modules(second), 3)
  assert.ok(modules(first) > 3)
  for (let index = 1; index <= HOT_SHAPES.length; index++)
    assert.deepEqual(second.engine.usages[index], first.engine.usages[index])
  // The translator knows shapes by these objects.
  const { usages } = second.engine
  assert.equal(new Set(usages.filter(Boolean)).size, usages.filter(Boolean).length)
})

test('handlers that were kept can be dropped and made anew', () => {
  const store = new MemoryStore()
  run(store)
  const { engine } = run(store)
  engine.handlerLimit = 1
  engine.blocks.flush()
  engine.handlerLimit = 8192
  engine.vcpu.rip = 0x1000n
  engine.vcpu.state.set32(F.halted, 0)
  assert.equal(engine.run(1000).kind, 'halt')
})

test('bytes that are not whole are not used', () => {
  const store = new MemoryStore()
  run(store)
  const [name, bytes] = [...store.kept][0]
  const whole = readPrepared(bytes)
  assert.ok(whole)
  assert.deepEqual(writePrepared(whole), bytes)
  for (const length of [0, 3, 4, 100, bytes.length - 1]) assert.equal(readPrepared(bytes.slice(0, length)), undefined)
  store.kept.set(name, bytes.slice(0, 1000))
  run(store)
  assert.equal(store.kept.get(name)!.length, bytes.length)
})
