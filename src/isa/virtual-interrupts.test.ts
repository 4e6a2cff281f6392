/** Virtual-8086 mode with and without CR4.VME, and CR4.PVI: tables 21-2 and 21-3 of SDM vol. 3, and its section 21.4. */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { CR0_PE, CR0_PG, CR4_PAE, CR4_PVI, CR4_VME, EFER_LMA, EFER_LME } from '../cpu/registers.ts'
import { CF, CS, DF, DS, ES, F, IDTR, IF, IOPL, NT, RSP, SS, TF, TR, VIF, VIP, VM } from '../cpu/state.ts'
import { testVcpu } from '../cpu/test-vcpu.ts'
import { flushTlb } from '../cpu/translation.ts'
import { Interpreter } from '../engines/interpreter/interpreter.ts'
import { Translator } from '../engines/translator/translator.ts'

const CODE = 0x1000
const STACK = 0x8000
const TSS = 0xa000
const IO_BITMAP = 0x88
const SELECTOR = 0x0010
const BASE = SELECTOR << 4
const PUSHF = [0x9c]
const PUSHFD = [0x66, 0x9c]
const POPF = [0x9d]
const POPFD = [0x66, 0x9d]
const IRET = [0xcf]
const CLI = [0xfa]
const STI = [0xfb]
const NOP = 0x90
const ALWAYS = 2

interface Start {
  code: readonly number[]
  flags: number
  cr4?: number
  /** Words on the stack, the top first. */
  stack?: readonly number[]
  /** Vectors whose bit in the redirection bitmap is set: they are the monitor's. */
  kept?: readonly number[]
  kind?: 'virtual-8086' | 'protected' | 'long'
  cpl?: number
}

/** A processor and a function that runs one instruction on it. */
function processor(translates: boolean) {
  const { cpu } = testVcpu()
  const { state, memory } = cpu
  const engine = new Interpreter(cpu)
  if (translates) new Translator(engine, 1)
  let fault: [vector: number, errorCode: number] | undefined
  cpu.deliverFault = () => {
    fault = [state.get32(F.faultVector), state.get32(F.faultErrorCode) | 0]
    state.set32(F.fault, 0)
    state.set32(F.halted, 1)
  }
  memory.writeNumber(0x11000, 4, 0x12007)
  memory.writeNumber(0x12000, 4, 0x13007)
  memory.writeNumber(0x13000, 4, 0x87)
  memory.writeNumber(TSS + 102, 2, IO_BITMAP)
  // The 8086 program's handlers: 0300h + vector : 0400h + vector.
  for (let vector = 0; vector < 256; vector++) {
    memory.writeNumber(vector * 4, 2, 0x400 + vector)
    memory.writeNumber(vector * 4 + 2, 2, 0x300 + vector)
  }
  cpu.setSegment(TR, 0x28, TSS, 0x2000, 0x8b)
  cpu.setDescriptorTable(IDTR, 0x20000, 0x7ff)
  return ({ code, flags, cr4 = 0, stack = [], kept = [], kind = 'virtual-8086', cpl = 3 }: Start) => {
    const virtual = kind === 'virtual-8086'
    const long = kind === 'long'
    const base = virtual ? BASE : 0
    if (virtual) for (const segment of [CS, SS, DS, ES]) cpu.setSegment(segment, SELECTOR, BASE, 0xffff, 0xf3)
    else {
      for (const segment of [SS, DS, ES]) cpu.setSegment(segment, 16 | cpl, 0, 0xffffffff, 0xc093 | (cpl << 5))
      cpu.setSegment(CS, 8 | cpl, 0, 0xffffffff, (long ? 0xa09b : 0xc09b) | (cpl << 5))
    }
    state.set32(F.cr3, 0x11000)
    state.set32(F.cr4, long ? cr4 | CR4_PAE : cr4)
    state.set32(F.cr0, long ? CR0_PE | CR0_PG : CR0_PE)
    state.set32(F.efer, long ? EFER_LME | EFER_LMA : 0)
    state.set32(F.cpl, cpl)
    flushTlb(cpu, false)
    memory.write(TSS + IO_BITMAP - 32, new Uint8Array(32))
    for (const vector of kept) memory.write(TSS + IO_BITMAP - 32 + (vector >> 3), Uint8Array.of(1 << (vector & 7)))
    memory.write(base + CODE, Uint8Array.from([...code, NOP]))
    for (const [i, word] of stack.entries()) memory.writeNumber(base + STACK + i * 2, 2, word)
    cpu.setRegister(RSP, STACK)
    cpu.rip = BigInt(CODE)
    const before = flags | ALWAYS | (virtual ? VM : 0)
    cpu.rflags = before
    cpu.updateMode()
    state.set32(F.halted, 0)
    fault = undefined
    engine.run(1)
    const sp = Number(cpu.register(RSP))
    const pushed: number[] = []
    for (let at = sp; at < STACK; at += 2) pushed.push(memory.readNumber(base + at, 2))
    // A fault leaves nothing behind.
    if (fault) assert.deepEqual([Number(cpu.rip), sp, cpu.rflags], [CODE, STACK, before])
    const cs = state.get32(F.segmentSelector, CS)
    return { fault, flags: cpu.rflags & ~(ALWAYS | VM), sp, pushed, rip: Number(cpu.rip), cs }
  }
}

