/**
 * Our decoder against iced-x86's on random bytes: the same length or both refuse, the same mnemonic and the same operands.
 *
 *     bin/node-new-enough test/decoder/against-iced.ts --count 1000000 --seed 1 [--missing]
 *     bin/node-new-enough test/decoder/against-iced.ts --every-opcode [--missing]
 *
 * ends with a summary and status 1 if anything differs. `--missing` also lists what iced knows, is no extension that
 * we leave out ({@link LEFT_OUT}), and has no definition here.
 */
import { argv, exit } from 'node:process'
import {
  Code,
  CpuidFeature,
  EncodingKind,
  Decoder as IcedDecoder,
  Instruction as IcedInstruction,
  Mnemonic,
} from 'iced-x86'
import { type EncodeContext, type Random, randomInstance, randomSource } from '../../src/isa/assembler.ts'
import {
  DECODED,
  Decoded,
  type DecodeMode,
  type Decoder,
  NO_REGISTER,
  RIP_BASE,
  TOO_LONG,
  UNDEFINED,
} from '../../src/isa/decoder.ts'
import {
  encodedDisplacement,
  mnemonicOf,
  operandTexts,
  registerName,
  vectorIndexText,
} from '../../src/isa/disassembler.ts'
import type { Form } from '../../src/isa/encoding.ts'
import { icedOperands } from './operands.ts'

/** Extensions that this processor does not have, by iced's feature names; what they add we refuse on purpose. */
const LEFT_OUT: readonly (keyof typeof CpuidFeature)[] = [
  ...(['FMA4', 'XOP', 'TBM', 'VAES', 'VPCLMULQDQ', 'GFNI', 'LWP', 'ADX'] as const),
  ...(['AVX_VNNI', 'AVX_IFMA', 'AVX_NE_CONVERT', 'AVX_VNNI_INT8', 'AVX_VNNI_INT16', 'RAO_INT', 'CMPCCXADD'] as const),
  ...([
    'SM3',
    'SM4',
    'SHA512',
    'AMX_TILE',
    'AMX_BF16',
    'AMX_FP16',
    'AMX_INT8',
    'AMX_COMPLEX',
    'KNC',
    'AVX512F',
    'AVX512BW',
    'AVX512DQ',
  ] as const),
  ...([
    'VMX',
    'SVM',
    'SMX',
    'SKINIT',
    'SKINIT_or_SVM',
    'INVEPT',
    'INVVPID',
    'SGX1',
    'PCONFIG',
    'SEV_SNP',
    'SEV_ES',
  ] as const),
  ...([
    'RMPQUERY',
    'TDX',
    'CET_SS',
    'CET_IBT',
    'MPX',
    'HLE',
    'RTM',
    'HLE_or_RTM',
    'ENQCMD',
    'MOVDIRI',
    'MOVDIR64B',
  ] as const),
  ...([
    'UINTR',
    'FRED',
    'LKGS',
    'MSRLIST',
    'KL',
    'AESKLE',
    'WIDE_KL',
    'WAITPKG',
    'CLDEMOTE',
    'CLWB',
    'PTWRITE',
  ] as const),
  ...([
    'SERIALIZE',
    'TSXLDTRK',
    'WRMSRNS',
    'HRESET',
    'TSE',
    'D3NOW',
    'D3NOWEXT',
    'CYRIX_D3NOW',
    'SSE4A',
    'CLZERO',
  ] as const),
  ...([
    'MONITORX',
    'MONITOR',
    'RDPRU',
    'INVLPGB',
    'MCOMMIT',
    'PKU',
    'PADLOCK_ACE',
    'PADLOCK_PHE',
    'PADLOCK_PMM',
  ] as const),
  ...(['PADLOCK_RNG', 'PADLOCK_GMI', 'PADLOCK_UNDOC', 'PREFETCHITI', 'PREFETCHWT1', 'PREFETCHW', 'WBNOINVD'] as const),
  ...(['RDPID', 'SMM', 'CLFLUSHOPT', 'UDBG', 'XSAVES', 'CENTAUR_AIS', 'OSS'] as const),
]

/**
 * Other names that iced has for our mnemonics: of the same operation at another opcode, and of hints that do nothing here.
 */
