/** Thousands of random cases against this machine's processor; `main.ts` beside runs millions. */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { randomSource } from '../../src/isa/assembler.ts'
import { Decoder } from '../../src/isa/decoder.ts'
import { forms } from '../../src/isa/index.ts'
import { makeCase } from './cases.ts'
import { compare } from './compare.ts'
import { runConformance } from './conformance.ts'
import { nativeFeatures, nativeProcessor } from './native.ts'
import { RECORD_FLAGS, RECORD_GPR, RECORD_SIZE } from './record.ts'

const COUNT = 12000

for (const bits of [64, 32] as const) {
  const native = nativeProcessor(bits)
  const skip = typeof native === 'string' && `NOT COMPARED WITH THE PROCESSOR: ${native}`
  if (skip) console.error(`${bits}-bit instructions: ${skip}`)

  test(`${bits}-bit instructions do what this machine's processor does`, { skip }, () => {
    assert.ok(typeof native !== 'string')
    const { flags } = nativeFeatures()
    const report = runConformance({ bits, count: COUNT, seed: bits, native, features: flags })
    assert.deepEqual(report.failures, [])
    assert.ok(report.compared > COUNT / 2, `only ${report.compared} of ${COUNT} cases could be compared`)
    assert.ok(report.forms > 300, `only ${report.forms} encodings were tried`)
  })

  // Each case is a region of its own to be made, so there are fewer.
  test(`${bits}-bit instructions do the same translated`, { skip }, () => {
    assert.ok(typeof native !== 'string')
    const { flags } = nativeFeatures()
    const report = runConformance({
      bits,
      engine: 'translator',
      count: 4000,
      seed: 100 + bits,
      native,
      features: flags,
    })
    assert.deepEqual(report.failures, [])
    assert.ok(report.compared > 2000, `only ${report.compared} of 4000 cases could be compared`)
  })

  test(`${bits}-bit: a wrong register, flag or byte of memory is seen`, { skip }, () => {
    assert.ok(typeof native !== 'string')
    const form = forms.find(f => f.encoding === '01 /r  Ev,Gv' && f.instruction.mnemonic === 'ADD')
    assert.ok(form)
    const before = new Uint8Array(RECORD_SIZE)
    const record = new DataView(before.buffer)
    const decoded = makeCase(record, form, bits, new Decoder(forms), randomSource(3))
    assert.ok(decoded)
    const theirs = native(before)
    const result = new DataView(theirs.buffer, theirs.byteOffset)
    // As ours, but for where the end is reported.
    const copyWith = (offset: number, bit: number): DataView => {
      const ours = new DataView(theirs.slice().buffer)
      ours.setBigUint64(160, ours.getBigUint64(160, true) - 1n, true)
      if (offset >= 0) ours.setUint8(offset, ours.getUint8(offset) ^ bit)
      return ours
    }
    const differences = (offset: number, bit: number) => compare(decoded, record, result, copyWith(offset, bit), false)
    assert.deepEqual(differences(-1, 0), [])
    assert.match(differences(RECORD_GPR + 3 * 8, 1)!.join(), /^rbx/)
    assert.match(differences(RECORD_FLAGS, 0x40)!.join(), /^flags/)
    assert.match(differences(184, 1)!.join(), /^memory/)
  })
}
