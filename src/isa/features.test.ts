import assert from 'node:assert/strict'
import { test } from 'node:test'
import { Code, CpuidFeature, EncodingKind, Instruction as IcedInstruction, Mnemonic } from 'iced-x86'
import { makeCpuid } from './cpuid.ts'
import { instruction } from './definition.ts'
import { FEATURES, instructionFeatures, missingInstructions } from './features.ts'
import { instructions } from './index.ts'

/** iced's names of the features, and where a bit of CPUID stands for several of them. */
const ICED: Record<string, (keyof typeof CpuidFeature)[]> = {
  fpu: ['FPU', 'FPU387'],
  tsc: ['TSC'],
  msr: ['MSR'],
  cx8: ['CX8'],
  sep: ['SEP'],
  cmov: ['CMOV'],
  clflush: ['CLFSH'],
  mmx: ['MMX'],
  fxsr: ['FXSR'],
  sse: ['SSE'],
  sse2: ['SSE2'],
  pni: ['SSE3'],
  pclmulqdq: ['PCLMULQDQ'],
  ssse3: ['SSSE3'],
  cx16: ['CMPXCHG16B'],
  sse4_1: ['SSE4_1'],
  sse4_2: ['SSE4_2'],
  movbe: ['MOVBE'],
  popcnt: ['POPCNT'],
  aes: ['AES'],
  xsave: ['XSAVE'],
  rdrand: ['RDRAND'],
  fsgsbase: ['FSGSBASE'],
  invpcid: ['INVPCID'],
  rdseed: ['RDSEED'],
  smap: ['SMAP'],
  clflushopt: ['CLFLUSHOPT'],
  clwb: ['CLWB'],
  sha_ni: ['SHA'],
  rdpid: ['RDPID'],
  xsaveopt: ['XSAVEOPT'],
  xsavec: ['XSAVEC'],
  syscall: ['SYSCALL'],
  rdtscp: ['RDTSCP'],
  abm: ['LZCNT'],
  avx: ['AVX'],
  avx2: ['AVX2'],
  fma: ['FMA'],
  f16c: ['F16C'],
  bmi1: ['BMI1'],
  bmi2: ['BMI2'],
}

const WITH_AVX: ReadonlySet<CpuidFeature> = new Set([CpuidFeature.AVX, CpuidFeature.AES, CpuidFeature.PCLMULQDQ])

/** Names in iced's lists that are another spelling, or an operand size, of an instruction in ours. */
const SPELLINGS = new Set(
  (
    'FSTENV FSTCW FSTSW FCLEX FINIT FSAVE FENI FNENI FDISI FNDISI FSETPM FNSETPM FSTPNCE FFREEP ' + // with FWAIT; 8087 and 80287; aliases
    'SYSEXITQ SYSRETQ FXSAVE64 FXRSTOR64 XSAVE64 XRSTOR64 XSAVEOPT64 XSAVEC64 PCMPESTRM64 PCMPESTRI64 VPCMPESTRM64 VPCMPESTRI64'
  ).split(' '),
)

test('the lists of instructions by feature are those of iced-x86', () => {
  const lists = new Map<number, Set<string>>()
  const iced = new IcedInstruction()
  for (const name of Object.keys(Code)) {
    if (Number.isNaN(Number(name))) continue
    iced.code = Number(name)
    if (iced.encoding !== EncodingKind.Legacy && iced.encoding !== EncodingKind.VEX) continue
    const features = [...iced.cpuidFeatures()]
    for (const feature of features) {
      // What came with AVX's encodings of PCLMULQDQ and AES is told by AVX.
      const forms = iced.encoding === EncodingKind.VEX && features.includes(CpuidFeature.AVX)
      if (forms && feature !== CpuidFeature.AVX) continue
      if (forms && !features.every(other => WITH_AVX.has(other))) continue
      if (!lists.has(feature)) lists.set(feature, new Set())
      lists.get(feature)!.add(Mnemonic[iced.mnemonic].toUpperCase())
    }
  }
  for (const [feature, names] of Object.entries(ICED)) {
    const theirs = new Set(names.flatMap(name => [...lists.get(CpuidFeature[name])!]))
    const elsewhere = (mnemonic: string) =>
      // x87 instructions that came with CMOV and SSE3 are in iced's lists of both.
      (feature === 'fpu' &&
        (FEATURES.cmov.mnemonics.includes(mnemonic) || FEATURES.pni.mnemonics.includes(mnemonic))) ||
      // PADDQ on MMX registers came with SSE2 (SDM vol. 2, PADDQ).
      (feature === 'mmx' && mnemonic === 'PADDQ')
    const expected = [...theirs].filter(mnemonic => !SPELLINGS.has(mnemonic) && !elsewhere(mnemonic))
    assert.deepEqual([...FEATURES[feature].mnemonics].sort(), expected.sort(), feature)
  }
})

