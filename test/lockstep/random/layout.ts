/** What lies where in the memory of a {@link World}, and the processor's modes. */
import * as S from '../../../src/cpu/state.ts'
import { F } from '../../../src/cpu/state.ts'
import type { Vcpu } from '../../../src/cpu/vcpu.ts'

/** Bytes of RAM. */
export const RAM = 0x100000
/** Page tables of long mode: PML4, PDPT, PD, PT; then PD and PT of 32 bits. */
const LONG_TABLES = 0x1000
const SHORT_TABLES = 0x5000
const GDT = 0x7000
const IDT64 = 0x8000
const IDT32 = 0x9000
const TSS = 0xa000
/** Two bytes a vector: HLT, NOP. In real mode the handlers' segment is 0. */
export const HANDLERS = 0xb000
/** Counts and returns. */
const RETURNING = 0xb800
/** What it counts. */
export const COUNTER = 0xbc00
const RING0_STACK = 0xe000
/** Program code; it is also seen at {@link CODE_ALIAS}. */
export const CODE_FRAME = 0x10000
export const CODE_PAGES = 4
export const CODE_ALIAS = 0x40000
/** Data and, in its last two pages, the stack. */
export const DATA_START = 0x20000
export const DATA_PAGES = 12
export const STACK_TOP = DATA_START + DATA_PAGES * 4096 - 0x200
/** The vector of the interrupt. */
export const INTERRUPT = 0x40

/** The last-level tables of both kinds of paging. */
export const PAGE_TABLES = [
  { base: LONG_TABLES + 0x3000, bytes: 8 },
  { base: SHORT_TABLES + 0x1000, bytes: 4 },
] as const

/** A mode in which programs run. */
export interface WorldMode {
  readonly name: string
  readonly kind: 'long' | 'compatibility' | 'protected' | 'real' | 'virtual-8086'
  readonly codeSize: 16 | 32 | 64
  readonly cpl: 0 | 3
  /** Data and stack segments have bases and limits. */
  readonly segmented: boolean
  /** Limit of the code segment where it is none of the usual: programs run into it. */
  readonly codeLimit?: number
}

export const MODES: readonly WorldMode[] = [
  { name: 'long, ring 3', kind: 'long', codeSize: 64, cpl: 3, segmented: false },
  { name: 'long, ring 0', kind: 'long', codeSize: 64, cpl: 0, segmented: false },
  { name: 'protected, ring 3', kind: 'protected', codeSize: 32, cpl: 3, segmented: false },
  { name: 'protected, ring 0', kind: 'protected', codeSize: 32, cpl: 0, segmented: false },
  { name: 'protected, segmented', kind: 'protected', codeSize: 32, cpl: 3, segmented: true },
  { name: 'compatibility', kind: 'compatibility', codeSize: 32, cpl: 3, segmented: false },
  { name: 'protected, 16 bits', kind: 'protected', codeSize: 16, cpl: 3, segmented: true },
  { name: 'protected, short code', kind: 'protected', codeSize: 32, cpl: 3, segmented: true, codeLimit: 0x10180 },
  { name: '16 bits, short code', kind: 'protected', codeSize: 16, cpl: 3, segmented: true, codeLimit: 0x1c1 },
  { name: 'real', kind: 'real', codeSize: 16, cpl: 0, segmented: true },
  { name: 'virtual-8086', kind: 'virtual-8086', codeSize: 16, cpl: 3, segmented: true },
]

interface Segment {
  base: number
  limit: number
  attributes: number
}

const PRESENT_CODE = 0x9b
const PRESENT_DATA = 0x93

/** Where the code segment of a mode begins: what RIP is relative to. */
export const codeBase = (mode: WorldMode): number => (mode.codeSize === 16 ? CODE_FRAME : 0)
/** The same of the data segments, and of the stack segment. */
export const dataBase = (mode: WorldMode): number => (mode.segmented ? DATA_START : 0)
/** RIP of the program's first byte. */
export const entryOf = (mode: WorldMode): number => CODE_FRAME - codeBase(mode)

