/**
 * Interrupts, exceptions and system calls of flat 32-bit protected mode, and what loads its segment registers: the way of a system
 * that has segments from 0 to 4 GiB, as generated code. What is unusual is src/cpu's (SDM vol. 3, 5.8.7, 6.12).
 */

import {
  MODE_BREAKPOINTS,
  MODE_CLASS,
  MODE_CODE_32,
  MODE_PROTECTED,
  MODE_SEGMENTED,
  MODE_SINGLE_STEP,
  MODE_STACK_32,
} from '../cpu/mode.ts'
import { ATTRIBUTE_UNUSABLE } from '../cpu/registers.ts'
import { CS, F, FS, IDTR, IF, NT, RCX, RDX, RF, RSP, SS, TF, TR, VM } from '../cpu/state.ts'
import { CHECK_READS, CHECK_WRITES } from '../cpu/update-mode.ts'
import { currentClass } from '../engines/tlb-refill.ts'
import { refreshMode } from './privilege.ts'
import { type Code, type Int, type Label, routine, type Semantics } from './semantics.ts'
import {
  type DescriptorWords,
  leaveUnlessKept,
  loadSegmentWords,
  locateBytes,
  ramWord32,
  readSystemDescriptor,
} from './system-segments.ts'

/** From 0 to 4 GiB, 32 bits, accessed: the low half; of the high half, what only AVL is not part of. */
const FLAT_LOW = 0xffff
const FLAT_MASK = 0xffefffff
const FLAT_CODE = 0x00cf9b00
const FLAT_DATA = 0x00cf9300
/** DPL 3 in a descriptor's high half. */
const USER = 0x6000

/** Present 32-bit interrupt or trap gate: what must be of the gate's second word; DPL and the low five bits are not looked at. */
const GATE_MASK = 0x9e00
const GATE_VALUE = 0x8e00

/** ESP0, and SS0 behind it, in a 32-bit TSS. */
const ESP0 = 4

/** Leaves unless all segments that flat code needs are flat, and nothing wants care after each instruction. */
function leaveUnlessFlat(code: Code, unusual: Label): void {
  const looked = MODE_CLASS | MODE_CODE_32 | MODE_STACK_32 | MODE_SEGMENTED | MODE_SINGLE_STEP | MODE_BREAKPOINTS
  code.leave(
    unusual,
    code
      .get(F.mode)
      .and(looked)
      .ne(MODE_PROTECTED | MODE_CODE_32 | MODE_STACK_32),
  )
  // The same as they will be afterwards.
  code.leave(unusual, code.get(F.segmentCheck, CS).ne(CHECK_WRITES).or(code.get(F.segmentCheck, SS).isNonZero()))
}

/** Leaves unless a descriptor is that of a flat segment. @param high its high half, without AVL */
function leaveUnlessDescribes(code: Code, words: DescriptorWords, high: Int | number, unusual: Label): void {
  code.leave(unusual, words.low.ne(FLAT_LOW).or(words.high.and(FLAT_MASK).ne(high)))
}

/** Where bytes lie that end at a linear address of 32 bits (64 wide): the address in memory 1 of the first. */
function locateBelow(code: Code, end: Int, size: Int, unusual: Label): Int {
  const last = code.variable(64, end.sub(4).and(0xffffffff)).value
  const first = code.variable(64, end.sub(size.zeroExtend(64)).and(0xffffffff)).value
  code.leave(unusual, last.xor(first).and(0xfffff000).isNonZero())
  return locateBytes(code, last, 4, true, unusual).sub(size).add(4)
}

/** What is to be entered. */
interface Entry {
  /** 32 bits. */
  vector: Int
  /** INT: the gate's DPL counts. */
  software: boolean
  /** EFLAGS and EIP for the handler's frame, 32 bits each. */
  image: Int
  returnTo: Int
  /** ESP as it is, 64 bits wide: regions have it in a local, the state may have an older one. */
  pointer: Int
  /** Pushed last unless it is −1; undefined: never. */
  errorCode?: Int
}

/**
 * Enters a handler at CPL 0. Leaves with nothing changed where anything is unusual.
 * @returns where the handler begins and its ESP, 64 bits wide: the caller's to set
 */
