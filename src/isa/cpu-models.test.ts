import assert from 'node:assert/strict'
import { test } from 'node:test'
import { CPU_MODELS, type CpuModel } from './cpu-models.ts'
import { makeCpuid } from './cpuid.ts'
import { FEATURES } from './features.ts'

/** Leaf 1's EDX and ECX as the data sheets of these processors have them, of what is emulated. */
const KNOWN: Record<keyof typeof CPU_MODELS, { edx: number; ecx: number; family: number }> = {
  '486': { edx: 0x00000003, ecx: 0, family: 4 },
  pentium: { edx: 0x008003bf, ecx: 0, family: 5 },
  pentium3: { edx: 0x0383fbff, ecx: 0, family: 6 },
  core2: { edx: 0x078bfbff, ecx: 0x80002201, family: 6 },
}

test('CPUID of the processors of the past', () => {
  for (const [name, model] of Object.entries(CPU_MODELS) as [keyof typeof CPU_MODELS, CpuModel][]) {
    for (const feature of model.features) assert.ok(FEATURES[feature], feature)
    const cpuid = makeCpuid(model.features, model)
    const [signature, , ecx, edx] = cpuid(1, 0)
    const { family, ...bits } = KNOWN[name]
    // APIC: without a state it is as before any system ran.
    assert.deepEqual({ edx: edx & ~0, ecx: ecx >>> 0 }, { edx: bits.edx | 0, ecx: bits.ecx }, name)
    assert.equal((signature >> 8) & 15, family)
    assert.equal(cpuid(0, 0)[0], model.highestBasic)
    // Whoever reads of leaf 4 here looks for it without end where there is none.
    if (model.highestBasic < 4)
      for (const word of cpuid(2, 0)) for (const shift of [0, 8, 16, 24]) assert.notEqual((word >>> shift) & 0xff, 0xff)
    if (model.highestExtended === 0) assert.deepEqual(cpuid(0x80000000, 0), cpuid(model.highestBasic, 0))
    else assert.equal(cpuid(0x80000000, 0)[0], model.highestExtended)
  }
})
