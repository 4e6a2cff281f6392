import assert from 'node:assert/strict'
import { test } from 'node:test'
import * as access from '../cpu/memory-access.ts'
import {
  CR0_AM,
  CR0_PE,
  CR0_PG,
  CR0_WP,
  CR4_LA57,
  CR4_PAE,
  CR4_PGE,
  CR4_PSE,
  CR4_SMAP,
  CR4_SMEP,
  EFER_LMA,
  EFER_LME,
  EFER_NXE,
} from '../cpu/registers.ts'
import { AC, CS, F } from '../cpu/state.ts'
import { poke64, testVcpu } from '../cpu/test-vcpu.ts'
import { flushPage, flushTlb } from '../cpu/translation.ts'
import type { Vcpu } from '../cpu/vcpu.ts'
import { randomSource } from '../isa/assembler.ts'
import { FRAME_CODE } from '../memory/physical.ts'
import { CodeMarks } from './code-marks.ts'
import { CodeLibrary } from './library.ts'
import { IN_TYPESCRIPT, slowPathUnits } from './slow-paths.ts'

type Path = (...args: number[]) => number | undefined

/** The paths in TypeScript. */
function plainPaths(cpu: Vcpu): Record<string, Path> {
  return {
    fillTlb: (low, high, size, write) => access.tryFillTlb(cpu, low, high, size, write),
    loadSlow: (low, high, size) => void access.loadSlow(cpu, low, high, size),
    loadForWriteSlow: (low, high, size) => {
      access.probeWrite(cpu, low, high, size)
      if (!cpu.state.get32(F.fault)) access.loadSlow(cpu, low, high, size)
      return undefined
    },
    storeSlow: (low, high, size) => void access.storeSlow(cpu, low, high, size),
    probeWrite: (low, high, size) => void access.probeWrite(cpu, low, high, size),
    fetchPhysical: (low, high) => access.fetchPhysical(cpu, low, high),
  }
}

/** The generated ones, and how often each had to ask TypeScript. */
function generatedPaths(cpu: Vcpu): { paths: Record<string, Path>; asked: () => number } {
  const plain = plainPaths(cpu)
  let asked = 0
  const library = new CodeLibrary(cpu.memory, new WebAssembly.Table({ element: 'anyfunc', initial: 1 }), name => {
    assert.ok(name.startsWith(IN_TYPESCRIPT))
    return (...args: number[]) => {
      asked++
      return plain[name.slice(IN_TYPESCRIPT.length)](...args)
    }
  })
  const made = library.compile(slowPathUnits(cpu.state.base))
  const paths = Object.fromEntries(Object.keys(plain).map(name => [name, made.get(name) as unknown as Path]))
  return { paths, asked: () => asked }
}

const MEMORY = 1 << 20
type Paging = 'four levels' | 'five levels' | 'PAE' | '32 bits'

/** Tables full of entries that mostly make sense, in the first 32 frames. */
function fillTables(cpus: readonly Vcpu[], random: (below: number) => number, paging: Paging): void {
  const wide = paging !== '32 bits'
  for (let at = 0; at < 32 * 4096; at += wide ? 8 : 4) {
    const chance = (n: number) => random(n) === 0
    // Only a few entries of a table are ever used: see `address`.
    let entry = BigInt((random(32) << 12) | 0x27 | (random(4) << 5))
    if (chance(6)) entry &= ~2n
    if (chance(6)) entry &= ~4n
    if (chance(12)) entry &= ~1n
    if (chance(4)) entry |= 0x100n
    if (chance(4)) entry = (entry & ~0xff000n) | BigInt(random(300) << 12)
    if (chance(6)) entry = (entry & ~0xff000n) | 0x80n
    if (chance(20)) entry ^= 1n << BigInt(random(wide ? 63 : 32))
    if (wide && chance(6)) entry |= 1n << 63n
    for (const cpu of cpus) {
      if (wide) poke64(cpu, at, entry)
      else cpu.memory.writeNumber(at, 4, Number(entry & 0xffffffffn))
    }
  }
}

/** An address that uses few entries of each table. */
function address(random: (below: number) => number, paging: Paging): [low: number, high: number] {
  const offset = random(3) ? random(4096 / 8) * 8 : random(4096)
  const index = () => BigInt(random(4))
  if (paging === '32 bits') return [Number((index() << 22n) | (index() << 12n)) | offset, 0]
  if (paging === 'PAE') return [Number((index() << 30n) | (index() << 21n) | (index() << 12n) | BigInt(offset)) | 0, 0]
  let linear = (index() << 39n) | (index() << 30n) | (index() << 21n) | (index() << 12n) | BigInt(offset)
  if (paging === 'five levels') linear |= index() << 48n
  if (random(30) === 0) linear |= 1n << BigInt(47 + random(17))
  return [Number(linear & 0xffffffffn) | 0, Number(linear >> 32n) | 0]
}