export function enterFlatGate(code: Code, entry: Entry, unusual: Label): { target: Int; stack: Int } {
  const { f } = code
  const { vector, software, image, returnTo, pointer, errorCode } = entry
  leaveUnlessFlat(code, unusual)
  code.leave(unusual, vector.shl(3).add(7).gtU(code.get(F.segmentLimit, IDTR)))
  const gateAddress = code.get(F.segmentBase, IDTR).add(vector.shl(3).zeroExtend(64)).and(0xffffffff)
  const gate = locateBytes(code, code.variable(64, gateAddress).value, 8, false, unusual)
  const low = code.variable(32, ramWord32(code, gate)).value
  const high = code.variable(32, ramWord32(code, gate, 4)).value
  code.leave(unusual, high.and(GATE_MASK).ne(GATE_VALUE))
  const level = code.variable(32, code.get(F.cpl)).value
  if (software) code.leave(unusual, high.bits(13, 2).ltU(level))
  const target = code.variable(64, high.and(0xffff0000).or(low.and(0xffff)).zeroExtend(64)).value
  const selector = code.variable(32, low.shr(16).and(0xfffc)).value
  const codeWords = readSystemDescriptor(code, selector, unusual)
  leaveUnlessDescribes(code, codeWords, FLAT_CODE, unusual)

  const outer = code.variable(1, level.isNonZero()).value
  const end = code.variable(64, pointer.and(0xffffffff))
  const stackSelector = code.variable(32, code.const(0, 32))
  const stackWords = { low: code.variable(32, code.const(0, 32)), high: code.variable(32, code.const(0, 32)) }
  code.if(outer, () => {
    const wide = code.get(F.segmentAttributes, TR).bit(3)
    code.leave(unusual, wide.not().or(code.get(F.segmentLimit, TR).ltU(ESP0 + 7)))
    const place = code.variable(64, code.get(F.segmentBase, TR).add(ESP0).and(0xffffffff)).value
    const words = locateBytes(code, place, 8, false, unusual)
    end.value = ramWord32(code, words).zeroExtend(64)
    stackSelector.value = ramWord32(code, words, 4).and(0xffff)
    code.leave(unusual, stackSelector.value.and(3).isNonZero())
    const found = readSystemDescriptor(code, stackSelector.value, unusual)
    leaveUnlessDescribes(code, found, FLAT_DATA, unusual)
    stackWords.low.value = found.low
    stackWords.high.value = found.high
  })
  const hasCode = errorCode && code.variable(1, errorCode.ne(-1)).value
  let size = outer.select(code.const(20, 32), 12)
  if (hasCode) size = size.add(hasCode.select(code.const(4, 32), 0))
  const length = code.variable(32, size).value
  const at = code.variable(32, locateBelow(code, end.value, length, unusual))

  // Nothing can fail from here on.
  const push = (value: Int) => {
    f.store(0x36, 1, at.value.node, value.node, 0)
    at.value = at.value.add(4)
  }
  if (hasCode) code.if(hasCode, () => push(errorCode))
  push(returnTo)
  push(code.get(F.segmentSelector, CS))
  push(image)
  code.if(outer, () => {
    push(pointer.truncate(32))
    push(code.get(F.segmentSelector, SS))
    loadSegmentWords(code, SS, stackSelector.value, { low: stackWords.low.value, high: stackWords.high.value })
  })
  const stack = code.variable(64, end.value.sub(length.zeroExtend(64)).and(0xffffffff)).value
  code.set(F.cpl, 0)
  loadSegmentWords(code, CS, selector, codeWords)
  const cleared = high.bit(8).select(code.const(TF | NT | RF | VM, 32), TF | NT | RF | VM | IF)
  code.set(F.systemFlags, code.get(F.systemFlags).and(cleared.not()))
  code.set(F.interruptShadow, 0)
  return { target, stack }
}

/**
 * INT with a vector, the flags' image and the address behind the instruction (32 bits each), and ESP. Gives 1 with EIP in
 * `F.serviceResult` and ESP in `F.serviceResult2`, or 0 with nothing changed.
 */
const enterByInt = routine('enterByInt', [32, 32, 32, 64], 32, (code, vector, image, returnTo, pointer) => {
  code.block(unusual => {
    const { target, stack } = enterFlatGate(code, { vector, software: true, image, returnTo, pointer }, unusual)
    code.set(F.serviceResult, target)
    code.set(F.serviceResult2, stack)
    code.f.return(code.f.const32(1))
  })
  return code.const(0, 32)
})