const GP = [13, 0]

for (const translates of [false, true]) {
  const on = translates ? 'translator' : 'interpreter'
  const run = processor(translates)

  test(`${on}: without VME all of them are the monitor's when IOPL is below 3`, () => {
    for (const flags of [0, IF, VIF, 2 << 12]) {
      for (const code of [PUSHF, PUSHFD, POPF, POPFD, IRET, CLI, STI, [0xcd, 0x21]]) {
        assert.deepEqual(run({ code, flags, cr4: CR4_PVI }).fault, GP)
      }
    }
  })

  test(`${on}: with IOPL 3 the program has the flag itself, VME or not`, () => {
    for (const cr4 of [0, CR4_VME]) {
      assert.deepEqual(run({ code: PUSHF, flags: IOPL | IF | CF, cr4 }).pushed, [IOPL | IF | CF | ALWAYS])
      assert.deepEqual(run({ code: PUSHF, flags: IOPL | VIF, cr4 }).pushed, [IOPL | ALWAYS])
      assert.equal(run({ code: POPF, flags: IOPL | VIF, cr4, stack: [IF | CF] }).flags, IOPL | VIF | IF | CF)
      assert.equal(run({ code: POPF, flags: IOPL | IF | VIP, cr4, stack: [TF] }).flags, IOPL | VIP | TF)
      assert.equal(run({ code: POPFD, flags: IOPL | IF | VIF, cr4, stack: [NT, VIP >> 16] }).flags, IOPL | VIF | NT)
      assert.equal(run({ code: CLI, flags: IOPL | IF | VIF, cr4 }).flags, IOPL | VIF)
      assert.equal(run({ code: STI, flags: IOPL | VIP, cr4 }).flags, IOPL | IF | VIP)
    }
  })

  test(`${on}: PUSHF under VME shows VIF as IF, and IOPL 3`, () => {
    const pushed = (flags: number) => run({ code: PUSHF, flags, cr4: CR4_VME }).pushed
    assert.deepEqual(pushed(VIF | CF), [IOPL | IF | CF | ALWAYS])
    assert.deepEqual(pushed(IF | NT | (1 << 12)), [IOPL | NT | ALWAYS])
    assert.deepEqual(pushed(VIP), [IOPL | ALWAYS])
    assert.deepEqual(run({ code: PUSHFD, flags: VIF, cr4: CR4_VME }).fault, GP)
  })

  test(`${on}: POPF under VME takes IF as VIF, and leaves IF and IOPL alone`, () => {
    const popped = (flags: number, image: number) => run({ code: POPF, flags, cr4: CR4_VME, stack: [image] })
    assert.equal(popped(0, IF | CF | DF).flags, VIF | CF | DF)
    assert.equal(popped(IF | (1 << 12), IOPL).flags, IF | (1 << 12))
    assert.equal(popped(VIF | IF | CF, 0).flags, IF)
    assert.equal(popped(VIF, IF).sp, STACK + 2)
    assert.equal(popped(VIP | VIF, 0).flags, VIP)
    assert.deepEqual(popped(VIP, IF).fault, GP)
    assert.deepEqual(popped(VIF, TF).fault, GP)
    assert.deepEqual(run({ code: POPFD, flags: 0, cr4: CR4_VME, stack: [0, 0] }).fault, GP)
  })

  test(`${on}: CLI and STI under VME change VIF`, () => {
    assert.equal(run({ code: CLI, flags: VIF | IF, cr4: CR4_VME }).flags, IF)
    assert.equal(run({ code: STI, flags: 0, cr4: CR4_VME }).flags, VIF)
    assert.equal(run({ code: CLI, flags: VIP | VIF, cr4: CR4_VME }).flags, VIP)
    assert.deepEqual(run({ code: STI, flags: VIP, cr4: CR4_VME }).fault, GP)
    assert.equal(run({ code: STI, flags: 0, cr4: CR4_VME }).rip, CODE + 1)
  })

  test(`${on}: IRET under VME`, () => {
    const returned = (flags: number, image: number) =>
      run({ code: IRET, flags, cr4: CR4_VME, stack: [0x123, 0x456, image] })
    const good = returned(IF, IOPL | IF | CF)
    assert.deepEqual([good.rip, good.cs, good.sp, good.flags], [0x123, 0x456, STACK + 6, IF | VIF | CF])
    assert.equal(returned(VIF | VIP, 0).flags, VIP)
    assert.deepEqual(returned(VIP, IF).fault, GP)
    assert.deepEqual(returned(0, TF).fault, GP)
    assert.deepEqual(run({ code: [0x66, ...IRET], flags: 0, cr4: CR4_VME, stack: [0, 0, 0, 0, 0, 0] }).fault, GP)
  })

  test(`${on}: INT n goes to the program's own handler where the bitmap says so`, () => {
    const int = [0xcd, 0x21]
    const own = run({ code: int, flags: VIF | IF | CF, cr4: CR4_VME })
    assert.deepEqual([own.rip, own.cs, own.flags], [0x421, 0x321, IF | CF])
    assert.deepEqual(own.pushed, [CODE + 2, SELECTOR, IOPL | IF | CF | ALWAYS])
    assert.deepEqual(run({ code: int, flags: IF, cr4: CR4_VME }).pushed, [CODE + 2, SELECTOR, IOPL | ALWAYS])
    // IOPL 3: the flags as they are; IF is cleared, not VIF.
    const within = run({ code: int, flags: IOPL | IF | VIF, cr4: CR4_VME })
    assert.deepEqual([within.rip, within.cs, within.flags], [0x421, 0x321, IOPL | VIF])
    assert.deepEqual(within.pushed, [CODE + 2, SELECTOR, IOPL | IF | ALWAYS])
    // Its bit is set: the monitor's, by #GP below IOPL 3, through the IDT (empty here) at IOPL 3.
    assert.deepEqual(run({ code: int, flags: VIF, cr4: CR4_VME, kept: [0x21] }).fault, GP)
    assert.deepEqual(run({ code: int, flags: IOPL, cr4: CR4_VME, kept: [0x21] }).fault, [13, 0x21 * 8 + 2])
    assert.equal(run({ code: int, flags: VIF, cr4: CR4_VME, kept: [0x23] }).rip, 0x421)
    // INT3 and INTO know no bitmap.
    assert.deepEqual(run({ code: [0xcc], flags: 0, cr4: CR4_VME }).fault, [13, 3 * 8 + 2])
  })

  for (const kind of ['protected', 'long'] as const) {
    test(`${on}: PVI gives CPL 3 a VIF, ${kind}`, () => {
      assert.deepEqual(run({ kind, code: CLI, flags: IF }).fault, GP)
      assert.deepEqual(run({ kind, code: CLI, flags: IF, cr4: CR4_VME }).fault, GP)
      assert.equal(run({ kind, code: CLI, flags: IF | VIF, cr4: CR4_PVI }).flags, IF)
      assert.equal(run({ kind, code: STI, flags: 0, cr4: CR4_PVI }).flags, VIF)
      assert.deepEqual(run({ kind, code: STI, flags: VIP, cr4: CR4_PVI }).fault, GP)
      assert.deepEqual(run({ kind, code: STI, flags: 0, cr4: CR4_PVI, cpl: 2 }).fault, GP)
      assert.equal(run({ kind, code: STI, flags: 2 << 12, cr4: CR4_PVI, cpl: 2 }).flags, IF | (2 << 12))
      assert.equal(run({ kind, code: CLI, flags: IF | VIF | IOPL, cr4: CR4_PVI }).flags, VIF | IOPL)
      // PUSHF and POPF do not know it.
      assert.equal(run({ kind, code: PUSHF, flags: VIF, cr4: CR4_PVI }).pushed[0], ALWAYS)
      assert.equal(run({ kind, code: POPF, flags: VIF, cr4: CR4_PVI, stack: [IF, 0, 0, 0] }).flags, VIF)
    })
  }
}