function codeSegment(mode: WorldMode): Segment {
  const ring = mode.cpl << 5
  const base = codeBase(mode)
  if (mode.kind === 'real') return { base, limit: 0xffff, attributes: PRESENT_DATA }
  if (mode.kind === 'virtual-8086') return { base, limit: 0xffff, attributes: 0xf3 }
  if (mode.codeSize === 16) return { base, limit: mode.codeLimit ?? 0xffff, attributes: PRESENT_CODE | ring }
  const size = mode.codeSize === 64 ? 0x2000 : 0x4000
  if (mode.codeLimit) return { base, limit: mode.codeLimit, attributes: PRESENT_CODE | ring | size }
  return { base, limit: 0xffffffff, attributes: PRESENT_CODE | ring | 0x8000 | size }
}

function dataSegment(mode: WorldMode): Segment {
  const ring = mode.cpl << 5
  const base = dataBase(mode)
  if (mode.kind === 'real') return { base, limit: 0xffff, attributes: PRESENT_DATA }
  if (mode.kind === 'virtual-8086') return { base, limit: 0xffff, attributes: 0xf3 }
  const big = mode.codeSize === 16 ? 0 : 0x4000
  if (mode.segmented) return { base, limit: DATA_PAGES * 4096 - 1, attributes: PRESENT_DATA | ring | big }
  return { base, limit: 0xffffffff, attributes: PRESENT_DATA | ring | 0xc000 }
}

const selectorOf = (index: number, cpl: number): number => (index << 3) | cpl

function put(to: Uint8Array, at: number, value: bigint, bytes: number): void {
  for (let i = 0; i < bytes; i++) to[at + i] = Number((value >> BigInt(8 * i)) & 0xffn)
}

function descriptor({ base, limit, attributes }: Segment): bigint {
  const scaled = attributes & 0x8000 ? limit >>> 12 : limit
  const low = (BigInt(base & 0xffff) << 16n) | BigInt(scaled & 0xffff)
  const high =
    ((base >>> 16) & 0xff) | ((attributes & 0xf0ff) << 8) | (((scaled >>> 16) & 15) << 16) | (base & 0xff000000)
  return (BigInt(high >>> 0) << 32n) | low
}

/** Writes page tables, descriptor tables and handlers into an image of RAM. */
export function buildTables(ram: Uint8Array, mode: WorldMode): void {
  const down = 7n
  put(ram, LONG_TABLES, BigInt(LONG_TABLES + 0x1000) | down, 8)
  put(ram, LONG_TABLES + 0x1000, BigInt(LONG_TABLES + 0x2000) | down, 8)
  put(ram, LONG_TABLES + 0x2000, BigInt(LONG_TABLES + 0x3000) | down, 8)
  put(ram, SHORT_TABLES, BigInt(SHORT_TABLES + 0x1000) | down, 4)
  for (let page = 0; page < RAM / 4096; page++) {
    let frame = page
    const data = page - DATA_START / 4096
    // Neighbours in linear memory are none in RAM.
    if (data >= 0 && data < DATA_PAGES) frame = DATA_START / 4096 + ((data * 5) % DATA_PAGES)
    const alias = page - CODE_ALIAS / 4096
    if (alias >= 0 && alias < CODE_PAGES) frame = CODE_FRAME / 4096 + alias
    const entry = BigInt(frame * 4096) | (page < CODE_FRAME / 4096 ? 3n : 7n)
    for (const { base, bytes } of PAGE_TABLES) put(ram, base + page * bytes, entry, bytes)
  }
  put(ram, GDT + 8, descriptor({ base: 0, limit: 0xffffffff, attributes: 0xa09b }), 8)
  put(ram, GDT + 16, descriptor({ base: 0, limit: 0xffffffff, attributes: 0xc093 }), 8)
  put(ram, GDT + 24, descriptor(codeSegment(mode)), 8)
  put(ram, GDT + 32, descriptor(dataSegment(mode)), 8)
  put(ram, GDT + 40, descriptor({ base: 0, limit: 0xffffffff, attributes: 0xc09b }), 8)
  const ia32e = mode.kind === 'long' || mode.kind === 'compatibility'
  for (let vector = 0; vector < 256; vector++) {
    put(ram, HANDLERS + vector * 2, 0x90f4n, 2)
    const target = BigInt(vector === INTERRUPT ? RETURNING : HANDLERS + vector * 2)
    const gate = (selector: bigint) => (target & 0xffffn) | (selector << 16n) | (0xee00n << 32n)
    put(ram, IDT64 + vector * 16, gate(8n), 8)
    put(ram, IDT32 + vector * 8, gate(40n), 8)
    if (mode.kind === 'real') put(ram, vector * 4, target, 4)
  }
  // INC dword [COUNTER], through whatever segment is flat there, and IRET.
  const counter = [COUNTER & 0xff, COUNTER >> 8]
  const handler = ia32e
    ? [0xff, 0x04, 0x25, ...counter, 0, 0, 0x48, 0xcf]
    : mode.kind === 'real'
      ? [0x2e, 0xff, 0x06, ...counter, 0xcf]
      : [0x36, 0xff, 0x05, ...counter, 0, 0, 0xcf]
  ram.set(handler, RETURNING)
  if (ia32e) put(ram, TSS + 4, BigInt(RING0_STACK), 8)
  else {
    put(ram, TSS + 4, BigInt(RING0_STACK), 4)
    put(ram, TSS + 8, 16n, 2)
  }
  put(ram, TSS + 102, 104n, 2)
  // All ports are the program's.
  for (let i = 0; i < 0x100; i++) ram[TSS + 104 + i] = 0
}

