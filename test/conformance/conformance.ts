/** Random cases on this machine's processor and on an engine of ours, and what differs. */

import { randomSource } from '../../src/isa/assembler.ts'
import { type Decoded, Decoder } from '../../src/isa/decoder.ts'
import { disassemble } from '../../src/isa/disassembler.ts'
import type { Form } from '../../src/isa/encoding.ts'
import { forms } from '../../src/isa/index.ts'
import { insideInstruction, makeCase } from './cases.ts'
import { compare } from './compare.ts'
import type { Native } from './native.ts'
import { type EngineName, Processor } from './processor.ts'
import { CODE, DATA, PAGE, RECORD_ADDRESS, RECORD_OFFSET, RECORD_RIP, RECORD_SIZE, RECORD_VECTOR } from './record.ts'

/** Instructions that do not run alone in a process, or whose result is another on every machine. */
const NOT_COMPARABLE = new Set(
  `CPUID RDTSC RDTSCP RDRAND RDSEED RDPMC XGETBV SYSCALL SYSENTER SYSEXIT SYSRET INT INT3 INTO INT1 IRET HLT VMCALL VMMCALL
  RDFSBASE RDGSBASE WRFSBASE WRGSBASE SGDT SIDT SLDT STR SMSW LAR LSL VERR VERW ARPL LES LDS LSS LFS LGS RDPID MONITOR MWAIT
  STMXCSR LDMXCSR FXSAVE FXSAVE64 FXRSTOR FXRSTOR64 XSAVE XSAVE64 XRSTOR XRSTOR64 XSAVEOPT XSAVEOPT64 XSAVEC XSAVEC64 EMMS CLI STI IN OUT INS INSB OUTS OUTSB
  RCPPS RCPSS RSQRTPS RSQRTSS VRCPPS VRCPSS VRSQRTPS VRSQRTSS VLDMXCSR VSTMXCSR`.split(/\s+/),
)

/** RET far, which has the mnemonic of the near one. */
const FAR_RETURNS = new Set([0xca, 0xcb])

/** Whether a form can be compared: an unprivileged integer, SSE or AVX instruction of a feature that the processor has. */
export function isComparable(form: Form, bits: 32 | 64, features: ReadonlySet<string>): boolean {
  const { instruction } = form
  if (bits === 64 ? form.not64 : form.only64) return false
  if (instruction.privilege !== undefined && instruction.privilege !== 'user') return false
  if (instruction.unit !== undefined && instruction.unit !== 'sse' && instruction.unit !== 'avx') return false
  if (instruction.feature !== undefined && !features.has(instruction.feature)) return false
  if (NOT_COMPARABLE.has(instruction.mnemonic) || FAR_RETURNS.has(form.opcode | (form.map << 8))) return false
  // Intel's manual has W ignored outside of 64-bit mode (PEXTRD, PINSRD), AMD's processors refuse it.
  if (form.vexLength !== undefined && form.rexW === 1 && form.not64) return false
  return (
    form.operands.every(
      ({ kind }) =>
        !kind.includes('egment') &&
        kind !== 'farSelector' &&
        kind !== 'control' &&
        kind !== 'debug' &&
        !kind.startsWith('mmx'),
    ) && !(form.modrm !== undefined && /^(CALL|JMP) far/.test(instruction.title ?? ''))
  )
}

/** What a run found. */
export interface Report {
  /** Cases compared; made but not comparable (an infinite loop, a jump into itself, an address in the runner's own memory). */
  compared: number
  skipped: number
  failed: number
  /** The first failures of each instruction, as text. */
  failures: string[]
  forms: number
}

/** How cases are drawn and compared. */
export interface Options {
  bits: 32 | 64
  engine?: EngineName
  count: number
  seed: number
  native: Native
  features: ReadonlySet<string>
  /** Undefined flags and results too: only where the processor is one whose choices ours follow. */
  strict?: boolean
  /** Only instructions whose mnemonic this matches. */
  only?: RegExp
  /** Called between batches. */
  progress?: (compared: number) => void
}

