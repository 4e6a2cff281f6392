/**
 * How an instruction is defined: its encodings in the manual's notation, what it needs, and what it does.
 *
 * An encoding is `bytes operands`, the two parts separated by two spaces or more:
 *
 *   bytes     `NP` `66` `F3` `F2`  a mandatory prefix (NP: none of 66 F3 F2) for opcodes that have several meanings
 *             `NFx`                neither F3 nor F2, while 66 is the operand size (MOVBE, RDRAND). Without any of these words all prefixes
 *                                  lead to the form, but for those that another form of the same opcode names (BSF and TZCNT)
 *             `W0` `W1`            REX.W must be clear or set
 *             `0F` `0F 38` `0F 3A` the opcode map, then the opcode byte; `+r` on it: the low three bits name a register. A form without
 *                                  +r among them (NOP at 90) is taken when REX.B is clear
 *             `VEX.L.p.map.W`      in place of prefix, W and map, as the manual writes it: L 128, LZ (0), 256 or LIG (either); p 66, F3,
 *                                  F2 or left out; map 0F, 0F38, 0F3A; W W0, W1, WIG (ignored) or left out (the operand size)
 *             `/is4`               an immediate byte whose upper half names a register (L)
 *             `/r` `/0`…`/7`       a ModRM byte, its reg field an operand or an opcode extension
 *             `mem` `reg`          only with a memory or only with a register operand in ModRM.rm
 *             `/rm0`…`/rm7`        a fixed ModRM.rm (with mod 3), as in `0F 01 /0 /rm1` for VMCALL
 *             `ib` `iw` `id` `iz` `iv` `iq` `cb` `cz` `ap` `moffs`  immediate bytes: iz 16 or 32 bits, iv 16/32/64, cb and cz relative
 *                                   jumps, ap a far pointer, moffs an offset of address size. Several may follow one another.
 *             `i64`                invalid in 64-bit mode       `o64`  only in 64-bit mode
 *             `d64`                operand size 64 by default in 64-bit mode (32 cannot be had)
 *             `f64`                operand size always 64 in 64-bit mode
 *   operands  comma-separated, in the letters of the manual's opcode map:
 *             Eb Ew Ed Eq Ev Ey   ModRM.rm, register or memory; v: operand size, y: 32 or (REX.W) 64, z: 16 or 32, t: 80 bits (Mt)
 *             Mb Mw Md Mq Mdq My Mv M   memory only (M: no size of its own)   Rd Rq Rv Ry: ModRM.rm register only
 *             Gb Gw Gd Gq Gv Gy Gz     ModRM.reg          Zb Zv Zq Zy   the register in the opcode (+r)
 *             Ib Iw Id Iz Iv Iq        immediate, zero-extended to its own width; sIb sIz  sign-extended to operand size
 *             Jb Jz                    jump target (address of the next instruction plus displacement, an Int of 64 bits)
 *             Ap                       far pointer, two operands: selector (16 bits), offset
 *             Ob Ov                    memory at an absolute offset        AL AX eAX rAX CL DX 1  fixed
 *             Sw                       segment register by ModRM.reg      ES CS SS DS FS GS  a fixed one
 *             Cd Dd                    control, debug register by ModRM.reg; ModRM.mod is then ignored
 *             ST STi                   x87 stack top, the one named by ModRM.rm
 *             Pq Qq Qd                 MMX register by reg, MMX register or memory by rm (Nq: register only)
 *             Vdq Wdq Wq Wd Ww Wb Udq  XMM by reg, XMM or memory by rm with the bytes that memory has, XMM by rm only
 *             XMM0                     the implicit register
 *             By                       general register by VEX.vvvv
 *             Hdq Hqq Ldq Lqq          XMM or YMM register by VEX.vvvv, by /is4. Size x, as in Vx Hx Wx Lx Mx Ux, is dq or qq by VEX.L
 *             VMdx VMdy VMqx VMqy      memory with a vector of indices (VSIB): the bits of an element, and whether an XMM (x) or a
 *                                      YMM register (y) holds them; `VectorMemoryOperand`
 */
import type { Operand, Semantics } from './semantics.ts'

/** CPUID features: the names are the manual's flags in /proc/cpuinfo's spelling; absent means the 8086's own set. */
export type Feature = string

/** Who may execute an instruction without #GP or #UD, where the definition does not check by itself. */
export type Privilege = 'user' | 'cpl0' | 'iopl' | 'io'

/** What a definition says. */
export interface InstructionDescription {
  /** See the head of this file. */
  encodings: readonly string[]
  /** LOCK is allowed when the destination is memory; without it LOCK is #UD. */
  lockable?: boolean
  /** The REP prefixes mean something: REP only, or REPE and REPNE. The semantics see them in `m.context.rep`. */
  repeatable?: 'rep' | 'repe/repne'
  /** The CPUID feature it belongs to. */
  feature?: Feature
  /** Modes in which it exists; elsewhere #UD. All by default. */
  modes?: readonly ('real' | 'virtual-8086' | 'protected' | 'compatibility' | 'long')[]
  /** Raises #GP(0) before anything else when the current privilege is not enough. `user` by default. */
  privilege?: Privilege
  /**
   * Uses x87 or MMX (#NM by CR0.EM/TS, pending #MF), SSE (#UD by CR4.OSFXSR/CR0.EM, #NM by CR0.TS) or AVX (#UD by
   * CR4.OSXSAVE/XCR0, #NM by CR0.TS).
   */
  unit?: 'x87' | 'x87-no-wait' | 'mmx' | 'sse' | 'avx'
  /** The instruction always ends a block: it changes mode, privilege, paging or interrupt enabling. */
  endsBlock?: boolean
  /**
   * The address of the memory operand is the one after rSP has moved up by the operand size (POP): the decoder adds the
   * operand size to the displacement of an address with rSP as its base.
   */
  popsIntoMemory?: boolean
  /** Operand suffix for listings where one mnemonic has several definitions, as in `MOV to CR`. */
  title?: string
  /**
   * What it does, by building it: called with the operands of the encoding in their order, once for each shape in which an
   * engine needs it. Nothing is committed (register, flag, memory) before everything that can fault has been done, but
   * for string instructions, which commit each step.
   */
  execute(m: Semantics, ...operands: never[]): void
}

/** A defined instruction. */
export interface Instruction extends InstructionDescription {
  /** The manual's mnemonic, upper case. */
  readonly mnemonic: string
}

/**
 * Defines an instruction: the one place where its meaning stands. The operands of `execute` are integer operands
 * unless annotated otherwise (`VectorOperand`, `NumberedOperand`, `MemoryOperand`, `Int` for jump targets).
 */
export function instruction<Operands extends unknown[] = Operand[]>(
  mnemonic: string,
  description: Omit<InstructionDescription, 'execute'> & { execute(m: Semantics, ...operands: Operands): void },
): Instruction {
  return { mnemonic, ...description } as unknown as Instruction
}
