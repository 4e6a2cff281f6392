/**
 * `npm run disk-kill -- [--rounds N] [--seed S] [--format F] [--writer guest|process]`: kills machines whose guests write to images
 * of each format (or, with `--writer process`, processes that write to them) at random instants, by default 100 a format.
 */
import { join } from 'node:path'
import { parseArgs } from 'node:util'
import { FORMATS, type Format } from '../../src/disk/format-names.ts'
import { killGuests } from './guest-kill.ts'
import { killWriters } from './kill.ts'
import { scratch } from './qemu.ts'

const { values } = parseArgs({
  options: {
    rounds: { type: 'string', default: '100' },
    seed: { type: 'string', default: `${Date.now() % 2 ** 31}` },
    format: { type: 'string' },
    writer: { type: 'string', default: 'guest' },
  },
})
const formats = FORMATS.filter(format => values.format === undefined || values.format === format)
if (formats.length === 0) {
  console.error(`disk-kill: --format ${values.format}: there are ${FORMATS.join(', ')}`)
  process.exit(2)
}
if (values.writer !== 'guest' && values.writer !== 'process') {
  console.error(`disk-kill: --writer ${values.writer}: there are guest and process`)
  process.exit(2)
}
const kill = values.writer === 'guest' ? killGuests : killWriters
const { folder, remove } = scratch()
console.log(`seed ${values.seed}`)
try {
  for (const format of formats as Format[]) {
    const path = join(folder, `image.${format === 'raw' ? 'img' : format}`)
    await kill({ format, path, rounds: Number(values.rounds), seed: Number(values.seed) }, console.log)
  }
} finally {
  remove()
}