const OTHER_NAMES: Record<string, readonly string[]> = {
  nop: [
    'reservednop',
    'prefetch',
    'prefetchw',
    'prefetchwt1',
    'cldemote',
    'endbr32',
    'endbr64',
    'prefetchit0',
    'prefetchit1',
    'rdsspd',
    'rdsspq',
  ],
  fstp: ['fstpnce'],
  shl: ['sal'],
  ret: ['retf'],
  sysret: ['sysretq'],
  sysexit: ['sysexitq'],
  wbinvd: ['wbnoinvd'],
  vmmcall: ['vmgexit'],
  xlat: ['xlatb'],
  vpcmpestri: ['vpcmpestri64'],
  vpcmpestrm: ['vpcmpestrm64'],
  pcmpestri: ['pcmpestri64'],
  pcmpestrm: ['pcmpestrm64'],
}

/** Differences that are right as they are: what {@link compare} says, and why. */
export const ACCOUNTED: Record<string, string> = {
  "xchg '90+r  Zv,rAX' is pause to iced":
    'F3 41 90 exchanges R8 and rAX on processors: REX.B makes 90 an XCHG, F3 or not',
  "operands of movsxd '63 /r o64  Gv,Ed' Movsxd_r16_rm16": "the manuals differ: r/m16 in Intel's, r/m32 in AMD's",
}

/** Instructions of no extension that we refuse on purpose, by iced's code, and why. */
const REFUSED: Record<string, string> = Object.fromEntries(
  [16, 32, 64].map(size => [
    `Reservednop_rm${size}_r${size}_0F0D`,
    "0F 0D with a register: in no manual; #UD on AMD's processors",
  ]),
)

/** What {@link compare} found. */
export interface Comparison {
  /** Instructions that both decoded alike. */
  same: number
  /** Byte strings that both refused. */
  bothRefuse: number
  /** Refused by us because no definition has that instruction, by iced's code: how often. */
  undefinedHere: Map<string, number>
  /** Of these, the ones that no extension of LEFT_OUT explains. */
  missing: Set<string>
  /** Differences: what, with an example of mode and bytes. At most one a kind. */
  differences: Map<string, string>
}

const MODES: readonly DecodeMode[] = [
  { mode: 'real', codeSize: 16, stackSize: 16 },
  { mode: 'protected', codeSize: 16, stackSize: 16 },
  { mode: 'protected', codeSize: 32, stackSize: 32 },
  { mode: 'long', codeSize: 64, stackSize: 64 },
  { mode: 'long', codeSize: 64, stackSize: 64 },
]
const PREFIXES = [0x66, 0x67, 0xf0, 0xf2, 0xf3, 0x26, 0x2e, 0x36, 0x3e, 0x64, 0x65]

/** Fills bytes with noise whose beginning looks like an instruction: prefixes, REX, an opcode map. */
function structured(bytes: Uint8Array, is64: boolean, random: Random): void {
  for (let i = 0; i < bytes.length; i++) bytes[i] = random(256)
  if (random(8) === 0) return
  let at = 0
  for (let count = Math.max(0, random(8) - 4); count > 0; count--) bytes[at++] = PREFIXES[random(PREFIXES.length)]
  if (random(64) === 0) for (let count = 8 + random(6); at < count; ) bytes[at++] = PREFIXES[random(PREFIXES.length)]
  if (random(3) === 0) {
    // VEX, mostly with no register in vvvv.
    const last = random(2) ? random(256) : 0x78 | (random(2) << 7) | random(8)
    const top = is64 ? random(8) << 5 : 0xc0 | (random(2) << 5)
    if (random(2)) bytes.set([0xc5, random(4) ? last | 0x80 : last], at)
    else bytes.set([0xc4, top | (random(16) ? 1 + random(3) : random(32)), last], at)
    return
  }
  if (is64 && random(2)) bytes[at++] = 0x40 | random(16)
  if (random(2)) {
    bytes[at++] = 0x0f
    if (random(8) === 0) bytes[at++] = random(2) ? 0x38 : 0x3a
  }
}

const KNOWN_ENCODINGS: ReadonlySet<number> = new Set([EncodingKind.Legacy, EncodingKind.VEX])
const leftOut: ReadonlySet<number> = new Set(LEFT_OUT.map(name => CpuidFeature[name]))

/** An empty {@link Comparison}. */
const nothing = (): Comparison => ({
  same: 0,
  bothRefuse: 0,
  undefinedHere: new Map(),
  missing: new Set(),
  differences: new Map(),
})

