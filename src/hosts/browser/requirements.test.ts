import assert from 'node:assert/strict'
import { test } from 'node:test'
import { type BrowserScope, missingForMachines } from './requirements.ts'

const all: BrowserScope = {
  isSecureContext: true,
  crossOriginIsolated: true,
  SharedArrayBuffer,
  Worker: class {},
  WebAssembly,
}

test('a browser with everything lacks nothing', () => {
  // The probes are valid modules by an engine that has all features.
  assert.equal(missingForMachines(all), undefined)
})

test('what is missing is said in one sentence', () => {
  const cases: [BrowserScope, RegExp][] = [
    [{ WebAssembly: undefined }, /no WebAssembly/],
    [{ Worker: undefined }, /no workers/],
    [{ isSecureContext: false }, /https, or as localhost/],
    [{ crossOriginIsolated: false }, /Cross-Origin-Opener-Policy/],
    [{ SharedArrayBuffer: undefined }, /no SharedArrayBuffer/],
    [{ WebAssembly: { validate: bytes => !bytes.includes(18) } }, /lacks tail calls,/],
    [{ WebAssembly: { validate: () => false } }, /lacks threads and several memories and vectors/],
  ]
  for (const [less, expected] of cases) {
    const sentence = missingForMachines({ ...all, ...less })!
    assert.match(sentence, expected)
    assert.equal(sentence.split(/[.!] /).length, 1, sentence)
  }
})
