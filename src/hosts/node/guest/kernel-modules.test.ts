import assert from 'node:assert/strict'
import { spawnSync } from 'node:child_process'
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, test } from 'node:test'
import {
  describeModule,
  inLoadOrder,
  type KernelModule,
  moduleName,
  modulesAlias,
  modulesDep,
} from './kernel-modules.ts'

const folder = mkdtempSync(join(tmpdir(), 'typetwo-modules-'))
after(() => rmSync(folder, { recursive: true }))

/** A relocatable ELF file with a `.modinfo`, made by the host's assembler. */
function assemble(width: '32' | '64'): Uint8Array | undefined {
  const source =
    '.section .modinfo\n.asciz "license=GPL"\n.asciz "depends=virtio,virtio-ring"\n.asciz "alias=pci:v1d*"\n'
  writeFileSync(join(folder, 'm.s'), `${source}.text\nnop\n`)
  const run = spawnSync('as', [`--${width}`, '-o', join(folder, 'm.ko'), join(folder, 'm.s')])
  return run.status === 0 ? readFileSync(join(folder, 'm.ko')) : undefined
}

for (const width of ['32', '64'] as const) {
  const image = assemble(width)
  test(`reads .modinfo of a ${width}-bit module`, { skip: image ? false : 'there is no x86 assembler' }, () => {
    assert.deepEqual(describeModule('kernel/drivers/my-driver.ko', image!), {
      name: 'my_driver',
      path: 'kernel/drivers/my-driver.ko',
      depends: ['virtio', 'virtio_ring'],
      aliases: ['pci:v1d*'],
    })
  })
  test(`a truncated ${width}-bit module is refused`, { skip: image ? false : 'there is no x86 assembler' }, () => {
    assert.throws(() => describeModule('m.ko', image!.subarray(0, image!.length - 80)), /m\.ko is not a kernel module/)
  })
}

test('what is no ELF file is refused', () => {
  assert.throws(
    () => describeModule('m.ko', new Uint8Array(100)),
    /^Error: m\.ko is not a kernel module: it is not an ELF/,
  )
})

const modules: Record<string, KernelModule> = Object.fromEntries(
  Object.entries({
    virtio: [],
    virtio_ring: ['virtio'],
    virtio_pci: ['virtio_ring', 'virtio'],
    loop: ['pool'],
    pool: ['loop'],
  }).map(([name, depends]) => [name, { name, path: `kernel/${name}.ko`, depends, aliases: [`x:${name}`] }]),
)
const find = (name: string) => modules[name]

test('modules come after what they need', () => {
  const order = inLoadOrder(['virtio-pci', 'built-in'], find).map(module => module.name)
  assert.deepEqual(order, ['virtio', 'virtio_ring', 'virtio_pci'])
  assert.throws(() => inLoadOrder(['loop'], find), /loop → pool → loop need each other/)
})

test('modules.dep and modules.alias have the form depmod writes', () => {
  const order = inLoadOrder(['virtio_pci'], find)
  assert.equal(
    modulesDep(order),
    'kernel/virtio.ko:\nkernel/virtio_ring.ko: kernel/virtio.ko\n' +
      'kernel/virtio_pci.ko: kernel/virtio_ring.ko kernel/virtio.ko\n',
  )
  assert.equal(modulesAlias(order).split('\n')[0], 'alias x:virtio virtio')
})

test('module names are as the kernel writes them', () => {
  assert.equal(moduleName('a/virtio-rng.ko.xz'), 'virtio_rng')
})
