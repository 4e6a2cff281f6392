/** A process that writes to an image until it is killed. */
import type { Format } from '../../src/disk/format-names.ts'
import { writeUntilKilled } from './kill.ts'

const [path, format, seed] = process.argv.slice(2)
await writeUntilKilled(path, format as Format, Number(seed))