/** INT in protected mode: the fast way, or the service. */
export function interruptFlat(m: Semantics, vector: Int): void {
  const image = m.flags.readImage()
  const esp = m.register(RSP, 64).read()
  const entered = m.variable(32, m.call(enterByInt, vector.zeroExtend(32), image, m.nextRip.truncate(32), esp)).value
  m.if(
    entered.isZero(),
    () => m.service('interruptByNumber', vector),
    () => {
      m.jump(m.get(F.serviceResult))
      m.register(RSP, 64).write(m.get(F.serviceResult2))
      m.call(refreshMode)
    },
  )
}

/**
 * Reads IRETD's frame at ESP (64 bits wide) and checks everything. If nothing is unusual it loads CS, SS and CPL, leaves EIP in
 * `F.serviceResult`, ESP in `F.serviceResult2` and gives the flags' image (bit 1 is set); else it gives 0.
 */
const returnFlat = routine('returnFlat', [64], 32, (code, pointer) => {
  code.block(unusual => {
    leaveUnlessFlat(code, unusual)
    const waiting = code.get(F.systemFlags).and(NT).or(code.get(F.nmiBlocked))
    const debug = code.get(F.dr, 7).truncate(32).and(0xff)
    code.leave(unusual, code.get(F.cpl).or(waiting).or(debug).isNonZero())
    const frame = locateBytes(code, pointer, 12, false, unusual, currentClass(code))
    const rip = code.variable(32, ramWord32(code, frame)).value
    const selector = code.variable(32, ramWord32(code, frame, 4).and(0xffff)).value
    const image = code.variable(32, ramWord32(code, frame, 8)).value
    code.leave(unusual, image.and(TF | VM).isNonZero())
    const level = code.variable(32, selector.and(3)).value
    const stack = code.variable(64, pointer.add(12).and(0xffffffff))
    const codeWords = readSystemDescriptor(code, selector, unusual)
    code.if(
      level.isZero(),
      () => leaveUnlessDescribes(code, codeWords, FLAT_CODE, unusual),
      () => {
        code.leave(unusual, level.ne(3))
        leaveUnlessDescribes(code, codeWords, FLAT_CODE | USER, unusual)
        const whole = locateBytes(code, pointer, 20, false, unusual, currentClass(code))
        stack.value = ramWord32(code, whole, 12).zeroExtend(64)
        const stackSelector = code.variable(32, ramWord32(code, whole, 16).and(0xffff)).value
        code.leave(unusual, stackSelector.and(3).ne(3))
        const stackWords = readSystemDescriptor(code, stackSelector, unusual)
        leaveUnlessDescribes(code, stackWords, FLAT_DATA | USER, unusual)
        leaveUnlessKept(code, unusual)
        loadSegmentWords(code, SS, stackSelector, stackWords)
      },
    )
    loadSegmentWords(code, CS, selector, codeWords)
    code.set(F.cpl, level)
    code.set(F.interruptShadow, 0)
    code.set(F.serviceResult, rip.zeroExtend(64))
    code.set(F.serviceResult2, stack.value)
    code.f.return(image.and(~RF).or(2).node)
  })
  return code.const(0, 32)
})

/** IRETD in protected mode: the fast way, or the service. @param flags those that CPL 0 may change */
export function interruptReturnFlat(m: Semantics, flags: number): void {
  const esp = m.register(RSP, 64).read().and(0xffffffff)
  const image = m.variable(32, m.call(returnFlat, esp)).value
  m.if(
    image.isZero(),
    () => m.service('interruptReturn', 4),
    () => {
      m.jump(m.get(F.serviceResult))
      m.register(RSP, 64).write(m.get(F.serviceResult2))
      m.flags.writeImage(image, flags)
      m.call(refreshMode)
    },
  )
}

/** CS or SS as SYSENTER and SYSEXIT load them: flat, whatever the GDT has. */
function loadFixed(code: Code, index: number, selector: Int, attributes: number): void {
  code.set(F.segmentSelector, selector.and(0xffff), index)
  code.set(F.segmentBase, 0, index)
  code.set(F.segmentLimit, -1, index)
  code.set(F.segmentAttributes, attributes, index)
}

