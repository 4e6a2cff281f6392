import assert from 'node:assert/strict'
import { test } from 'node:test'
import { FRAME_CODE } from '../memory/physical.ts'
import { TLB_ENTRIES, tlbIndex } from '../memory/tlb.ts'
import { fetchPhysical, loadSlow, probeWrite, storeSlow } from './memory-access.ts'
import {
  CR0_PE,
  CR0_PG,
  CR0_WP,
  CR4_PAE,
  CR4_PGE,
  CR4_PSE,
  CR4_SMAP,
  CR4_SMEP,
  EFER_LMA,
  EFER_LME,
  EFER_NXE,
} from './registers.ts'
import { CS, F } from './state.ts'
import { peek64, poke64, takeFault, testVcpu } from './test-vcpu.ts'
import { flushPage, flushTlb } from './translation.ts'
import type { Vcpu } from './vcpu.ts'

const NX = 1n << 63n
const P = 1
const W = 2
const U = 4

/** Four levels at 0x1000–0x4000; the page table maps linear 0x400000 + n pages by `entries`. */
function longMode(entries: bigint[], bits: { cr4?: number; cr0?: number } = {}): Vcpu {
  const { cpu } = testVcpu()
  poke64(cpu, 0x1000, 0x2007n)
  poke64(cpu, 0x2000, 0x3007n)
  poke64(cpu, 0x3010, 0x4007n)
  for (const [i, entry] of entries.entries()) poke64(cpu, 0x4000 + i * 8, entry)
  cpu.state.set32(F.cr0, CR0_PE | CR0_PG | (bits.cr0 ?? 0))
  cpu.state.set32(F.cr3, 0x1000)
  cpu.state.set32(F.cr4, CR4_PAE | (bits.cr4 ?? 0))
  cpu.state.set32(F.efer, EFER_LME | EFER_LMA | EFER_NXE)
  cpu.setSegment(CS, 8, 0, 0xffffffff, 0xa09b)
  cpu.updateMode()
  return cpu
}

function setPrivilege(cpu: Vcpu, cpl: number): void {
  cpu.state.set32(F.cpl, cpl)
  cpu.updateMode()
}

const BASE = 0x400000

test('four levels: rights, error codes, accessed and dirty', () => {
  const cpu = longMode([0x5007n, 0x6005n, 0x7003n, 0n, 0x8007n | NX, 0x9007n | (1n << 45n)])
  cpu.memory.writeNumber(0x5123, 4, 0x12345678)
  setPrivilege(cpu, 3)
  loadSlow(cpu, BASE + 0x123, 0, 4)
  assert.equal(takeFault(cpu), undefined)
  assert.equal(cpu.state.get32(F.serviceResult), 0x12345678)
  assert.equal(peek64(cpu, 0x4000), 0x5027n)
  assert.equal(peek64(cpu, 0x1000), 0x2027n)
  storeSlow(cpu, BASE + 0x10, 0, 1)
  assert.equal(peek64(cpu, 0x4000), 0x5067n)
  storeSlow(cpu, BASE + 0x1000, 0, 1)
  assert.deepEqual(takeFault(cpu), [14, P | W | U])
  assert.equal(cpu.state.get32(F.cr2), BASE + 0x1000)
  loadSlow(cpu, BASE + 0x2000, 0, 1)
  assert.deepEqual(takeFault(cpu), [14, P | U])
  loadSlow(cpu, BASE + 0x3000, 0, 1)
  assert.deepEqual(takeFault(cpu), [14, U])
  assert.equal(fetchPhysical(cpu, BASE + 0x4000, 0), -1)
  assert.deepEqual(takeFault(cpu), [14, P | U | 16])
  loadSlow(cpu, BASE + 0x5000, 0, 1)
  assert.deepEqual(takeFault(cpu), [14, P | U | 8])
  setPrivilege(cpu, 0)
  storeSlow(cpu, BASE + 0x1000, 0, 1)
  assert.equal(takeFault(cpu), undefined, 'without WP the supervisor writes anywhere')
  cpu.state.set32(F.cr0, CR0_PE | CR0_PG | CR0_WP)
  storeSlow(cpu, BASE + 0x1000, 0, 1)
  assert.deepEqual(takeFault(cpu), [14, P | W])
  loadSlow(cpu, 0, 0x8000, 8)
  assert.deepEqual(takeFault(cpu), [13, 0])
  loadSlow(cpu, 0, 0x8000, 8 | 0x100)
  assert.deepEqual(takeFault(cpu), [12, 0])
})

