import assert from 'node:assert/strict'
import { mkdirSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { after, test } from 'node:test'
import { createQcow2 } from '../../src/disk/qcow2/create.ts'
import { openFile } from '../../src/hosts/node/byte-file.ts'
import { openDisk } from '../../src/hosts/node/disks.ts'
import { damage, KINDS } from './malformed.ts'
import { scratch } from './qemu.ts'

const { folder, remove } = scratch()
after(remove)

for (const kind of KINDS) {
  test(`damaged images: ${Object.values(kind).join(', ')}`, async () => {
    const seed = Math.floor(Math.random() * 2 ** 31)
    try {
      await damage(kind, 100, seed)
    } catch (error) {
      throw new Error(`with seed ${seed}`, { cause: error })
    }
  })
}

async function qcow2(name: string, backingFile: string, backingFormat?: string): Promise<string> {
  const path = join(folder, name)
  const file = await openFile(path, { create: true })
  await createQcow2(file, { size: 2 ** 20, backingFile, backingFormat })
  await file.close()
  return path
}

test('backing files that lead back, far away or nowhere', async () => {
  const first = await qcow2('first.qcow2', 'second.qcow2', 'qcow2')
  await qcow2('second.qcow2', 'third.qcow2', 'qcow2')
  await qcow2('third.qcow2', 'second.qcow2', 'qcow2')
  await assert.rejects(openDisk(first), /whose own backing files lead back to it/)
  await assert.rejects(openDisk(await qcow2('self.qcow2', 'self.qcow2', 'qcow2')), /lead back to it/)
  await assert.rejects(
    openDisk(await qcow2('none.qcow2', 'nothing.qcow2', 'qcow2')),
    /nothing.qcow2' cannot be opened: it does not exist/,
  )
  for (const name of ['/etc/passwd', '../outside.qcow2', 'folder/../../x']) {
    const path = await qcow2(`out${name.replaceAll(/\W/g, '')}.qcow2`, name, 'raw')
    await assert.rejects(openDisk(path), /which lies outside of the image's folder/)
  }
  await assert.rejects(
    openDisk(await qcow2('url.qcow2', 'nbd://host/disk', 'raw')),
    /is no file: only files are supported/,
  )
  await assert.rejects(
    openDisk(await qcow2('odd.qcow2', 'self.qcow2', 'parallels')),
    /whose format 'parallels' is not known/,
  )
  let below = await qcow2('chain0.qcow2', 'end.img', 'raw')
  writeFileSync(join(folder, 'end.img'), new Uint8Array(2 ** 20))
  for (let i = 1; i < 70; i++) below = await qcow2(`chain${i}.qcow2`, `chain${i - 1}.qcow2`, 'qcow2')
  await assert.rejects(openDisk(below), /above it are 64 images already/)
  // Nothing is left open, or locked, of what was refused.
  await (await openFile(first)).close()
  await (await openFile(join(folder, 'chain5.qcow2'))).close()
})

test('an image that is in use is refused, and as a backing file too', async () => {
  mkdirSync(join(folder, 'use'))
  const base = join(folder, 'use/base.img')
  writeFileSync(base, new Uint8Array(2 ** 20))
  const path = await qcow2('use/top.qcow2', 'base.img', 'raw')
  const top = await openDisk(path)
  await assert.rejects(openDisk(path), /in use by another machine or program/)
  await assert.rejects(openDisk(base), /in use/)
  const other = await openDisk(base, { readOnly: true })
  await other.close()
  await top.close()
  const writer = await openDisk(base)
  await assert.rejects(openDisk(path), /base.img' is in use/)
  await writer.close()
  await (await openDisk(path)).close()
})

test('a raw disk is never guessed to be, or not to be, one where a guest could have written it', async () => {
  const image = join(folder, 'guest.img')
  writeFileSync(image, new Uint8Array(2 ** 20))
  const disk = await openDisk(image)
  // A guest makes its disk look like an image that names a file of the host.
  const lie = await qcow2('lie.qcow2', '/etc/passwd', 'raw')
  const file = await openFile(lie, { readOnly: true })
  const header = new Uint8Array(512)
  await file.read(0, header)
  await file.close()
  await disk.write(0, header)
  await disk.close()
  await assert.rejects(openDisk(image), /is named as if it were raw, but begins as qcow2 does: say which format it has/)
  const again = await openDisk(image, { format: 'raw' })
  const bytes = new Uint8Array(512)
  await again.read(0, bytes)
  assert.deepEqual(bytes, header)
  await again.close()
  const unnamed = join(folder, 'unnamed')
  writeFileSync(unnamed, new Uint8Array(2 ** 20))
  await assert.rejects(openDisk(unnamed), /is of no known format: if it is a raw disk, say that its format is raw/)
  await assert.rejects(
    openDisk(unnamed, { format: 'zip' as 'raw' }),
    /there is no image format 'zip': choose raw, qcow2/,
  )
  await (await openDisk(unnamed, { format: 'raw' })).close()
  await (await openDisk(unnamed, { readOnly: true })).close()
})