/** Gives 1 when CS, SS, CPL and flags are the system's, with EIP in `F.serviceResult` and ESP in `F.serviceResult2`; else 0. */
const enterSystem = routine('enterSystem', [], 32, code => {
  code.block(unusual => {
    leaveUnlessFlat(code, unusual)
    const selector = code.variable(32, code.get(F.sysenterCs).truncate(32).and(0xfffc)).value
    code.leave(unusual, selector.isZero())
    loadFixed(code, CS, selector, 0xc09b)
    loadFixed(code, SS, selector.add(8), 0xc093)
    code.set(F.cpl, 0)
    code.set(F.systemFlags, code.get(F.systemFlags).and(~(VM | IF | RF)))
    code.set(F.serviceResult, code.get(F.sysenterEip).and(0xffffffff))
    code.set(F.serviceResult2, code.get(F.sysenterEsp).and(0xffffffff))
    code.f.return(code.f.const32(1))
  })
  return code.const(0, 32)
})

/** Gives 1 when CS, SS and CPL are a program's; else 0. */
const leaveSystem = routine('leaveSystem', [], 32, code => {
  code.block(unusual => {
    leaveUnlessFlat(code, unusual)
    const selector = code.variable(32, code.get(F.sysenterCs).truncate(32).and(0xfffc)).value
    code.leave(unusual, selector.isZero().or(code.get(F.cpl).isNonZero()))
    loadFixed(code, CS, selector.add(16).or(3), 0xc0fb)
    loadFixed(code, SS, selector.add(24).or(3), 0xc0f3)
    code.set(F.cpl, 3)
    code.f.return(code.f.const32(1))
  })
  return code.const(0, 32)
})

/** SYSENTER in protected mode: the fast way, or the service. */
export function systemEnterFlat(m: Semantics): void {
  const entered = m.variable(32, m.call(enterSystem)).value
  m.if(
    entered.isZero(),
    () => m.service('systemEnter'),
    () => {
      m.jump(m.get(F.serviceResult))
      m.register(RSP, 64).write(m.get(F.serviceResult2))
      m.call(refreshMode)
    },
  )
}

/** SYSEXIT to 32-bit code in protected mode: the fast way, or the service. */
export function systemExitFlat(m: Semantics): void {
  const left = m.variable(32, m.call(leaveSystem)).value
  m.if(
    left.isZero(),
    () => m.service('systemExit', 4),
    () => {
      m.jump(m.register(RDX, 64).read().and(0xffffffff))
      m.register(RSP, 64).write(m.register(RCX, 64).read().and(0xffffffff))
      m.call(refreshMode)
    },
  )
}

/** Present, writable data that grows upwards, accessed, to 4 GiB: what must be of a descriptor's high half, whatever DPL and base. */
const DATA_MASK = 0x008f9f00
const DATA_VALUE = 0x008f9300

/** Loads DS, ES, FS or GS (by number, 32 bits) and gives 1, or 0 with nothing changed. FS and GS may have a base, or be null. */
const loadFlatSegment = routine('loadFlatSegment', [32, 32], 32, (code, index, selector) => {
  const done = () => code.f.return(code.f.const32(1))
  code.block(unusual => {
    leaveUnlessFlat(code, unusual)
    code.leave(unusual, index.eq(SS).or(code.get(F.segmentCheck, index).isNonZero().and(index.ltU(FS))))
    const near = code.variable(1, index.ltU(FS)).value
    code.if(selector.and(0xfffc).isZero(), () => {
      code.leave(unusual, near)
      code.set(F.segmentBase, 0, index)
      code.set(F.segmentLimit, 0, index)
      code.set(F.segmentSelector, selector, index)
      code.set(F.segmentAttributes, ATTRIBUTE_UNUSABLE, index)
      code.set(F.segmentCheck, CHECK_READS | CHECK_WRITES, index)
      done()
    })
    const words = readSystemDescriptor(code, selector, unusual)
    code.leave(unusual, words.high.and(DATA_MASK).ne(DATA_VALUE).or(words.low.and(0xffff).ne(0xffff)))
    const dpl = words.high.bits(13, 2)
    code.leave(unusual, dpl.ltU(selector.and(3)).or(dpl.ltU(code.get(F.cpl))))
    const based = words.low.shr(16).or(words.high.and(0xff0000ff)).isNonZero()
    code.leave(unusual, near.and(based))
    loadSegmentWords(code, index, selector, words)
    code.set(F.segmentCheck, 0, index)
    done()
  })
  return code.const(0, 32)
})

/** MOV and POP to a segment register in protected mode: the fast way, or the service. @param selector 16 bits */
export function loadSegmentFlat(m: Semantics, number: Int, selector: Int): void {
  const loaded = m.call(loadFlatSegment, number, selector.zeroExtend(32))
  m.if(loaded.isZero(), () => m.service('loadSegment', number, selector))
}
