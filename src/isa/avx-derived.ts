/** The VEX forms of SSE instructions (SDM vol. 2; vol. 1, 14.1 to 14.7): which there are, and how each is made. */
import * as aes from './aes.ts'
import type { Instruction } from './definition.ts'
import * as mmx from './mmx.ts'
import * as mmxShifts from './mmx-shifts.ts'
import * as pclmulqdq from './pclmulqdq.ts'
import * as sseApproximations from './sse-approximations.ts'
import * as sseArithmetic from './sse-arithmetic.ts'
import * as sseCompare from './sse-compare.ts'
import * as sseConvert from './sse-convert.ts'
import * as sseMaskedMoves from './sse-masked-moves.ts'
import * as sseMoves from './sse-moves.ts'
import * as sseShuffles from './sse-shuffles.ts'
import * as sse41 from './sse4-1.ts'
import * as sse42Strings from './sse4-2-strings.ts'
import * as ssse3 from './ssse3.ts'
import { type VexOptions, vexForm, zeroVector } from './vex.ts'

/** The definitions on XMM registers, by mnemonic. */
const legacy = new Map<string, Instruction[]>()
for (const one of [
  ...[...mmx.instructions, ...mmxShifts.instructions, ...ssse3.instructions, ...sse41.instructions],
  ...[...sseArithmetic.instructions, ...sseApproximations.instructions, ...sseConvert.instructions],
  ...[...sseMoves.instructions, ...sseShuffles.instructions, ...sseMaskedMoves.instructions],
  ...[...aes.instructions, ...pclmulqdq.instructions, ...sse42Strings.instructions],
  ...sseCompare.instructions,
]) {
  if (one.unit === 'sse') legacy.set(one.mnemonic, [...(legacy.get(one.mnemonic) ?? []), one])
}

/** Forms of every definition with one of the mnemonics. */
function forms(mnemonics: string, options: VexOptions): Instruction[] {
  return mnemonics.split(/\s+/).flatMap(mnemonic => {
    const found = legacy.get(mnemonic)
    if (!found) throw new Error(`no definition of ${mnemonic} on XMM registers`)
    return found.map(one => vexForm(one, options))
  })
}

/** Forms of 128 and of 256 bits, both AVX's. */
const bothLengths = (mnemonics: string, options: VexOptions): Instruction[] => [
  ...forms(mnemonics, options),
  ...forms(mnemonics, { ...options, length: 256 }),
]

/** AVX has 128 bits of them, AVX2 256. */
const integers = (mnemonics: string, options: VexOptions): Instruction[] => [
  ...forms(mnemonics, options),
  ...forms(mnemonics, { ...options, length: 256, feature: 'avx2' }),
]

const three = { threeOperands: true } as const
const floats = { floats: true } as const

const packedFloats = [
  ...bothLengths(
    `ADDPS ADDPD MULPS MULPD SUBPS SUBPD DIVPS DIVPD MINPS MINPD MAXPS MAXPD HADDPS HADDPD HSUBPS HSUBPD ADDSUBPS ADDSUBPD`,
    { ...three, ...floats },
  ),
  ...bothLengths('ANDPS ANDPD ANDNPS ANDNPD ORPS ORPD XORPS XORPD UNPCKLPS UNPCKLPD UNPCKHPS UNPCKHPD SHUFPS', three),
  ...bothLengths('SHUFPD BLENDPD', { ...three, immediateShift: 2 }),
  ...bothLengths('BLENDPS', { ...three, immediateShift: 4 }),
  ...bothLengths('DPPS', { ...three, ...floats }),
  ...forms('DPPD', three),
  ...bothLengths('SQRTPS SQRTPD CVTDQ2PS CVTPS2DQ CVTTPS2DQ ROUNDPS ROUNDPD', floats),
  ...bothLengths('RCPPS RSQRTPS MOVSLDUP MOVSHDUP MOVDDUP', {}),
  ...bothLengths('CVTPS2PD', { ...floats, source: 'halves' }),
  ...bothLengths('CVTDQ2PD', { source: 'halves' }),
  ...bothLengths('CVTPD2PS CVTPD2DQ CVTTPD2DQ', { ...floats, narrows: true }),
  ...forms('MOVMSKPS MOVMSKPD', {}),
  ...forms('MOVMSKPS', { length: 256, joins: 4 }),
  ...forms('MOVMSKPD', { length: 256, joins: 2 }),
]

