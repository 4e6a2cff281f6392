import assert from 'node:assert/strict'
import { test } from 'node:test'
import { parseSound } from './sound-options.ts'

test('--sound: nothing, a file, and a card; a comma in the path is written twice', () => {
  assert.equal(parseSound(undefined), undefined)
  assert.equal(parseSound('none'), undefined)
  assert.deepEqual(parseSound('wav:a.wav'), { path: 'a.wav', devices: ['speaker', 'sb16', 'ac97'] })
  assert.deepEqual(parseSound('wav:a,,b.wav,sb16'), { path: 'a,b.wav', devices: ['speaker', 'sb16'] })
})

test('--sound: what is wrong is named', () => {
  for (const [text, pattern] of [
    ['mp3:x', /--sound 'mp3:x': give none or wav:FILE/],
    ['wav:', /the path of a file comes first/],
    ['wav:x,sb61', /there is no card 'sb61'; did you mean sb16\?/],
    ['wav:x,sb16,ac97', /'ac97' is too much/],
  ] as const)
    assert.throws(() => parseSound(text), pattern)
})
