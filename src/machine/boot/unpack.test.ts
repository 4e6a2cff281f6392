import assert from 'node:assert/strict'
import { test } from 'node:test'
import { unpackPayload } from './unpack.ts'

/** What `lz4 -l -9` made of {@link sample}. */
const PACKED = Buffer.from(
  'AiFMGCEGAACwBw4OFRUVHBwcHCMBABEqAQASMQEAEzgBABQ/AQAVRgEAFk0BABdUAQAYWwEAGWIBABppAQAbcAEAHHcBAB1+AQAehQEA' +
    'H4wBAAAfkwEAAR+aAQACH6EBAAMfqAEABB+vAQAFH7YBAAYfvQEABx/EAQAIH8sBAAkf0gEACh/ZAQALH+ABAAwf5wEADR/uAQAOH/UB' +
    'AA8fAQEAEB8IAQARHw8BABIfFgEAE7AkKysyMjI5OTk5QAEAEUcBABJOAQATVQEAFFwBABVjAQAWagEAF3EBABh4AQAZfwEAGoYBABuN' +
    'AQAclAEAHZsBAB6iAQAfqQEAAB+wAQABH7cBAAIfvgEAAx/FAQAEH8wBAAUf0wEABh/aAQAHH+EBAAgf6AEACR/vAQAKH/YBAAsfAgEA' +
    'DB8JAQANHxABAA4fFwEADx8eAQAQHyUBABEfLAEAEh8zAQATsEFISE9PT1ZWVlZdAQARZAEAEmsBABNyAQAUeQEAFYABABaHAQAXjgEA' +
    'GJUBABmcAQAaowEAG6oBAByxAQAduAEAHr8BAB/GAQAAH80BAAEf1AEAAh/bAQADH+IBAAQf6QEABR/wAQAGH/cBAAcfAwEACB8KAQAJ' +
    'HxEBAAofGAEACx8fAQAMHyYBAA0fLQEADh80AQAPHzsBABAfQgEAER9JAQASH1ABABOwXmVlbGxsc3Nzc3oBABGBAQASiAEAE48BABSW' +
    'AQAVnQEAFqQBABerAQAYsgEAGbkBABrAAQAbxwEAHM4BAB3VAQAe3AEAH+MBAAAf6gEAAR/xAQACH/gBAAMfBAEABB8LAQAFHxIBAAYf' +
    'GQEABx8gAQAIHycBAAkfLgEACh81AQALHzwBAAwfQwEADR9KAQAOH1EBAA8fWAEAEB9fAQARH2YBABIfbQEAE7B7goKJiYmQkJCQlwEA' +
    'EZ4BABKlAQATrAEAFLMBABW6AQAWwQEAF8gBABjPAQAZ1gEAGt0BABvkAQAc6wEAHfIBAB75AQAfBQEAAB8MAQABHxMBAAIfGgEAAx8h' +
    'AQAEHygBAAUfLwEABh82AQAHHz0BAAgfRAEACR9LAQAKH1IBAAsfWQEADB9gAQANH2cBAA4fbgEADx91AQAQH3wBABEfgwEAEh+KAQAT' +
    'sJifn6ampq2tra20AQARuwEAEsIBABPJAQAU0AEAFdcBABbeAQAX5QEAGOwBABnzAQAa+gEAGwYBABwNAQAdFAEAHhsBAB8iAQAAHykB' +
    'AAEfMAEAAh83AQADHz4BAAQfRQEABR9MAQAGH1MBAAcfWgEACB9hAQAJH2gBAAofbwEACx92AQAMH30BAA0fhAEADh+LAQAPH5IBABAf' +
    'mQEAER+gAQASH6cBABOwtby8w8PDysrKytEBABHYAQAS3wEAE+YBABTtAQAV9AEAFgABABcHAQAYDgEAGRUBABocAQAbIwEAHCoBAB0x' +
    'AQAeOAEAHz8BAAAfRgEAAQf4Eg8DEwQPDhMDDxkTBQ8kEwYPLxMHDzoTCA9FEwkPUBMKD1sTCw9mEwwPcRMND3wTDg+HEw8PkhMQD50T' +
    'EQ+oExIPsxMkBwEAEdJnEwUtEwnzEg25EgacEhYdAQAXJAEAGCsBABkyAQAaOQEAG0ABABxHAQAdTgEAHlUBAP8eVGhlIHF1aWNrIGJy' +
    'b3duIGZveCBqdW1wcyBvdmVyIHRoZSBsYXp5IGRvZy4gLQD///9H//EAIH4a9Axi9sjYJrJ8hMpOEBBOyoR8sibYyPZiDPQafiAAHnoU' +
    '7AJW6LjGEpxkaq4w8O4qpFxShviolsIs1LreQOC+2jTMorYImGZyvEQKDlDQjorEPPLmGIg2Iky0Wj5gwF46VKxCFih4BtLcJKpucLAu' +
    '6uQckkY4aNaCbJT6noCg/pp0jOJ2SFimMvwESs6QkM5KBPwyplhIduKMdJr+oICe+pRsgtZoOEaSHOTqLrBwbqok3NIGeCgWQqxUOl7A' +
    'YD5atEwiNogY5vI8xIqO0FAOCkS8cmaYCLaizDTavuBA3rrULMKWqPiGUlykKu7wMK5qZJwSxrjoVgLsFHoeAAH/qj9hYmMDAP///3Ef' +
    'AAEA/////////75QAAAAAAA=',
  'base64',
)

