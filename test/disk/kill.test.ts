import { join } from 'node:path'
import { after, test } from 'node:test'
import type { Format } from '../../src/disk/format-names.ts'
import { killWriters } from './kill.ts'
import { scratch, withoutQemu } from './qemu.ts'

const { folder, remove } = scratch()
after(remove)

for (const [i, format] of (['qcow2', 'vhdx', 'vmdk', 'vdi', 'vhd'] satisfies Format[]).entries()) {
  test(`a writer is killed: ${format}`, { skip: withoutQemu }, async () => {
    const seed = Math.floor(Math.random() * 2 ** 31)
    try {
      await killWriters({ format, path: join(folder, `${i}.${format}`), rounds: 3, seed })
    } catch (error) {
      throw new Error(`with seed ${seed}`, { cause: error })
    }
  })
}