const SCALARS = 'ADDS* MULS* SUBS* DIVS* MINS* MAXS* SQRTS* ROUNDS*'
const scalars = [
  ...forms(
    SCALARS.replace(/(\w+)\*/g, '$1S $1D').concat(' RCPSS RSQRTSS CVTSS2SD CVTSD2SS'), //
    { ...three, length: 'LIG' },
  ),
  ...forms('CVTSI2SS CVTSI2SD', { ...three, length: 'LIG', w: '' }),
  ...forms('CVTSS2SI CVTSD2SI CVTTSS2SI CVTTSD2SI', { length: 'LIG', w: '' }),
  ...forms('UCOMISS UCOMISD COMISS COMISD', { length: 'LIG' }),
]

const compares = sseCompare.vexCompares.flatMap(one =>
  /S[SD]$/.test(one.mnemonic)
    ? [vexForm(one, { ...three, length: 'LIG' })]
    : [vexForm(one, { ...three, ...floats }), vexForm(one, { ...three, ...floats, length: 256 })],
)

const PACKED_INTEGERS = mmx.instructions.filter(one => one.unit === 'sse').map(one => one.mnemonic)
const SSSE3 =
  'PHADDW PHADDD PHADDSW PMADDUBSW PHSUBW PHSUBD PHSUBSW PSIGNB PSIGNW PSIGND PMULHRSW PSHUFB PALIGNR PBLENDW'
const SSE4 = 'PMULDQ PCMPEQQ PACKUSDW PMINSB PMINSD PMINUW PMINUD PMAXSB PMAXSD PMAXUW PMAXUD PMULLD PCMPGTQ'
const EXTENSIONS = ['SX', 'ZX'].flatMap(kind => ['BW', 'BD', 'BQ', 'WD', 'WQ', 'DQ'].map(size => `PMOV${kind}${size}`))
const SHIFTS = 'PSRLW PSRLD PSRLQ PSRAW PSRAD PSLLW PSLLD PSLLQ'

/** A shift's two definitions: by a count in a vector, and by an immediate. */
const shifts = SHIFTS.split(' ').flatMap(mnemonic => {
  const [byVector, byImmediate] = legacy.get(mnemonic) as Instruction[]
  return [
    vexForm(byVector, three),
    vexForm(byVector, { ...three, length: 256, source: 'shared', feature: 'avx2' }),
    vexForm(byImmediate, { ...three }),
    vexForm(byImmediate, { ...three, length: 256, feature: 'avx2' }),
  ]
})

const packedIntegers = [
  ...integers([...PACKED_INTEGERS, SSSE3, SSE4, 'PSLLDQ PSRLDQ'].join(' '), three),
  ...integers('PABSB PABSW PABSD PSHUFD PSHUFHW PSHUFLW', {}),
  ...integers(EXTENSIONS.join(' '), { source: 'halves' }),
  ...([128, 256] as const).flatMap(length =>
    forms('BLENDPS', {
      ...three,
      length,
      feature: 'avx2',
      mnemonic: 'VPBLENDD',
      immediateShift: 4,
      encodings: [`VEX.${length}.66.0F3A.W0 02 /r ib  Vx,Hx,Wx,Ib`],
    }),
  ),
  ...integers('MPSADBW', { ...three, immediateShift: 3 }),
  ...shifts,
  ...forms('PMOVMSKB', {}),
  ...forms('PMOVMSKB', { length: 256, joins: 16, feature: 'avx2' }),
  ...forms('PHMINPOSUW', {}),
]

