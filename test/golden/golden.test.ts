import assert from 'node:assert/strict'
import { readdirSync, readFileSync } from 'node:fs'
import { test } from 'node:test'
import { CASES } from './cases.ts'
import { FOLDER, fileOf } from './files.ts'
import { goldenText } from './golden.ts'

for (const golden of CASES) {
  test(`the translation of ${golden.name} is what its golden file says`, () => {
    const expected = readFileSync(fileOf(golden.name), 'utf8')
    assert.equal(goldenText(golden), expected, 'the emitted code changed: run npm run golden and read the diff')
  })
}

test('every golden file has its piece of guest code', () => {
  assert.deepEqual(readdirSync(FOLDER).sort(), CASES.map(({ name }) => `${name}.txt`).sort())
})
