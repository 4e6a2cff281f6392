import assert from 'node:assert/strict'
import { test } from 'node:test'
import { linuxRom } from './linux-rom.ts'

/** A bzImage of nothing but its header: protocol 2.10, loaded high, `initSize` bytes while it starts. */
function image(initSize: number): Uint8Array {
  const kernel = new Uint8Array(4096)
  const view = new DataView(kernel.buffer)
  kernel[0x1f1] = 3
  kernel.set([0x55, 0xaa, 0xeb, 0x66], 0x1fe)
  kernel.set(new TextEncoder().encode('HdrS'), 0x202)
  view.setUint16(0x206, 0x020a, true)
  kernel[0x211] = 1
  view.setUint32(0x22c, 0x37ffffff, true)
  view.setUint32(0x238, 100, true)
  view.setUint32(0x258, 0x1000000, true)
  view.setUint32(0x260, initSize, true)
  return kernel
}

const options = { initrd: new Uint8Array(5000), commandLine: 'quiet', extendedEnd: 64 << 20 }
const sum = (bytes: Uint8Array) => bytes.reduce((a, b) => a + b, 0) & 0xff

test('a ROM with a Plug and Play header that can be booted, and transfers that put the parts in their places', () => {
  const { rom, setup } = linuxRom(image(1 << 20), options)
  const view = new DataView(rom.buffer)
  assert.deepEqual([rom[0], rom[1], rom[2] * 512], [0x55, 0xaa, rom.length])
  assert.equal(sum(rom), 0)
  const pnp = view.getUint16(0x1a, true)
  assert.equal(String.fromCharCode(...rom.subarray(pnp, pnp + 4)), '$PnP')
  assert.equal(sum(rom.subarray(pnp, pnp + rom[pnp + 5] * 16)), 0)
  // The bootstrap entry vector: code that begins with CLI.
  assert.equal(rom[view.getUint16(pnp + 0x1a, true)], 0xfa)

  const transfers = new Map<number, { length: number; address: number }>()
  for (let at = 0; at + 16 <= rom.length; at += 16)
    if (view.getUint16(at + 2) === 10 && view.getUint32(at + 4) > 0)
      transfers.set(view.getUint16(at), { length: view.getUint32(at + 4), address: view.getUint32(at + 12) })
  assert.deepEqual(transfers.get(0x18), { length: 2048, address: 0x10000 })
  assert.deepEqual(transfers.get(0x15), { length: 6, address: 0x20000 })
  assert.deepEqual(transfers.get(0x11), { length: 2048, address: 0x100000 })
  // The initrd ends a megabyte below the end of memory.
  assert.deepEqual(transfers.get(0x12), { length: 5000, address: (63 << 20) - 8192 })

  const header = new DataView(setup.buffer)
  assert.equal(header.getUint32(0x218, true), (63 << 20) - 8192)
  assert.equal(header.getUint32(0x21c, true), 5000)
  assert.equal(header.getUint32(0x228, true), 0x20000)
  assert.equal(setup[0x210], 0xff)
})

test('what a BIOS cannot boot is refused with a sentence', () => {
  assert.throws(() => linuxRom(new Uint8Array(4096), options), /no Linux bzImage.*leave out --bios/)
  assert.throws(() => linuxRom(image(48 << 20), options), /needs 65\.\d MiB of memory.*has 64\.0 MiB.*--memory/)
  assert.throws(() => linuxRom(image(1), { ...options, commandLine: 'x'.repeat(101) }), /101 bytes.*at most 100/)
  const old = image(1)
  old[0x206] = 3
  assert.throws(() => linuxRom(old, options), /older than Linux boot protocol 2\.4/)
})