/** Puts a processor fresh from reset into the mode, ready to run the program. */
export function enterMode(vcpu: Vcpu, mode: WorldMode): void {
  const { state } = vcpu
  const { kind } = mode
  const ia32e = kind === 'long' || kind === 'compatibility'
  // PE MP ET NE WP AM PG; OSFXSR OSXMMEXCPT OSXSAVE PAE; SCE LME LMA NXE.
  state.set32(F.cr0, kind === 'real' ? 0x32 : 0x80050033)
  state.set32(F.cr4, ia32e ? 0x40620 : 0x40600)
  state.set32(F.xcr0, 7)
  state.set32(F.efer, ia32e ? 0xd01 : 0)
  state.set64(F.cr3, BigInt(ia32e ? LONG_TABLES : SHORT_TABLES))
  state.set32(F.fcw, 0x37f)
  state.set32(F.ftw, 0xffff)
  vcpu.setDescriptorTable(S.GDTR, GDT, 6 * 8 - 1)
  if (kind === 'real') vcpu.setDescriptorTable(S.IDTR, 0, 0x3ff)
  else vcpu.setDescriptorTable(S.IDTR, ia32e ? IDT64 : IDT32, ia32e ? 0xfff : 0x7ff)
  vcpu.setSegment(S.TR, 0x30, TSS, 104 + 0x100, 0x8b)
  enterProgram(vcpu, mode)
}

/** The segments, privilege and flags with which programs run. */
export function enterProgram(vcpu: Vcpu, mode: WorldMode): void {
  const { state } = vcpu
  const { kind, cpl } = mode
  const code = codeSegment(mode)
  const data = dataSegment(mode)
  const plain = kind === 'real' || kind === 'virtual-8086'
  const selector = (index: number, base: number) => (plain ? base >> 4 : selectorOf(index, cpl))
  vcpu.setSegment(S.CS, selector(3, code.base), code.base, code.limit, code.attributes)
  for (const index of [S.SS, S.DS, S.ES, S.FS, S.GS]) {
    vcpu.setSegment(index, selector(4, data.base), data.base, data.limit, data.attributes)
  }
  state.set32(F.cpl, cpl)
  vcpu.rflags = kind === 'virtual-8086' ? 0x23202 : 0x3202
  vcpu.updateMode()
}