/** Our operands in the words of {@link icedOperands}: memory with its effective segment and the displacement always. */
function ourOperands(decoded: Decoded): string[] {
  const { addressSize, base, index, scale } = decoded
  const nextRip = BigInt(decoded.length)
  const memory = decoded.form.operands.findIndex(spec => spec.kind === 'absolute' || MEMORY_KINDS.has(spec.kind))
  const texts = operandTexts(decoded, nextRip).map(text => (text === 'st' ? 'st(0)' : text === '1' ? '0x1' : text))
  if (decoded.hasMemory && memory >= 0) {
    let offset = encodedDisplacement(decoded)
    if (base === RIP_BASE) offset += nextRip
    const parts: string[] = []
    if (base < NO_REGISTER) parts.push(registerName(base, addressSize))
    if (decoded.form.vectorIndex) parts.push(vectorIndexText(decoded))
    else if (index < NO_REGISTER) parts.push(registerName(index, addressSize) + (scale ? `*${1 << scale}` : ''))
    parts.push(`0x${BigInt.asUintN(addressSize, offset).toString(16)}`)
    texts[memory] = `${['es', 'cs', 'ss', 'ds', 'fs', 'gs'][decoded.segment]}:[${parts.join('+')}]`
  }
  return texts
}
/**
 * Forms with a register operand that iced names by the operand size where the manual reads, or writes and zero-extends, only
 * its low part: the selector of LAR, LLDT, MOV Sreg; the masks and words taken out of vectors.
 */
const NARROW = /_r(32|64)m(16|8)|_r64m32|Arpl|_r64_[xy]?mm/

/** The 64-bit register that a 16- or 32-bit one is part of. */
const fullName = (text: string): string => text.replace(/^(?:e|r)?([abcd]x|[sb]p|[sd]i)$|^(r\d+)[dwb]?$/, 'r$1$2')

const MEMORY_KINDS: ReadonlySet<string> = new Set(['rm', 'memory', 'mmxRm', 'xmmRm', 'vectorMemory'])

/** Compares byte strings one by one. */
class Comparer {
  readonly result = nothing()
  private readonly decoder: Decoder
  private readonly decoded = new Decoded()
  private readonly iced = new IcedInstruction()

  constructor(decoder: Decoder) {
    this.decoder = decoder
  }

  /** What differs, in a few words without operands; empty if nothing does. */
  private difference(bytes: Uint8Array, mode: DecodeMode): string {
    const { result, decoded, iced } = this
    const outcome = this.decoder.decode(bytes, 0, bytes.length, mode, decoded)
    const theirs = new IcedDecoder(mode.codeSize, bytes, 0)
    theirs.decodeOut(iced)
    theirs.free()
    const refused = iced.code === Code.INVALID
    if (outcome === DECODED) {
      const { form } = decoded
      const name = mnemonicOf(decoded)
      const theirName = Mnemonic[iced.mnemonic].toLowerCase()
      if (refused) return `iced refuses ${form.instruction.mnemonic} '${form.encoding}'`
      if (iced.length !== decoded.length) return `length of '${form.encoding}' and ${Code[iced.code]}`
      if (theirName !== name && !OTHER_NAMES[name]?.includes(theirName)) {
        return `${name} '${form.encoding}' is ${theirName} to iced`
      }
      const ours = ourOperands(decoded)
      const others = icedOperands(iced, mode.codeSize, decoded.addressSize)
      // Many of iced's instructions have operands that our encodings leave implied; of other names the operands differ too.
      const loose = NARROW.test(Code[iced.code]) ? fullName : (text: string) => text
      const incomparable = theirName !== name || ours.length !== others.length
      if (!incomparable && ours.some((text, i) => loose(text) !== loose(others[i]))) {
        return `operands of ${name} '${form.encoding}' ${Code[iced.code]}: ${ours.join(', ')} and ${others.join(', ')}`
      }
      result.same++
    } else if (outcome !== UNDEFINED && outcome !== TOO_LONG) return 'we want more bytes'
    else if (refused) result.bothRefuse++
    else {
      const code = Code[iced.code]
      result.undefinedHere.set(code, (result.undefinedHere.get(code) ?? 0) + 1)
      const counts = mode.mode !== 'real' && KNOWN_ENCODINGS.has(iced.encoding) && !(code in REFUSED)
      if (counts && ![...iced.cpuidFeatures()].some(feature => leftOut.has(feature))) result.missing.add(code)
    }
    return ''
  }

