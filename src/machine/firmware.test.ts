import assert from 'node:assert/strict'
import { test } from 'node:test'
import { FW_CFG, FwCfg } from '../devices/fw-cfg.ts'
import { TestBus } from '../devices/test-bus.ts'
import type { AcpiOptions } from './acpi/tables.ts'
import { cmosContents } from './cmos.ts'
import { describeMachine, offerKernel } from './firmware.ts'

const acpi = (): AcpiOptions => ({
  processors: [0],
  ioApicId: 0,
  powerManagementBase: 0xb000,
  hpetCapabilities: 0x8086a201,
  pciMemoryStart: 0x80000000,
  pciInterrupt: (slot, pin) => 16 + ((slot + pin) & 3),
  pciIrq: () => 11,
})

/** fw_cfg of a machine with 5 GiB, and a reader of its files. */
function setUp() {
  const bus = new TestBus(0x100000)
  const fwCfg = new FwCfg(bus)
  describeMachine(fwCfg, {
    regions: [
      { start: 0, length: 0xc0000000 },
      { start: 2 ** 32, length: 0x80000000 },
    ],
    acpi,
    boot: { menu: true },
    signature: 0x6d8,
    features: 0x1f,
    consolePort: 0x3f8,
    bootPaths: () => ['/pci@i0cf8/ide@1,1/drive@0/disk@0'],
  })
  const item = (key: number, length: number) => {
    bus.out(0x510, key, 2)
    return Buffer.from(Array.from({ length }, () => bus.in(0x511)))
  }
  const files = new Map<string, Buffer>()
  const count = item(0x19, 4).readUInt32BE()
  const directory = item(0x19, 4 + 64 * count)
  for (let at = 4; at < directory.length; at += 64) {
    const name = directory.toString('latin1', at + 8, at + 64).replace(/\0.*/s, '')
    files.set(name, item(directory.readUInt16BE(at + 4), directory.readUInt32BE(at)))
  }
  return { fwCfg, item, files }
}

test('memory, boot menu and order', () => {
  const { item, files } = setUp()
  const e820 = files.get('etc/e820')!
  assert.equal(e820.length, 40)
  assert.deepEqual(
    [e820.readBigUInt64LE(20), e820.readBigUInt64LE(28), e820.readUInt32LE(36)],
    [2n ** 32n, 2n ** 31n, 1],
  )
  assert.equal(item(FW_CFG.RAM_SIZE, 8).readBigUInt64LE(), 0x140000000n)
  assert.equal(item(FW_CFG.BOOT_MENU, 2).readUInt16LE(), 1)
  assert.equal(files.get('bootorder')!.toString(), '/pci@i0cf8/ide@1,1/drive@0/disk@0\0')
  assert.equal(files.get('etc/sercon-port')!.readUInt16LE(), 0x3f8)
})

test('who follows the loader commands has tables that a guest can follow, with right checksums', () => {
  const { files } = setUp()
  const script = files.get('etc/table-loader')!
  const text = (at: number) => script.toString('latin1', at, at + 56).replace(/\0.*/s, '')
  const address = new Map<string, number>()
  let next = 0x7fe0000
  for (let at = 0; at < script.length; at += 128) {
    const file = text(at + 4)
    const bytes = files.get(file)!
    switch (script.readUInt32LE(at)) {
      case 1:
        assert.equal(next % script.readUInt32LE(at + 60), 0)
        address.set(file, next)
        next += 0x10000
        break
      case 2: {
        const offset = script.readUInt32LE(at + 116)
        const size = script[at + 120]
        bytes.writeUIntLE(
          bytes.readUIntLE(offset, Math.min(size, 6)) + address.get(text(at + 60))!,
          offset,
          Math.min(size, 6),
        )
        break
      }
      case 3: {
        const [offset, start, length] = [60, 64, 68].map(field => script.readUInt32LE(at + field))
        // SeaBIOS subtracts the sum from what is there, EDK II puts its complement there: the same only for 0.
        assert.ok(bytes[offset] === 0 || file.endsWith('rsdp'))
        bytes[offset] -= bytes.subarray(start, start + length).reduce((a, b) => a + b, 0)
        break
      }
      default:
        assert.fail(`command ${script.readUInt32LE(at)}`)
    }
  }
  const sum = (bytes: Buffer) => bytes.reduce((a, b) => a + b, 0) & 0xff
  const rsdp = files.get('etc/acpi/rsdp')!
  assert.equal(rsdp.toString('latin1', 0, 8), 'RSD PTR ')
  assert.deepEqual([sum(rsdp.subarray(0, 20)), sum(rsdp)], [0, 0])
  const tables = files.get('etc/acpi/tables')!
  const table = (at: number) => {
    const offset = at - address.get('etc/acpi/tables')!
    return tables.subarray(offset, offset + tables.readUInt32LE(offset + 4))
  }
  const xsdt = table(Number(rsdp.readBigUInt64LE(24)))
  assert.equal(sum(xsdt), 0)
  const found: string[] = []
  for (let at = 36; at < xsdt.length; at += 8) {
    const listed = table(Number(xsdt.readBigUInt64LE(at)))
    assert.equal(sum(listed), 0)
    found.push(listed.toString('latin1', 0, 4))
    if (found.at(-1) === 'FACP') assert.equal(table(listed.readUInt32LE(40)).toString('latin1', 0, 4), 'DSDT')
  }
  assert.deepEqual(found, ['FACP', 'APIC', 'HPET', 'WAET'])
})

