import assert from 'node:assert/strict'
import { spawnSync } from 'node:child_process'
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { test } from 'node:test'
import { FIRMWARE_START, TABLES_END } from '../boot/layout.ts'
import { eisaId, integer, name, nameString, packageOf, scope, string } from './aml.ts'
import { acpiTables } from './tables.ts'

const options = {
  processors: [0],
  ioApicId: 1,
  powerManagementBase: 0x600,
  hpetCapabilities: 0x8086a201,
  pciMemoryStart: 0xc0000000,
  pciInterrupt: (slot: number, pin: number) => 16 + ((slot + pin) % 4),
  pciIrq: (slot: number, pin: number) => [10, 11][(slot + pin) % 2],
}

const floppy = { type: 4, cylinders: 80, heads: 2, sectors: 18 }
const everyIsaDevice = { floppies: [floppy, floppy] }

const sum = (bytes: Uint8Array) => bytes.reduce((a, b) => a + b, 0) & 0xff

test('AML terms are encoded as the specification shows', () => {
  assert.deepEqual(nameString('\\'), [0x5c, 0x00])
  assert.deepEqual(nameString('\\_SB.PCI0'), [0x5c, 0x2e, ...Buffer.from('_SB_PCI0')])
  assert.deepEqual(nameString('A.B.C'), [0x2f, 3, ...Buffer.from('A___B___C___')])
  assert.deepEqual(eisaId('PNP0A03'), [0x0c, 0x41, 0xd0, 0x0a, 0x03])
  assert.deepEqual(integer(0x1234), [0x0b, 0x34, 0x12])
  assert.deepEqual(integer(2 ** 32), [0x0e, 0, 0, 0, 0, 1, 0, 0, 0])
  assert.deepEqual(packageOf(integer(0), integer(5)), [0x12, 5, 2, 0x00, 0x0a, 5])
  // A scope of more than 63 bytes has a two-byte length: 6 bits of count and low nibble, then the rest.
  const long = scope('\\', name('X', string('a'.repeat(100))))
  assert.equal(long[0], 0x10)
  assert.equal((long[1] & 0x0f) | (long[2] << 4), long.length - 1)
  assert.equal(long[1] >> 6, 1)
})

test('a guest finds every table from the root pointer, and every checksum is 0', () => {
  const { bytes, address, rsdp } = acpiTables(FIRMWARE_START, { ...options, ...everyIsaDevice })
  assert.ok(address + bytes.length <= TABLES_END, 'kernels may be loaded behind them')
  const view = new DataView(bytes.buffer)
  const at = rsdp - address
  assert.equal(Buffer.from(bytes.subarray(at, at + 8)).toString(), 'RSD PTR ')
  assert.equal(rsdp % 16, 0)
  assert.equal(sum(bytes.subarray(at, at + 20)), 0)
  assert.equal(sum(bytes.subarray(at, at + 36)), 0)
  const read = (where: number) => {
    const offset = where - address
    return bytes.subarray(offset, offset + view.getUint32(offset + 4, true))
  }
  const rsdt = view.getUint32(at + 16, true)
  const xsdt = Number(view.getBigUint64(at + 24, true))
  const count = (read(rsdt).length - 36) / 4
  const found: string[] = []
  for (let i = 0; i < count; i++) {
    const pointer = view.getUint32(rsdt - address + 36 + 4 * i, true)
    assert.equal(Number(view.getBigUint64(xsdt - address + 36 + 8 * i, true)), pointer)
    assert.equal(sum(read(pointer)), 0)
    found.push(Buffer.from(read(pointer).subarray(0, 4)).toString())
  }
  assert.deepEqual(found, ['FACP', 'APIC', 'HPET', 'WAET'])
  assert.equal(sum(read(rsdt)), 0)
  assert.equal(sum(read(xsdt)), 0)
  const fadt = view.getUint32(rsdt - address + 36, true) - address
  const dsdt = view.getUint32(fadt + 40, true)
  assert.equal(sum(read(dsdt)), 0)
  assert.equal(view.getUint32(fadt + 36, true) % 64, 0)
})

const iasl = spawnSync('iasl', ['-v']).status === 0

test('iasl disassembles every table and compiles the result again', { skip: !iasl && 'iasl is not installed' }, () => {
  const folder = mkdtempSync(join(tmpdir(), 'typetwo-acpi-'))
  try {
    // Of a machine with PCI Express, which has all tables.
    const { bytes, address, tables } = acpiTables(0xe0000, {
      ...options,
      configurationBase: 0xb0000000,
      ...everyIsaDevice,
    })
    assert.ok(tables.some(({ signature }) => signature === 'MCFG'))
    for (const { signature, address: at, length } of tables) {
      if (signature === 'RSDT' || signature === 'XSDT') continue
      const file = join(folder, signature)
      writeFileSync(`${file}.aml`, bytes.subarray(at - address, at - address + length))
      const disassembled = spawnSync('iasl', ['-d', `${file}.aml`], { encoding: 'utf8' })
      assert.equal(disassembled.status, 0, disassembled.stderr)
      assert.doesNotMatch(readFileSync(`${file}.dsl`, 'utf8'), /ERROR|Invalid|Unknown/i)
      const compiled = spawnSync('iasl', ['-p', join(folder, 'again'), `${file}.dsl`], { encoding: 'utf8' })
      assert.equal(compiled.status, 0, compiled.stdout + compiled.stderr)
      if (signature === 'DSDT') assert.match(compiled.stdout, /0 Errors, 0 Warnings/)
    }
  } finally {
    rmSync(folder, { recursive: true })
  }
})