test('SMEP and SMAP keep the supervisor off user pages', () => {
  const cpu = longMode([0x5007n], { cr4: CR4_SMEP | CR4_SMAP })
  assert.equal(fetchPhysical(cpu, BASE, 0), -1)
  assert.deepEqual(takeFault(cpu), [14, P | 16])
  loadSlow(cpu, BASE, 0, 1)
  assert.deepEqual(takeFault(cpu), [14, P])
  cpu.rflags = 2 | (1 << 18)
  cpu.updateMode()
  loadSlow(cpu, BASE, 0, 1)
  assert.equal(takeFault(cpu), undefined)
})

test('accesses cross pages, and fault before anything is written', () => {
  const cpu = longMode([0x5007n, 0x9007n, 0n])
  for (let i = 0; i < 8; i++) cpu.state.bytes[F.serviceResult.offset + i] = i + 1
  storeSlow(cpu, BASE + 0xffd, 0, 8)
  assert.equal(takeFault(cpu), undefined)
  assert.deepEqual([...cpu.memory.read(0x5ffd, 3)], [1, 2, 3])
  assert.deepEqual([...cpu.memory.read(0x9000, 5)], [4, 5, 6, 7, 8])
  loadSlow(cpu, BASE + 0xffd, 0, 8)
  assert.equal(cpu.state.get64(F.serviceResult), 0x0807060504030201n)
  storeSlow(cpu, BASE + 0x1ffd, 0, 8)
  assert.deepEqual(takeFault(cpu), [14, W])
  assert.equal(cpu.state.get32(F.cr2), BASE + 0x2000)
  assert.deepEqual([...cpu.memory.read(0x9ffd, 3)], [0, 0, 0])
  probeWrite(cpu, BASE + 0x1ffd, 0, 8)
  assert.deepEqual(takeFault(cpu), [14, W])
})

test('where there is no RAM devices answer, in pieces of four bytes at most', () => {
  const { cpu, machine } = testVcpu()
  loadSlow(cpu, 0xfee00020 | 0, 0, 8)
  assert.deepEqual(machine.reads, [
    [0xfee00020, 4],
    [0xfee00024, 4],
  ]) // prettier-ignore
  assert.equal(cpu.state.get64(F.serviceResult), 0x2400000020n)
  storeSlow(cpu, 0xfee00020 | 0, 0, 2)
  assert.deepEqual(machine.writes, [[0xfee00020, 2, 0x20]])
})

test('a store to a frame of code tells the observer and stays slow', () => {
  const cpu = longMode([0x5007n])
  const written: number[][] = []
  cpu.memory.observer = {
    codeWritten: (...args) => written.push(args),
    frameChanged() {},
  }
  storeSlow(cpu, BASE + 8, 0, 4)
  const entry = tlbIndex(BASE) * 8
  assert.equal(cpu.tlb[entry + 2], BASE)
  cpu.memory.frames[5] |= FRAME_CODE
  cpu.codeProtected(5)
  assert.equal(cpu.tlb[entry + 2], 1)
  assert.equal(cpu.tlb[entry], BASE)
  storeSlow(cpu, BASE + 8, 0, 4)
  assert.deepEqual(written, [[5, 8, 11]])
  assert.equal(cpu.tlb[entry + 2], 1)
})