test('a feature with one instruction missing is not reported', () => {
  const define = (mnemonic: string, feature: string) => instruction(mnemonic, { encodings: [], feature, execute() {} })
  const all = FEATURES.ssse3.mnemonics.map(mnemonic => define(mnemonic, 'ssse3'))
  assert.deepEqual([...instructionFeatures(all)], ['ssse3'])
  assert.deepEqual([...instructionFeatures(all.slice(1))], [])
  assert.deepEqual(missingInstructions('ssse3', all.slice(1)), ['PSHUFB'])
  // The same mnemonic in another feature does not count.
  assert.deepEqual([...instructionFeatures([...all.slice(1), define('PSHUFB', 'mmx')])], [])
  assert.throws(() => instructionFeatures([define('X', 'sse5')]), /X belongs to sse5/)
})

test('every definition names a feature that exists, and none is left half done', () => {
  const present = instructionFeatures(instructions)
  for (const { feature } of instructions) {
    if (feature) assert.deepEqual(missingInstructions(feature, instructions), [], feature)
  }
  // x86-64-v2 and more.
  for (const feature of (
    'fpu tsc msr cx8 sep cmov clflush mmx fxsr sse sse2 pni pclmulqdq ssse3 cx16 sse4_1 sse4_2 movbe popcnt aes xsave rdrand ' +
    'fsgsbase invpcid rdseed smap sha_ni xsaveopt xsavec lahf_lm syscall rdtscp lm abm bmi1 bmi2 avx avx2 fma f16c'
  ).split(' ')) {
    assert.ok(present.has(feature), feature)
  }
})

test('no two features share a bit', () => {
  const places = Object.values(FEATURES).map(f => `${f.leaf}.${f.subleaf}.${f.register}.${f.bit}`)
  assert.equal(new Set(places).size, places.length)
})

const text = (...values: number[]): string => Buffer.from(Uint32Array.from(values).buffer).toString('latin1')

test('leaves of CPUID', () => {
  const cpuid = makeCpuid(['fpu', 'apic', 'sse2', 'xsave', 'xsavec', 'syscall', 'la57', 'lm'], {
    apicId: 3,
    hypervisor: { signature: 'KVMKVMKVM', leaves: new Map([[0x40000001, [1, 2, 3, 4]]]) },
  })
  const [highest, b, c, d] = cpuid(0, 0)
  assert.equal(highest, 0xd)
  assert.equal(text(b, d, c), 'GenuineIntel')
  assert.equal(
    text(...[2, 3, 4].flatMap(leaf => [...cpuid(0x80000000 + leaf, 0)])).replaceAll('\0', ''),
    'typetwo virtual processor',
  )
  const [signature, , ecx, edx] = cpuid(1, 0)
  assert.equal((signature >> 8) & 0xf, 6)
  assert.equal(((signature >> 4) & 0xf) | ((signature >> 12) & 0xf0), 0x36)
  assert.equal(edx, (1 << 0) | (1 << 9) | (1 << 26))
  assert.equal(ecx, ((1 << 26) | (1 << 31)) >>> 0)
  const state = { osxsave: true, apic: false, xcr0: 7, is64: false }
  assert.equal(cpuid(1, 0, state)[2], ((1 << 26) | (1 << 27) | (1 << 31)) >>> 0)
  assert.equal(cpuid(1, 0, state)[3], (1 << 0) | (1 << 26))
  assert.equal(cpuid(0x80000001, 0)[3], (1 << 11) | (1 << 29))
  assert.equal(cpuid(0x80000001, 0, state)[3], 1 << 29)
  assert.equal(cpuid(0x80000008, 0)[0], 40 | (57 << 8))
  assert.deepEqual(cpuid(0xd, 0), [3, 576, 576, 0])
  assert.deepEqual(cpuid(0xd, 0, state), [3, 832, 576, 0])
  // 32 KiB of 64-byte lines in 8 ways is 64 sets.
  assert.deepEqual(cpuid(4, 0), [0x121, 0x01c0003f, 63, 0])
  assert.deepEqual(cpuid(4, 3), [0, 0, 0, 0])
  assert.deepEqual(cpuid(0xb, 0), [0, 1, 0x100, 3])
  assert.deepEqual(cpuid(0xb, 2), [0, 0, 2, 3])
  assert.equal(text(...cpuid(0x40000000, 0).slice(1)).replaceAll('\0', ''), 'KVMKVMKVM')
  assert.equal(cpuid(0x40000000, 0)[0], 0x40000001)
  assert.deepEqual(cpuid(0x40000001, 7), [1, 2, 3, 4])
  assert.deepEqual(cpuid(0x40000002, 0), [0, 0, 0, 0])
  // Beyond the highest leaf: as the highest basic one.
  assert.deepEqual(cpuid(0x20, 0), cpuid(0xd, 0))
  assert.deepEqual(cpuid(0x80000020, 1), cpuid(0xd, 1))
  assert.throws(() => makeCpuid(['sse5']), /no CPUID feature is called sse5/)
})