  compare(bytes: Uint8Array, mode: DecodeMode): void {
    const difference = this.difference(bytes, mode)
    // One example of each kind.
    const kind = difference.split(':')[0]
    if (!difference || ACCOUNTED[kind]) return
    if (this.result.differences.has(kind)) return
    const text = Array.from(bytes, byte => byte.toString(16).padStart(2, '0')).join(' ')
    this.result.differences.set(kind, `${difference.slice(kind.length)} ${mode.codeSize}-bit ${mode.mode}: ${text}`)
  }
}

/** Compares `count` random byte strings, and as many instances of our own forms. */
export function compare(decoder: Decoder, forms: readonly Form[], count: number, seed: number): Comparison {
  const random = randomSource(seed)
  const comparer = new Comparer(decoder)
  const bytes = new Uint8Array(20)
  for (let n = 0; n < count * 2; n++) {
    const mode = MODES[random(MODES.length)]
    const is64 = mode.codeSize === 64
    structured(bytes, is64, random)
    if (n >= count && forms.length > 0) {
      const form = forms[random(forms.length)]
      if (is64 ? form.not64 : form.only64) continue
      const context: EncodeContext = { mode, prefixes: true }
      const instance = randomInstance(form, context, random)
      if (instance.length > bytes.length) continue
      bytes.set(instance)
    }
    comparer.compare(bytes, mode)
  }
  return comparer.result
}

/** Compares every opcode of every map under every mandatory prefix, with each ModRM.reg and a few addresses and registers. */
export function compareEveryOpcode(decoder: Decoder): Comparison {
  const comparer = new Comparer(decoder)
  const modrms: number[] = []
  for (let reg = 0; reg < 8; reg++) {
    modrms.push((reg << 3) | 2)
    for (let rm = 0; rm < 8; rm++) modrms.push(0xc0 | (reg << 3) | rm)
  }
  for (const mode of [MODES[2], MODES[3]]) {
    for (const rex of mode.codeSize === 64 ? [[], [0x48]] : [[]]) {
      for (const prefix of [[], [0x66], [0xf3], [0xf2]]) {
        const pp = [0, 0x66, 0xf3, 0xf2].indexOf(prefix[0] ?? 0)
        const vex = [1, 2, 3].flatMap(map =>
          [0x78, 0x7c, 0x40].map(last => [0xc4, 0xe0 | map, last | pp | (rex.length ? 0x80 : 0)]),
        )
        for (const map of [[], [0x0f], [0x0f, 0x38], [0x0f, 0x3a], ...vex]) {
          const start = map[0] === 0xc4 ? map : [...prefix, ...rex, ...map]
          const bytes = new Uint8Array(20)
          bytes.set(start)
          for (let opcode = 0; opcode < 256; opcode++) {
            bytes[start.length] = opcode
            const isPrefix =
              map.length === 0 && (PREFIXES.includes(opcode) || (opcode & 0xf0) === 0x40 || opcode === 0x0f)
            if (isPrefix && mode.codeSize === 64) continue
            for (const modrm of modrms) {
              bytes[start.length + 1] = modrm
              comparer.compare(bytes, mode)
            }
          }
        }
      }
    }
  }
  return comparer.result
}

/** The command. */
async function main(): Promise<void> {
  const { decoder, forms } = await import('../../src/isa/index.ts')
  const option = (name: string, otherwise: number): number => {
    const at = argv.indexOf(name)
    return at < 0 ? otherwise : Number(argv[at + 1])
  }
  const count = option('--count', 1_000_000)
  const seed = option('--seed', 1)
  const result = argv.includes('--every-opcode') ? compareEveryOpcode(decoder) : compare(decoder, forms, count, seed)
  for (const [what, example] of result.differences) console.log(`${what}\n    ${example}`)
  if (argv.includes('--missing')) {
    const missing = [...result.missing].sort().join(' ')
    console.log(
      missing
        ? `no definition: ${missing}`
        : 'All that iced knows has a definition here, but for the extensions that are left out.',
    )
  }
  console.log(
    `${result.same} alike, ${result.bothRefuse} refused by both, ${result.undefinedHere.size} instructions of iced's not defined here ` +
      `(${result.missing.size} of them in no extension left out), ${result.differences.size} differences`,
  )
  if (result.differences.size) exit(1)
}

if (import.meta.main) await main()
