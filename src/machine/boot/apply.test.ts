import assert from 'node:assert/strict'
import { test } from 'node:test'
import { MODE_CLASS, MODE_CODE_32, MODE_LONG, MODE_PROTECTED, MODE_SEGMENTED, MODE_STACK_32 } from '../../cpu/mode.ts'
import { ACCESS_FETCH, translate } from '../../cpu/paging.ts'
import { F, RDX, RSI } from '../../cpu/state.ts'
import { testVcpu } from '../../cpu/test-vcpu.ts'
import { applyBootState } from './apply.ts'
import { linuxEntry } from './linux.ts'
import type { BootMemory } from './state.ts'

function boot(long: boolean) {
  const { cpu } = testVcpu(4 << 20)
  const memory: BootMemory = {
    regions: [{ address: 0, length: 4 << 20 }],
    write: (address, bytes) => cpu.memory.write(address, bytes),
    clear: (address, length) => cpu.memory.write(address, new Uint8Array(length)),
  }
  applyBootState(cpu, linuxEntry(memory, 0x100200, long))
  return cpu
}

test('the processor takes the 64-bit entry state as long mode with all of 4 GiB mapped', () => {
  const cpu = boot(true)
  const mode = cpu.state.get32(F.mode)
  assert.equal(mode & MODE_CLASS, MODE_LONG)
  assert.equal(cpu.rip, 0x100200n)
  assert.equal(cpu.register(RSI), 0x7000n)
  assert.equal(cpu.register(RDX), 0n)
  assert.equal(translate(cpu, 0x345678, 0, ACCESS_FETCH), 0x345)
  assert.equal(translate(cpu, 0xfee00000, 0, 0), 0xfee00)
  assert.equal(cpu.state.get32(F.fault), 0)
})

test('the processor takes the 32-bit entry state as flat protected mode', () => {
  const mode = boot(false).state.get32(F.mode)
  assert.equal(mode & MODE_CLASS, MODE_PROTECTED)
  assert.equal(mode & (MODE_CODE_32 | MODE_STACK_32 | MODE_SEGMENTED), MODE_CODE_32 | MODE_STACK_32)
})
