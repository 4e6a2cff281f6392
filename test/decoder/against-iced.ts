/**
 * Our decoder against iced-x86's on random bytes: the same length or both refuse, and the same mnemonic.
 *
 *     bin/node-new-enough test/decoder/against-iced.ts --count 1000000 --seed 1 [--missing]
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
import { DECODED, Decoded, type DecodeMode, type Decoder, TOO_LONG, UNDEFINED } from '../../src/isa/decoder.ts'
import { mnemonicOf } from '../../src/isa/disassembler.ts'
import type { Form } from '../../src/isa/encoding.ts'

/** Extensions that this processor does not have, by iced's feature names; what they add we refuse on purpose. */
const LEFT_OUT: readonly (keyof typeof CpuidFeature)[] = [
  ...([
    'AVX',
    'AVX2',
    'FMA',
    'FMA4',
    'F16C',
    'BMI1',
    'BMI2',
    'XOP',
    'TBM',
    'VAES',
    'VPCLMULQDQ',
    'GFNI',
    'LWP',
    'ADX',
  ] as const),
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
  ...([
    'PADLOCK_RNG',
    'PADLOCK_GMI',
    'PADLOCK_UNDOC',
    'PREFETCHITI',
    'PREFETCHWT1',
    'PREFETCHW',
    'LZCNT',
    'WBNOINVD',
  ] as const),
  ...(['RDPID', 'SMM', 'CLFLUSHOPT', 'UDBG', 'XSAVES', 'CENTAUR_AIS', 'OSS'] as const),
]

/**
 * Other names that iced has for our mnemonics: of the same operation at another opcode, of hints that do nothing here, and
 * of what an opcode means with extensions that this processor does not have (F3 BSF is TZCNT with BMI1).
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
  bsf: ['tzcnt'],
  fstp: ['fstpnce'],
  bsr: ['lzcnt'],
  shl: ['sal'],
  ret: ['retf'],
  sysret: ['sysretq'],
  sysexit: ['sysexitq'],
  wbinvd: ['wbnoinvd'],
  xlat: ['xlatb'],
  pcmpestri: ['pcmpestri64'],
  pcmpestrm: ['pcmpestrm64'],
}

/** Differences that are right as they are: what {@link compare} says, and why. */
export const ACCOUNTED: Record<string, string> = {
  "xchg '90+r  Zv,rAX' is pause to iced":
    'F3 41 90 exchanges R8 and rAX on processors: REX.B makes 90 an XCHG, F3 or not',
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
  if (is64 && random(2)) bytes[at++] = 0x40 | random(16)
  if (random(2)) {
    bytes[at++] = 0x0f
    if (random(8) === 0) bytes[at++] = random(2) ? 0x38 : 0x3a
  }
}

const leftOut: ReadonlySet<number> = new Set(LEFT_OUT.map(name => CpuidFeature[name]))

/** Compares `count` random byte strings, and as many instances of our own forms. */
export function compare(decoder: Decoder, forms: readonly Form[], count: number, seed: number): Comparison {
  const random = randomSource(seed)
  const result: Comparison = {
    same: 0,
    bothRefuse: 0,
    undefinedHere: new Map(),
    missing: new Set(),
    differences: new Map(),
  }
  const decoded = new Decoded()
  const iced = new IcedInstruction()
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
    const outcome = decoder.decode(bytes, 0, bytes.length, mode, decoded)
    const theirs = new IcedDecoder(mode.codeSize, bytes, 0)
    theirs.decodeOut(iced)
    theirs.free()
    const refused = iced.code === Code.INVALID
    let difference = ''
    if (outcome === DECODED) {
      const { form } = decoded
      const name = mnemonicOf(decoded)
      const theirName = Mnemonic[iced.mnemonic].toLowerCase()
      if (refused) difference = `iced refuses ${form.instruction.mnemonic} '${form.encoding}'`
      else if (iced.length !== decoded.length) difference = `length of '${form.encoding}' and ${Code[iced.code]}`
      else if (theirName !== name && !OTHER_NAMES[name]?.includes(theirName))
        difference = `${name} '${form.encoding}' is ${theirName} to iced`
      else result.same++
    } else if (outcome !== UNDEFINED && outcome !== TOO_LONG) difference = 'we want more bytes'
    else if (refused) result.bothRefuse++
    else {
      const code = Code[iced.code]
      result.undefinedHere.set(code, (result.undefinedHere.get(code) ?? 0) + 1)
      const counts = mode.mode !== 'real' && iced.encoding === EncodingKind.Legacy && !(code in REFUSED)
      if (counts && ![...iced.cpuidFeatures()].some(feature => leftOut.has(feature))) result.missing.add(code)
    }
    if (difference && !ACCOUNTED[difference] && !result.differences.has(difference)) {
      const text = Array.from(bytes, byte => byte.toString(16).padStart(2, '0')).join(' ')
      result.differences.set(difference, `${mode.codeSize}-bit ${mode.mode}: ${text}`)
    }
  }
  return result
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
  const result = compare(decoder, forms, count, seed)
  for (const [what, example] of result.differences) console.log(`${what}\n    ${example}`)
  if (argv.includes('--missing')) console.log(`no definition: ${[...result.missing].sort().join(' ')}`)
  console.log(
    `${result.same} alike, ${result.bothRefuse} refused by both, ${result.undefinedHere.size} instructions of iced's not defined here ` +
      `(${result.missing.size} of them in no extension left out), ${result.differences.size} differences`,
  )
  if (result.differences.size) exit(1)
}

if (import.meta.main) await main()
