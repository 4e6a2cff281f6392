/**
 * `npm run disk-kill -- [--rounds N] [--seed S] [--format F]`: kills writers of images of each format at random
 * instants, by default 100 a format.
 */
import { join } from 'node:path'
import { parseArgs } from 'node:util'
import { FORMATS, type Format } from '../../src/disk/formats.ts'
import { killWriters } from './kill.ts'
import { scratch } from './qemu.ts'

const { values } = parseArgs({
  options: {
    rounds: { type: 'string', default: '100' },
    seed: { type: 'string', default: `${Date.now() % 2 ** 31}` },
    format: { type: 'string' },
  },
})
const formats = FORMATS.filter(format => values.format === undefined || values.format === format)
const { folder, remove } = scratch()
console.log(`seed ${values.seed}`)
for (const format of formats as Format[]) {
  const path = join(folder, `image.${format === 'raw' ? 'img' : format}`)
  await killWriters({ format, path, rounds: Number(values.rounds), seed: Number(values.seed) }, console.log)
}
remove()
