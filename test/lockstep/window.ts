/** Executed instructions as text. */
import { fetchPhysical } from '../../src/cpu/memory-access.ts'
import { CS, F } from '../../src/cpu/state.ts'
import type { Vcpu } from '../../src/cpu/vcpu.ts'
import { decodeMode } from '../../src/engines/interpreter/blocks.ts'
import { DECODED, Decoded } from '../../src/isa/decoder.ts'
import { disassemble } from '../../src/isa/disassembler.ts'
import { decoder } from '../../src/isa/index.ts'

/** The instruction at an address as it is now, in the current mode. Disturbs TLB and accessed bits. */
export function instructionText(cpu: Vcpu, rip: bigint): string {
  const { state, memory } = cpu
  const bytes = new Uint8Array(16)
  let have = 0
  for (; have < 15; have++) {
    const linear = BigInt.asUintN(64, rip + state.get64(F.segmentBase, CS) + BigInt(have))
    const at = fetchPhysical(cpu, Number(linear & 0xffffffffn) | 0, Number(linear >> 32n) | 0)
    if (state.get32(F.fault)) {
      state.set32(F.fault, 0)
      break
    }
    bytes[have] = memory.ram[at >>> 0]
  }
  const decoded = new Decoded()
  const outcome = decoder.decode(bytes, 0, have, decodeMode(state.get32(F.mode)), decoded)
  const place = rip.toString(16).padStart(8, '0')
  if (outcome !== DECODED) return `${place}  ${Buffer.from(bytes.subarray(0, have)).toString('hex')}  (no instruction)`
  const code = Buffer.from(bytes.subarray(0, decoded.length)).toString('hex')
  return `${place}  ${code.padEnd(20)} ${disassemble(decoded, rip)}`
}

/** The instructions at the addresses that execution came to, in its order; repeated addresses once more without text. */
export function describeWindow(cpu: Vcpu, trace: readonly bigint[]): string {
  const last = trace.slice(-200)
  return last.map(rip => instructionText(cpu, rip)).join('\n')
}