test('the TLB: global pages survive, one page goes, its large page too', () => {
  const cpu = longMode([0x5107n, 0x6007n], { cr4: CR4_PGE })
  poke64(cpu, 0x3018, 0x87n)
  const at = (linear: number) => cpu.tlb[tlbIndex(linear) * 8]
  loadSlow(cpu, BASE, 0, 1)
  loadSlow(cpu, BASE + 0x1000, 0, 1)
  flushTlb(cpu, true)
  assert.equal(at(BASE), BASE)
  assert.equal(at(BASE + 0x1000), 1)
  flushPage(cpu, BASE, 0)
  assert.equal(at(BASE), 1)
  loadSlow(cpu, 0x607000, 0, 1)
  assert.equal(takeFault(cpu), undefined)
  assert.equal(at(0x607000), 0x607000)
  flushPage(cpu, 0x600000, 0)
  assert.equal(at(0x607000), 1)
  for (let i = 0; i < 3000; i++) {
    loadSlow(cpu, BASE, 0, 1)
    flushPage(cpu, BASE, 0)
  }
  assert.ok(cpu.tlbUse.count(0, false) + cpu.tlbUse.count(0, true) <= 2 * TLB_ENTRIES)
})

test('the TLB: an entry may change between global and not; G means nothing without PGE', () => {
  const cpu = longMode([0x5107n, 0n, 0n, 0n, 0x6007n], { cr4: CR4_PGE })
  const tag = (linear: number) => cpu.tlb[tlbIndex(linear) * 8]
  const touch = (linear: number) => loadSlow(cpu, linear, 0, 1)
  // The same entry of the TLB, by its hash.
  const other = 0x10404000
  assert.equal(tlbIndex(other), tlbIndex(BASE))
  poke64(cpu, 0x3410, 0x4007n)
  for (const [last, survives] of [
    [BASE, true],
    [other, false],
    [BASE, true],
  ] as const) {
    touch(other)
    touch(BASE)
    touch(last)
    flushTlb(cpu, true)
    assert.equal(tag(BASE) === BASE, survives)
  }
  flushTlb(cpu, false)
  assert.equal(tag(BASE), 1)
  cpu.state.set32(F.cr4, CR4_PAE)
  touch(BASE)
  flushTlb(cpu, true)
  assert.equal(tag(BASE), 1)
})

test('32-bit paging, 4 MiB pages and PAE', () => {
  const { cpu } = testVcpu(8 << 20)
  cpu.state.set32(F.cr0, CR0_PE | CR0_PG)
  cpu.state.set32(F.cr3, 0x1000)
  cpu.memory.writeNumber(0x1000, 4, 0x2003)
  cpu.memory.writeNumber(0x1004, 4, 0x00400083)
  cpu.memory.writeNumber(0x2000 + 4 * 5, 4, 0x7003)
  cpu.memory.writeNumber(0x7004, 4, 0xabcd)
  cpu.memory.writeNumber(0x412344, 4, 0x1234)
  loadSlow(cpu, 0x5004, 0, 4)
  assert.equal(cpu.state.get32(F.serviceResult), 0xabcd)
  cpu.state.set32(F.cr4, CR4_PSE)
  loadSlow(cpu, 0x412344, 0, 4)
  assert.equal(takeFault(cpu), undefined)
  assert.equal(cpu.state.get32(F.serviceResult), 0x1234)
  // INVLPG of an address elsewhere leaves it; within its 4 MiB not.
  const kept = () => cpu.tlb[tlbIndex(0x412000) * 8] === 0x412000
  flushPage(cpu, 0x800000, 0)
  assert.ok(kept())
  flushPage(cpu, 0x7ff000, 0)
  assert.ok(!kept())
  cpu.memory.writeNumber(0x1008, 4, 0x00600083 | (1 << 21))
  loadSlow(cpu, 0x800000, 0, 4)
  assert.deepEqual(takeFault(cpu), [14, P | 8])
  flushTlb(cpu, false)
  cpu.state.set32(F.cr4, CR4_PAE)
  cpu.pdptes.set([0x3001, 0])
  poke64(cpu, 0x3000, 0x4003n)
  poke64(cpu, 0x4000 + 8, 0x7003n)
  loadSlow(cpu, 0x1004, 0, 4)
  assert.equal(cpu.state.get32(F.serviceResult), 0xabcd)
  loadSlow(cpu, 0x40000000, 0, 4)
  assert.deepEqual(takeFault(cpu), [14, 0])
})
