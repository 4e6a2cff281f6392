/** `npm run golden`: writes the golden files anew. What changed is then a diff to be read. */
import { mkdirSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { CASES } from './cases.ts'
import { FOLDER, fileOf } from './files.ts'
import { goldenText } from './golden.ts'

mkdirSync(FOLDER, { recursive: true })
const names = new Set(CASES.map(({ name }) => fileOf(name)))
for (const file of readdirSync(FOLDER)) if (!names.has(FOLDER + file)) rmSync(FOLDER + file)

const bytesOf = (text: string): number => Number(/(\d+) bytes of WebAssembly/.exec(text)?.[1] ?? 0)
let [before, after] = [0, 0]
for (const golden of CASES) {
  const file = fileOf(golden.name)
  let old = ''
  try {
    old = readFileSync(file, 'utf8')
  } catch {}
  const text = goldenText(golden)
  before += bytesOf(old)
  after += bytesOf(text)
  if (text === old) continue
  writeFileSync(file, text)
  console.log(`${golden.name.padEnd(20)} ${bytesOf(old)} → ${bytesOf(text)} bytes`)
}
console.log(`${CASES.length} files, ${before} → ${after} bytes of WebAssembly`)