const SIZES = [1, 2, 4, 8, 16, 10, 8 | access.THROUGH_STACK_SEGMENT]

for (const paging of ['four levels', 'five levels', 'PAE', '32 bits'] as const) {
  test(`generated slow paths do what those in TypeScript do: ${paging}`, () => {
    const random = randomSource(paging.length * 7919)
    const plain = testVcpu(MEMORY).cpu
    const generated = testVcpu(MEMORY).cpu
    const cpus = [plain, generated]
    const slow = plainPaths(plain)
    const { paths: fast, asked } = generatedPaths(generated)
    let calls = 0
    let faults = 0
    for (let round = 0; round < 60; round++) {
      fillTables(cpus, random, paging)
      const bits = (list: readonly number[]) => list.reduce((sum, bit) => sum | (random(2) ? bit : 0), 0)
      const cr4 =
        bits([CR4_PGE, CR4_SMAP, CR4_SMEP, CR4_PSE]) |
        (paging === '32 bits' ? 0 : CR4_PAE) |
        (paging === 'five levels' ? CR4_LA57 : 0)
      const long = paging.endsWith('levels')
      const cr0 = (CR0_PE | CR0_PG | bits([CR0_WP, CR0_AM])) & (random(8) ? -1 : ~CR0_PG)
      const efer = bits([EFER_NXE]) | (long ? EFER_LMA | EFER_LME : 0)
      const cr3 = random(32) << 12
      const cpl = random(2) * 3
      const flags = 2 | bits([AC])
      const codeFrame = random(300) % 256
      const pdptes = [0, 1, 2, 3].flatMap(() => [(random(32) << 12) | (random(8) ? 1 : 0), 0])
      const breakpoint = random(8) === 0
      for (const cpu of cpus) {
        const { state } = cpu
        state.set32(F.cr0, cr0)
        state.setHalves(F.cr3, cr3, 0)
        state.set32(F.cr4, cr4)
        state.set32(F.efer, efer)
        state.set32(F.cpl, cpl)
        state.set32(F.systemFlags, flags)
        cpu.pdptes.set(pdptes)
        cpu.setSegment(CS, 8, 0, 0xffffffff, long ? 0xa09b : 0xc09b)
        state.setHalves(F.dr, 0x1000, 0)
        state.setHalves(F.dr, breakpoint ? 0x10001 : 0, 0, 7)
        cpu.debugRegistersChanged()
        const { frames, cpuMemory } = cpu.memory
        frames[codeFrame] |= FRAME_CODE
        new CodeMarks(cpuMemory.buffer).add(frames[codeFrame] >>> 12, 1024, 2047)
        flushTlb(cpu, random(1) === 1)
        cpu.updateMode()
      }
      for (let i = 0; i < 150; i++) {
        const [low, high] = address(random, paging)
        const names = Object.keys(slow)
        const name = names[random(names.length)]
        const args = [low, high, SIZES[random(SIZES.length)], random(2)]
        const value = BigInt(random(0x40000000)) * 0x123456789n
        const results = [slow, fast].map((paths, which) => {
          const { state } = cpus[which]
          state.set32(F.fault, 0)
          state.set32(F.faultErrorCode, 0)
          state.set64(F.serviceResult, value)
          state.set64(F.serviceResult2, ~value & 0xffffffffffffffffn)
          const result = paths[name](...args.slice(0, name === 'fetchPhysical' ? 2 : name === 'fillTlb' ? 4 : 3))
          const fault = state.get32(F.fault)
          const note = fault ? [state.get32(F.faultVector), state.get32(F.faultErrorCode)] : []
          const loaded =
            !fault && name.startsWith('load') ? [state.get64(F.serviceResult), state.get64(F.serviceResult2)] : []
          faults += fault
          return { result, fault, note, loaded, cr2: state.get64(F.cr2) }
        })
        calls++
        const what = `round ${round}: ${name}(${args.map(n => (n >>> 0).toString(16))}) cr0 ${(cr0 >>> 0).toString(16)} cr4 ${cr4.toString(16)} cpl ${cpl}`
        assert.deepEqual(results[1], results[0], what)
        assert.deepEqual(generated.tlb, plain.tlb, `the TLB after ${what}`)
        assert.equal(generated.tlbUse.largePages, plain.tlbUse.largePages)
        if (random(20) === 0) for (const cpu of cpus) flushPage(cpu, low, high)
        if (random(40) === 0) {
          const keepGlobal = random(2) === 0
          for (const cpu of cpus) flushTlb(cpu, keepGlobal)
        }
      }
      assert.deepEqual(generated.memory.ram, plain.memory.ram, `memory after round ${round}`)
      assert.deepEqual(generated.memory.frames.subarray(0, 256), plain.memory.frames.subarray(0, 256))
    }
    assert.ok(faults > calls / 10, 'there are faults among them')
    assert.ok(asked() < calls * 0.7, `TypeScript was asked ${asked()} times of ${calls}`)
  })
}