/** Runs, text, noise, a short period and zeros. */
function sample(): Uint8Array {
  const text = (s: string, times: number) => [...new TextEncoder().encode(s.repeat(times))]
  return new Uint8Array([
    ...Array.from({ length: 300 }, (_, i) => new Array(i % 40).fill((i * 7) % 251)).flat(),
    ...text('The quick brown fox jumps over the lazy dog. ', 20),
    ...Array.from({ length: 700 }, (_, i) => (i * i * 31 + i) % 256),
    ...text('abc', 300),
    ...new Array(2000).fill(0),
  ])
}

/** A payload: frames and the length of what they unpack to. */
function payload(length: number, ...frames: Uint8Array[]): Uint8Array {
  const tail = new Uint8Array(4)
  new DataView(tail.buffer).setUint32(0, length, true)
  return new Uint8Array([...frames, tail].flatMap(part => [...part]))
}

test('what lz4 packed is unpacked, one frame or two', () => {
  const wanted = sample()
  assert.deepEqual(unpackPayload(payload(wanted.length, PACKED)), wanted)
  const twice = unpackPayload(payload(2 * wanted.length, PACKED, PACKED))
  assert.deepEqual(twice, new Uint8Array([...wanted, ...wanted]))
})

test('what is no LZ4, is cut short or promises another length is left to the kernel', () => {
  const { length } = sample()
  assert.equal(unpackPayload(new Uint8Array(100)), undefined)
  assert.equal(unpackPayload(new Uint8Array(3)), undefined)
  assert.equal(unpackPayload(payload(length + 1, PACKED)), undefined)
  assert.equal(unpackPayload(payload(length - 1, PACKED)), undefined)
  assert.equal(unpackPayload(payload(0xfffffff0, PACKED)), undefined)
  for (let cut = 5; cut < PACKED.length; cut += 97)
    assert.equal(unpackPayload(payload(length, PACKED.subarray(0, cut))), undefined)
})

test('damage never reaches beyond the room', () => {
  const { length } = sample()
  for (let i = 8; i < PACKED.length; i++) {
    const bytes = PACKED.slice()
    bytes[i] ^= 0xff
    const made = unpackPayload(payload(length, bytes))
    assert.ok(made === undefined || made.length === length)
  }
})
