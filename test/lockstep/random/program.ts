/** Random programs: sequences of instructions with loops, calls, jumps and stores into their own code. */
import { type Random, randomInstance } from '../../../src/isa/assembler.ts'
import type { DecodeMode } from '../../../src/isa/decoder.ts'
import type { Form } from '../../../src/isa/encoding.ts'
import { forms } from '../../../src/isa/index.ts'
import {
  CODE_ALIAS,
  CODE_FRAME,
  CODE_PAGES,
  DATA_PAGES,
  DATA_START,
  dataBase,
  entryOf,
  STACK_TOP,
  type WorldMode,
} from './layout.ts'

/** A program for one mode. */
export interface Program {
  readonly mode: WorldMode
  readonly code: Uint8Array
  /** Places (RIP) at which execution may be taken up again after an exception. */
  readonly anchors: readonly number[]
  /** Registers at the start and after exceptions, by number. */
  registers(random: Random): bigint[]
}

/** Instructions that end or leave the program, or that show what is not state. */
const EXCLUDED = new Set(['HLT', 'MWAIT', 'MONITOR', 'RDPMC', 'INT1'])
/** Of these the generator makes its own, with targets. */
const OWN_JUMPS = new Set(['JMP', 'CALL', 'RET', 'RETF', 'IRET', 'LOOP', 'LOOPE', 'LOOPNE', 'JCXZ'])
/** What most programs are made of. */
const COMMON = new Set(
  (
    'ADD ADC SUB SBB AND OR XOR CMP TEST NEG NOT INC DEC MOV MOVZX MOVSX MOVSXD LEA PUSH POP SHL SHR SAR ROL ROR RCL RCR ' +
    'SHLD SHRD IMUL MUL BT BTS BTR BTC BSF BSR XCHG XADD CMPXCHG BSWAP CBW CWD LAHF SAHF CLC STC CMC CLD STD PUSHF POPF ' +
    'NOP'
  ).split(' '),
)

const isConditional = (form: Form): boolean => /^(J|SET|CMOV)/.test(form.instruction.mnemonic)

/** The forms of a mode by how often they are drawn. */
class Mix {
  readonly common: Form[] = []
  readonly rest: Form[] = []
  readonly privileged: Form[] = []
  readonly jumps: Form[] = []

  constructor({ kind, codeSize }: WorldMode) {
    for (const form of forms) {
      const { mnemonic, modes, privilege } = form.instruction
      if (codeSize === 64 ? form.not64 : form.only64) continue
      if (EXCLUDED.has(mnemonic)) continue
      const exists = !modes || modes.includes(kind)
      const relative = form.operands[0]?.kind === 'relative'
      if (relative && form.immediates[0] === 'cz' && isConditional(form)) this.jumps.push(form)
      else if (relative || OWN_JUMPS.has(mnemonic)) continue
      else if (!exists || (privilege ?? 'user') !== 'user') this.privileged.push(form)
      else if (COMMON.has(mnemonic) || isConditional(form)) this.common.push(form)
      else this.rest.push(form)
    }
  }
}

const mixes = new Map<string, Mix>()

function mixOf(mode: WorldMode): Mix {
  let mix = mixes.get(mode.name)
  if (!mix) mixes.set(mode.name, (mix = new Mix(mode)))
  return mix
}

/** Registers: two that point to data, the loop counter, the rest is anybody's. */
const BASES = [3, 6]
const COUNTER_REGISTER = 5
const FREE = [0, 1, 2, 7, 8, 9, 10, 11, 13, 14, 15]

interface Unit {
  bytes: number[]
  /** The unit that the relative displacement at the end of `bytes` leads to. */
  target?: number
  /** Where in `bytes` the absolute address of the unit stands. */
  absolute?: number
  anchor: boolean
}

/** Makes a program. @param size about how many units it has */
export function makeProgram(mode: WorldMode, size: number, random: Random): Program {
  const writer = new Writer(mode, random)
  for (let made = 0; made < size; ) made += writer.piece(made, size)
  const code = writer.finish()
  return {
    mode,
    code: code.bytes,
    anchors: code.anchors,
    registers: r => registers(mode, r),
  }
}

function registers(mode: WorldMode, random: Random): bigint[] {
  const values = Array.from({ length: 16 }, () =>
    random(3) ? BigInt(random(0x1_0000_0000)) : (BigInt(random(0x1_0000_0000)) << 32n) | BigInt(random(0x1_0000_0000)),
  )
  const base = dataBase(mode)
  const dataPages = DATA_PAGES - 2
  const inData = () => BigInt(DATA_START - base + random(dataPages) * 4096 + 4096 - 200 + random(260))
  for (const register of [3, 6, 7]) values[register] = inData()
  // Now and then a pointer to the code itself, or to another view of it.
  if (!mode.segmented && random(6) === 0) {
    values[3] = BigInt((random(2) ? CODE_FRAME : CODE_ALIAS) + random(CODE_PAGES * 1024))
  }
  values[1] = BigInt(random(40))
  values[4] = BigInt(STACK_TOP - base - random(64) * (random(4) ? 8 : 1))
  values[COUNTER_REGISTER] = BigInt(random(8))
  if (mode.codeSize === 16) for (let i = 0; i < 8; i++) values[i] &= 0xffffn
  return values
}