/** The mask of a blend is a register of its own, in place of XMM0. */
const variableBlends = (
  [
    ['PBLENDVB', '4C', 'avx2'],
    ['BLENDVPS', '4A', 'avx'],
    ['BLENDVPD', '4B', 'avx'],
  ] as const
).flatMap(([mnemonic, opcode, feature]) =>
  ([128, 256] as const).flatMap(length =>
    forms(mnemonic, {
      ...three,
      length,
      feature: length === 256 ? feature : 'avx',
      encodings: [`VEX.${length}.66.0F3A.W0 ${opcode} /r /is4  Vx,Hx,Wx,Lx`],
    }),
  ),
)

const lanes = [
  ...forms('PINSRB PINSRW INSERTPS', three),
  ...forms('PEXTRB PEXTRW EXTRACTPS', {}),
  // W is ignored where there are no 64-bit registers.
  ...(
    [
      ['PINSRD', 'PINSRQ', '22 /r ib  Vdq,Hdq,E*,Ib', three],
      ['PEXTRD', 'PEXTRQ', '16 /r ib  E*,Vdq,Ib', {}],
    ] as const
  ).flatMap(([narrow, wide, rest, options]) => [
    ...forms(narrow, { ...options, encodings: encodingsByMode(`66.0F3A`, rest) }),
    ...forms(wide, { ...options, encodings: [`VEX.128.66.0F3A.W1 o64 ${rest.replace('*', 'q')}`] }),
  ]),
]

/** The form with 32 bits: with W0, and with W1 outside of 64-bit mode. */
function encodingsByMode(fields: string, rest: string): string[] {
  const narrow = rest.replace('*', 'd')
  return [`VEX.128.${fields}.W0 ${narrow}`, `VEX.128.${fields}.W1 i64 ${narrow}`]
}

/** Scalars: two registers make a new one, memory a whole register, and a register goes to memory. */
const scalarMoves = (['MOVSS', 'MOVSD'] as const).flatMap(mnemonic => {
  const [prefix, letter] = mnemonic === 'MOVSS' ? ['F3', 'Wd'] : ['F2', 'Wq']
  const bytes = `VEX.LIG.${prefix}.0F.WIG`
  return [
    ...forms(mnemonic, { encodings: [`${bytes} 10 /r mem  Vdq,${letter}`, `${bytes} 11 /r mem  ${letter},Vdq`] }),
    ...forms(mnemonic, {
      ...three,
      encodings: [`${bytes} 10 /r reg  Vdq,Hdq,Udq`, `${bytes} 11 /r reg  Udq,Hdq,Vdq`],
    }),
  ]
})

/** Halves of registers: loads keep the other half of the first source. */
const halfMoves = ['MOVLPS', 'MOVLPD', 'MOVHPS', 'MOVHPD'].flatMap(mnemonic =>
  (legacy.get(mnemonic) as Instruction[]).map(one =>
    vexForm(one, { threeOperands: one.encodings[0].includes('Vdq,M') }),
  ),
)

const moves = [
  ...scalarMoves,
  ...halfMoves,
  ...forms('MOVHLPS MOVLHPS', three),
  ...(legacy.get('MOVD') as Instruction[]).map(one => vexForm(one, { w: '' })),
  ...forms('MOVQ', {}),
  ...forms('MASKMOVDQU', {}),
]

/** Results in XMM0 clear the rest of YMM0. */
const strings = ['PCMPESTRM', 'PCMPESTRI', 'PCMPISTRM', 'PCMPISTRI'].flatMap(mnemonic => {
  const [of] = legacy.get(mnemonic) as Instruction[]
  const made = vexForm(of, { w: mnemonic.startsWith('PCMPE') ? '' : 'WIG' })
  if (mnemonic.endsWith('I')) return [made]
  const execute: Instruction['execute'] = (m, ...operands) => {
    made.execute(m, ...operands)
    m.xmm(0).upper.writeVector(zeroVector(m))
  }
  return [{ ...made, execute }]
})

const cryptography = [
  ...forms('AESENC AESENCLAST AESDEC AESDECLAST PCLMULQDQ', three),
  ...forms('AESIMC AESKEYGENASSIST', {}),
]

export const instructions: readonly Instruction[] = [
  ...packedFloats,
  ...scalars,
  ...compares,
  ...packedIntegers,
  ...variableBlends,
  ...lanes,
  ...moves,
  ...strings,
  ...cryptography,
]