test('SMBIOS: checksums, and structures that follow each other to the end', () => {
  const { files } = setUp()
  const anchor = files.get('etc/smbios/smbios-anchor')!
  const tables = files.get('etc/smbios/smbios-tables')!
  const sum = (bytes: Buffer) => bytes.reduce((a, b) => a + b, 0) & 0xff
  assert.deepEqual([anchor.toString('latin1', 0, 4), sum(anchor), sum(anchor.subarray(16))], ['_SM_', 0, 0])
  assert.equal(anchor.readUInt16LE(22), tables.length)
  const types: number[] = []
  // The lengths of the formatted parts by type (DSP0134 2.8).
  const lengths: Record<number, number> = { 0: 24, 1: 27, 3: 21, 4: 42, 16: 23, 17: 40, 19: 31, 32: 11, 127: 4 }
  for (let at = 0; at < tables.length; ) {
    types.push(tables[at])
    assert.equal(tables[at + 1], lengths[tables[at]], `type ${tables[at]}`)
    at = tables.indexOf('\0\0', at + tables[at + 1], 'latin1') + 2
  }
  assert.deepEqual(types, [0, 1, 3, 4, 16, 17, 19, 19, 32, 127])
  assert.equal(anchor.readUInt16LE(28), types.length)
})

test('a kernel in parts, as firmware loads it', () => {
  const { fwCfg, item } = setUp()
  const kernel = new Uint8Array(4096).map((_, i) => i >> 8)
  kernel[0x1f1] = 3
  offerKernel(fwCfg, kernel, { initrd: Uint8Array.of(7), commandLine: 'quiet' })
  assert.equal(item(FW_CFG.SETUP_SIZE, 4).readUInt32LE(), 2048)
  assert.equal(item(FW_CFG.KERNEL_SIZE, 4).readUInt32LE(), 2048)
  assert.equal(item(FW_CFG.KERNEL_DATA, 1)[0], 8)
  assert.equal(item(FW_CFG.COMMAND_LINE_DATA, 6).toString(), 'quiet\0')
})

test('CMOS: sizes, boot order, checksum', () => {
  const cmos = cmosContents({ below: 64 << 20, above: 0, floppies: [4], bootOrder: ['cdrom', 'disk'] })
  assert.equal(cmos[0x3d], 0x23)
  assert.equal(cmos[0x38], 1)
  assert.equal(cmos[0x10], 0x40)
  assert.equal(cmos[0x14] & 0xc1, 1)
  assert.equal(cmos[0x30] | (cmos[0x31] << 8), 63 * 1024)
  const small = { cylinders: 130, heads: 16, sectors: 63 }
  const large = { cylinders: 4161, heads: 16, sectors: 63 }
  const disks = cmosContents({ below: 64 << 20, above: 0, ideDisks: [small, undefined, undefined, large] })
  assert.deepEqual(
    [disks[0x12], disks[0x19], disks[0x1b], disks[0x1d], disks[0x20], disks[0x23]],
    [0xf0, 47, 130, 16, 0xc8, 63],
  )
  // Only a disk of more than 1024 cylinders is translated.
  assert.equal(disks[0x39], 0x40)
  let sum = 0
  for (let i = 0x10; i <= 0x2d; i++) sum += cmos[i] ?? 0
  assert.equal((cmos[0x2e] << 8) | cmos[0x2f], sum)
})
