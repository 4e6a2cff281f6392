/** Operands as iced-x86 sees them, in the words of our disassembler, so that the two can be compared. */
import { type Instruction, OpKind, Register } from 'iced-x86'

/** A register's name as we print it. */
function registerName(register: Register): string {
  const name = Register[register].toLowerCase()
  if (/^r\d+l$/.test(name)) return `${name.slice(0, -1)}b`
  if (/^st\d$/.test(name)) return `st(${name[2]})`
  return name
}

const hex = (value: bigint | number): string => `0x${value.toString(16)}`

const IGNORED: ReadonlySet<Register> = new Set([Register.ES, Register.CS, Register.SS, Register.DS])

/** `[base+index*scale+displacement]`, with the effective segment before it. */
function memoryText(instruction: Instruction, codeSize: number, addressSize: number): string {
  const base = instruction.memoryBase
  const index = instruction.memoryIndex
  const displacement = BigInt.asUintN(addressSize, instruction.memoryDisplacement)
  const parts: string[] = []
  // RIP-relative: the displacement is the address already.
  const relative = base === Register.RIP || base === Register.EIP
  if (base !== Register.None && !relative) parts.push(registerName(base))
  if (index !== Register.None) {
    const scale = instruction.memoryIndexScale
    parts.push(registerName(index) + (scale > 1 ? `*${scale}` : ''))
  }
  // iced shows the overrides that 64-bit mode ignores.
  const ignored = codeSize === 64 && IGNORED.has(instruction.segmentPrefix)
  const onStack = base === Register.RSP || base === Register.RBP || base === Register.ESP || base === Register.EBP
  const segment = ignored ? (onStack ? 'ss' : 'ds') : registerName(instruction.memorySegment)
  return `${segment}:[${[...parts, hex(displacement)].join('+')}]`
}

/** The operands of an instruction that was decoded at address 0. Memory that an instruction implies is left out. */
export function icedOperands(instruction: Instruction, codeSize: number, addressSize: number): string[] {
  const texts: string[] = []
  for (let i = 0; i < instruction.opCount; i++) {
    const kind = instruction.opKind(i)
    switch (kind) {
      case OpKind.Register:
        texts.push(registerName(instruction.opRegister(i)))
        break
      case OpKind.Memory:
        texts.push(memoryText(instruction, codeSize, addressSize))
        break
      case OpKind.NearBranch16:
      case OpKind.NearBranch32:
      case OpKind.NearBranch64:
        texts.push(hex(instruction.nearBranchTarget))
        break
      case OpKind.FarBranch16:
      case OpKind.FarBranch32:
        texts.push(
          `${hex(instruction.farBranchSelector)}:${hex(kind === OpKind.FarBranch16 ? instruction.farBranch16 : instruction.farBranch32)}`,
        )
        break
      case OpKind.Immediate8:
        texts.push(hex(instruction.immediate8))
        break
      case OpKind.Immediate8_2nd:
        texts.push(hex(instruction.immediate8_2nd))
        break
      case OpKind.Immediate16:
      case OpKind.Immediate8to16:
        texts.push(hex(BigInt.asUintN(16, instruction.immediate(i))))
        break
      case OpKind.Immediate32:
      case OpKind.Immediate8to32:
        texts.push(hex(BigInt.asUintN(32, instruction.immediate(i))))
        break
      case OpKind.Immediate64:
      case OpKind.Immediate8to64:
      case OpKind.Immediate32to64:
        texts.push(hex(BigInt.asUintN(64, instruction.immediate(i))))
        break
    }
  }
  return texts
}
