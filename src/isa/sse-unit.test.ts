/** The checks before SSE and MMX instructions, and the MMX registers' place in the x87 state. */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { F } from '../cpu/state.ts'
import { link } from '../float/native.ts'
import { enterMmx, readMmxRegister, writeMmxRegister } from './mmx-unit.ts'
import { MF, NM, routine, UD } from './semantics.ts'
import { avxCheck, mmxCheck, sseCheck } from './sse-unit.ts'

const EM = 1 << 2
const TS = 1 << 3
const NE = 1 << 5
const OSFXSR = 1 << 9

test('SSE needs CR4.OSFXSR set, CR0.EM and CR0.TS clear, in this order', () => {
  const { state, call } = link([sseCheck])
  const result = (cr0: number, cr4: number) => {
    state.set32(F.fault, 0)
    state.set32(F.cr0, cr0)
    state.set32(F.cr4, cr4)
    const refused = call(sseCheck)
    assert.equal(state.get32(F.fault), refused)
    if (refused) assert.equal(state.get32(F.faultErrorCode) | 0, -1)
    return refused ? state.get32(F.faultVector) : undefined
  }
  assert.equal(result(0, OSFXSR), undefined)
  assert.equal(result(0, 0), UD)
  assert.equal(result(EM | TS, OSFXSR), UD)
  assert.equal(result(TS, OSFXSR), NM)
  assert.equal(result(TS, 0), UD)
})

test('AVX needs CR4.OSXSAVE, SSE and AVX in XCR0, and CR0.TS clear, in this order', () => {
  const { state, call } = link([avxCheck])
  const OSXSAVE = 1 << 18
  const result = (cr0: number, cr4: number, xcr0: number) => {
    state.set32(F.fault, 0)
    state.set32(F.cr0, cr0)
    state.set32(F.cr4, cr4)
    state.set32(F.xcr0, xcr0)
    return call(avxCheck) ? state.get32(F.faultVector) : undefined
  }
  assert.equal(result(0, OSXSAVE, 7), undefined)
  // Neither CR0.EM nor CR4.OSFXSR matters.
  assert.equal(result(EM, OSXSAVE, 7), undefined)
  assert.equal(result(0, OSFXSR, 7), UD)
  assert.equal(result(TS, OSXSAVE, 3), UD)
  assert.equal(result(0, OSXSAVE, 5), UD)
  assert.equal(result(TS, OSXSAVE, 7), NM)
})

test('MMX is refused by CR0.EM, CR0.TS and a pending x87 exception, in this order', () => {
  const { state, call } = link([mmxCheck])
  const result = (cr0: number, fsw: number, fcw: number) => {
    state.set32(F.fault, 0)
    state.set32(F.cr0, cr0)
    state.set32(F.fsw, fsw)
    state.set32(F.fcw, fcw)
    return call(mmxCheck) ? state.get32(F.faultVector) : undefined
  }
  assert.equal(result(0, 0x3f, 0x37f), undefined)
  assert.equal(result(EM | TS, 0x81, 0x37e), UD)
  assert.equal(result(TS, 0x81, 0x37e), NM)
  assert.equal(result(NE, 0x81, 0x37e), MF)
})

test('an MMX instruction makes TOP 0 and all registers valid, and a write sets the exponent', () => {
  const enter = routine('enter', [32, 64], 64, (code, n, value) => {
    enterMmx(code)
    writeMmxRegister(code, n, value)
    return readMmxRegister(code, n)
  })
  const { state, call } = link([enter])
  state.set32(F.fsw, 0xffff)
  state.set32(F.ftw, 0xffff)
  assert.equal(call(enter, 5, 0x123456789abcdefn), 0x123456789abcdefn)
  assert.equal(state.get32(F.fsw), 0xc7ff)
  assert.equal(state.get32(F.ftw), 0)
  const exponents = [4, 5, 6].map(
    n => state.bytes[F.fpr.offset + n * 16 + 8] | (state.bytes[F.fpr.offset + n * 16 + 9] << 8),
  )
  assert.deepEqual(exponents, [0, 0xffff, 0])
})