const BATCH = 1024
const MOST_FAILURES_EACH = 3

/** Draws and compares cases. */
export function runConformance(options: Options): Report {
  const { bits, native, seed } = options
  const candidates = forms.filter(
    form =>
      isComparable(form, bits, options.features) && (!options.only || options.only.test(form.instruction.mnemonic)),
  )
  const report: Report = { compared: 0, skipped: 0, failed: 0, failures: [], forms: candidates.length }
  if (candidates.length === 0) return report
  const decoder = new Decoder(forms)
  const processor = new Processor(bits, options.engine)
  const random = randomSource(seed)
  const failuresOf = new Map<string, number>()
  const view = (bytes: Uint8Array, i: number) =>
    new DataView(bytes.buffer, bytes.byteOffset + i * RECORD_SIZE, RECORD_SIZE)
  let nextForm = 0
  for (let left = options.count; left > 0; ) {
    const before = new Uint8Array(Math.min(BATCH, left) * RECORD_SIZE)
    const size = before.length / RECORD_SIZE
    const ours = new Uint8Array(before.length)
    const decodings: Decoded[] = []
    for (let n = 0; n < size && left > 0; ) {
      left--
      const form = candidates[nextForm++ % candidates.length]
      const record = view(before, n)
      const decoded = makeCase(record, form, bits, decoder, random)
      if (!decoded) {
        report.skipped++
        continue
      }
      const own = view(ours, n)
      ours.set(before.subarray(n * RECORD_SIZE, (n + 1) * RECORD_SIZE), n * RECORD_SIZE)
      let ended: boolean
      try {
        ended = processor.run(own)
      } catch (error) {
        throw new Error(`${text(decoded, record)}: ${error instanceof Error ? error.stack : error}`)
      }
      const looping =
        insideInstruction(record, own.getBigUint64(RECORD_RIP, true)) && own.getUint32(RECORD_VECTOR, true) === 3
      if (!ended || looping || hitsRunner(own, bits)) {
        report.skipped++
        continue
      }
      decodings[n++] = decoded
    }
    const used = decodings.length
    const theirs = native(before.subarray(0, used * RECORD_SIZE))
    for (let i = 0; i < used; i++) {
      const differences = compare(
        decodings[i],
        view(before, i),
        view(theirs, i),
        view(ours, i),
        options.strict === true,
      )
      if (differences === undefined) {
        report.skipped++
        continue
      }
      report.compared++
      if (differences.length === 0) continue
      report.failed++
      const key = decodings[i].form.encoding
      const known = failuresOf.get(key) ?? 0
      failuresOf.set(key, known + 1)
      if (known < MOST_FAILURES_EACH) {
        const record = view(before, i)
        report.failures.push(`${text(decodings[i], record)}: ${differences.slice(0, 8).join(', ')}${state(record)}`)
      }
    }
    options.progress?.(report.compared)
  }
  return report
}

/** In 32-bit code a stray address may lie in the native runner's own memory: such cases are not run there. */
function hitsRunner(record: DataView, bits: 32 | 64): boolean {
  if (bits === 64 || record.getUint32(RECORD_VECTOR, true) !== 14) return false
  const address = Number(record.getBigUint64(RECORD_ADDRESS, true))
  const near = (pages: number) => address >= pages - PAGE && address < pages + 3 * PAGE
  return address >= 0x10000 && !near(DATA) && !near(CODE)
}

const hexBytes = (bytes: Uint8Array): string => Array.from(bytes, b => b.toString(16).padStart(2, '0')).join(' ')

function text(decoded: Decoded, record: DataView): string {
  const code = new Uint8Array(record.buffer, record.byteOffset, decoded.length)
  return `${disassemble(decoded, BigInt(CODE + record.getUint32(RECORD_OFFSET, true)))} [${hexBytes(code)}]`
}

function state(record: DataView): string {
  const gpr = Array.from({ length: 16 }, (_, i) => record.getBigUint64(24 + i * 8, true).toString(16))
  return `\n    before: flags ${record.getBigUint64(152, true).toString(16)}, registers ${gpr.join(' ')}`
}