class Writer {
  private readonly mode: WorldMode
  private readonly random: Random
  private readonly mix: Mix
  private readonly units: Unit[] = []
  private readonly decodeMode: DecodeMode

  constructor(mode: WorldMode, random: Random) {
    this.mode = mode
    this.random = random
    this.mix = mixOf(mode)
    const stackSize = mode.codeSize === 64 ? 64 : mode.codeSize
    this.decodeMode = { mode: mode.kind, codeSize: mode.codeSize, stackSize }
  }

  private pick<T>(from: readonly T[]): T {
    return from[this.random(from.length)]
  }

  private add(bytes: ArrayLike<number>, rest: Partial<Unit> = {}): void {
    this.units.push({ bytes: Array.from(bytes), anchor: false, ...rest })
  }

  /** One random instruction. */
  private straight(): void {
    const { random, mix } = this
    const draw = random(100)
    const form = this.pick(draw < 68 ? mix.common : draw < 99 ? mix.rest : mix.privileged)
    const wild = random(25) === 0
    try {
      const bytes = randomInstance(
        form,
        {
          mode: this.decodeMode,
          registers: wild ? undefined : FREE,
          memory: wild ? 'any' : 'base',
          base: this.pick(random(6) ? BASES : this.mode.codeSize === 16 ? [7] : [7, 4]),
          prefixes: random(4) === 0,
        },
        random,
      )
      this.add(bytes)
    } catch {
      this.add([0x90])
    }
  }

  /** A jump or call (opcode bytes) to a unit. */
  private jump(opcode: readonly number[], target: number): void {
    this.add(opcode, { target })
  }

  /** One or several units; some need those before them. @returns how many */
  piece(made: number, size: number): number {
    const { random } = this
    const before = this.units.length
    const draw = random(100)
    if (draw < 80) this.straight()
    else if (draw < 88) {
      const to = random(5) ? made + 1 + random(6) : random(size)
      const form = random(4) ? this.pick(this.mix.jumps) : undefined
      this.jump(form ? [0x0f, form.opcode] : [0xe9], to)
    } else if (draw < 93) {
      // mov counter, n; body; dec counter; jnz body
      this.addCounter(1 + random(random(4) ? 6 : 40))
      const body = this.units.length
      for (let n = 1 + random(8); n > 0; n--) this.straight()
      this.add(this.mode.codeSize === 64 ? [0xff, 0xcd] : [0x4d])
      this.jump([0x0f, 0x85], body)
    } else if (draw < 96) {
      // call f; jmp over; f: body; ret
      const at = this.units.length
      const length = 1 + random(5)
      this.jump([0xe8], at + 2)
      this.jump([0xe9], at + 3 + length)
      for (let n = 0; n < length; n++) this.straight()
      this.add(random(4) ? [0xc3] : [0xc2, 0, 0])
    } else if (draw < 98) {
      // mov rAX, address; jmp or call rAX
      const wide = this.mode.codeSize === 16 ? 2 : 4
      const bytes = [0xb8, ...new Array(wide).fill(0)]
      this.add(bytes, { target: made + 2 + random(8), absolute: 1 })
      this.add([0xff, random(4) ? 0xe0 : 0xd0])
    } else {
      // A loop whose counter is in a register that anything may change.
      const to = Math.max(0, this.units.length - 1 - random(8))
      this.jump([0x0f, 0x80 + random(16)], to)
    }
    if (random(12) === 0) this.units[before].anchor = true
    return this.units.length - before
  }

  private addCounter(count: number): void {
    const bytes = [0xb8 + COUNTER_REGISTER, count]
    for (let i = this.mode.codeSize === 16 ? 1 : 3; i > 0; i--) bytes.push(0)
    this.add(bytes)
  }

  finish(): { bytes: Uint8Array; anchors: number[] } {
    const { units, mode, random } = this
    // The end: a software interrupt whose handler stops.
    this.add([0xcd, 0x41])
    const size = mode.codeSize === 16 ? 2 : 4
    // Begin shortly before the end of a page, so that blocks and instructions cross it.
    const start = random(3) ? 0 : 4096 - random(300)
    const places: number[] = []
    let at = start
    for (const unit of units) {
      places.push(at)
      at += unit.bytes.length + (unit.target !== undefined && unit.absolute === undefined ? size : 0)
    }
    const bytes = new Uint8Array(CODE_PAGES * 4096).fill(0xcc)
    const entry = entryOf(mode)
    units.forEach((unit, i) => {
      bytes.set(unit.bytes, places[i])
      if (unit.target === undefined) return
      const target = places[Math.min(unit.target, units.length - 1)]
      const end = places[i] + unit.bytes.length
      const where = unit.absolute === undefined ? end : places[i] + unit.absolute
      const value = unit.absolute === undefined ? target - (end + size) : entry + target
      for (let k = 0; k < size; k++) bytes[where + k] = value >> (8 * k)
    })
    const anchors = units.flatMap((unit, i) => (unit.anchor || i === 0 ? [entry + places[i]] : []))
    return { bytes, anchors }
  }
}
