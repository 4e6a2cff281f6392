import assert from 'node:assert/strict'
import { test } from 'node:test'
import { DiskError } from '../../disk/disk.ts'
import { PCI_CONFIG } from '../pci-function.ts'
import { TestBus } from '../test-bus.ts'
import { Nvme } from './nvme.ts'
import { immediateDisk } from './test-disk.ts'

const BAR = 0xe0000000
const ADMIN = { submission: 0x1000, completion: 0x2000 }
const IO = { submission: 0x3000, completion: 0x4000 }
const DATA = 0x10000

/** The smallest driver: admin queue and one I/O queue of 8 entries each. */
class Driver {
  readonly bus = new TestBus(0x100000)
  readonly view = new DataView(this.bus.ram.buffer)
  readonly disk = immediateDisk(1 << 20)
  readonly nvme: Nvme
  #tails = [0, 0]
  #heads = [0, 0]

  constructor(size = 8) {
    this.nvme = new Nvme(this.bus, () => {}, { disk: this.disk, serial: 'N1' })
    const f = this.nvme.function
    f.connect(this.bus.interrupt(11))
    f.write(PCI_CONFIG.BASE_ADDRESS_0, 4, BAR)
    f.write(PCI_CONFIG.COMMAND, 2, 6)
    this.bus.store(BAR + 0x24, (size - 1) | ((size - 1) << 16))
    this.bus.store(BAR + 0x28, ADMIN.submission)
    this.bus.store(BAR + 0x30, ADMIN.completion)
    this.bus.store(BAR + 0x14, 0x00460001)
    assert.equal(this.bus.load(BAR + 0x1c), 1)
  }

  /** Runs a command in queue 0 or 1. @returns status and result */
  async run(
    queue: 0 | 1,
    opcode: number,
    { namespace = 1, prp1 = 0, prp2 = 0, dwords = [] as number[] } = {},
  ): Promise<{ status: number; result: number }> {
    const at = [ADMIN, IO][queue].submission + 64 * this.#tails[queue]
    this.bus.ram.fill(0, at, at + 64)
    this.bus.ram[at] = opcode
    this.view.setUint16(at + 2, 0x77, true)
    this.view.setUint32(at + 4, namespace, true)
    this.view.setUint32(at + 24, prp1, true)
    this.view.setUint32(at + 32, prp2, true)
    for (const [i, dword] of dwords.entries()) this.view.setUint32(at + 40 + 4 * i, dword, true)
    this.#tails[queue] = (this.#tails[queue] + 1) % 8
    this.bus.store(BAR + 0x1000 + 8 * queue, this.#tails[queue])
    for (let i = 0; i < 5; i++) {
      this.bus.clock.advance(1000)
      await new Promise(resolve => setImmediate(resolve))
    }
    const entry = [ADMIN, IO][queue].completion + 16 * this.#heads[queue]
    assert.equal(this.view.getUint16(entry + 12, true), 0x77)
    assert.ok(this.bus.line(11))
    this.#heads[queue] = (this.#heads[queue] + 1) % 8
    this.bus.store(BAR + 0x1004 + 8 * queue, this.#heads[queue])
    assert.ok(!this.bus.line(11))
    return { status: this.view.getUint16(entry + 14, true) >> 1, result: this.view.getUint32(entry, true) }
  }

  async queues(): Promise<void> {
    assert.equal((await this.run(0, 5, { prp1: IO.completion, dwords: [0x70001, 3] })).status, 0)
    assert.equal((await this.run(0, 1, { prp1: IO.submission, dwords: [0x70001, 0x10001] })).status, 0)
  }
}

test('identify, features, queues that cannot be', async () => {
  const driver = new Driver()
  assert.equal((await driver.run(0, 6, { prp1: DATA, dwords: [1] })).status, 0)
  assert.equal(String.fromCharCode(...driver.bus.ram.subarray(DATA + 4, DATA + 6)), 'N1')
  assert.equal((await driver.run(0, 6, { prp1: DATA + 0x800, prp2: DATA + 0x3000, dwords: [0] })).status, 0)
  assert.equal(driver.view.getUint32(DATA + 0x800, true), 2048)
  assert.equal((await driver.run(0, 6, { namespace: 2, prp1: DATA, dwords: [0] })).status & 0x7ff, 0x0b)
  assert.equal((await driver.run(0, 9, { dwords: [7, 0xffffffff] })).result, 0x70007)
  assert.equal((await driver.run(0, 1, { prp1: IO.submission, dwords: [0x70001, 0x10001] })).status & 0x7ff, 0x100)
  assert.equal((await driver.run(0, 5, { prp1: IO.completion, dwords: [0x70009, 3] })).status & 0x7ff, 0x101)
  assert.equal((await driver.run(0, 0x7f)).status & 0x7ff, 1)
})

test('reads and writes by one, two and lists of pages; the phase turns; flushes', async () => {
  const driver = new Driver()
  await driver.queues()
  for (let i = 0; i < 9; i++) {
    assert.equal((await driver.run(1, 2, { prp1: DATA + 512, dwords: [40 + i, 0, 0] })).status, 0)
    assert.equal(driver.bus.ram[DATA + 512], 40 + i)
  }
  // 3 pages and a half from the middle of one: a list.
  driver.view.setBigUint64(0x8000, BigInt(DATA + 0x5000), true)
  driver.view.setBigUint64(0x8008, BigInt(DATA + 0x2000), true)
  driver.view.setBigUint64(0x8010, BigInt(DATA + 0x9000), true)
  assert.equal((await driver.run(1, 2, { prp1: DATA + 0x800, prp2: 0x8000, dwords: [0, 0, 27] })).status, 0)
  assert.deepEqual(
    [0x800, 0x5000, 0x2000, 0x9000].map(at => driver.bus.ram[DATA + at]),
    [0, 4, 12, 20],
  )
  driver.bus.ram.fill(0x5a, DATA, DATA + 512)
  assert.equal((await driver.run(1, 1, { prp1: DATA, dwords: [77, 0, 0x40000000] })).status, 0)
  assert.equal(driver.disk.bytes[77 * 512], 0x5a)
  assert.equal(driver.disk.flushes, 1, 'forced unit access')
  assert.equal((await driver.run(1, 1, { prp1: DATA, dwords: [78, 0, 0] })).status, 0)
  assert.equal(driver.disk.flushes, 1, 'others wait in the cache')
  assert.equal((await driver.run(1, 0)).status, 0)
  assert.equal(driver.disk.flushes, 2)
  assert.equal((await driver.run(1, 2, { prp1: DATA, dwords: [2047, 0, 1] })).status & 0x7ff, 0x80)
  assert.equal((await driver.run(1, 2, { prp1: DATA, prp2: 12, dwords: [0, 0, 15] })).status & 0x7ff, 0x13)
  driver.disk.immediate!.read = () => {
    throw new DiskError('input-output', 'broken')
  }
  assert.equal((await driver.run(1, 2, { prp1: DATA, dwords: [0, 0, 0] })).status, 0x281)
})

test('disabling forgets; a wrong configuration is fatal', async () => {
  const driver = new Driver()
  await driver.queues()
  driver.bus.store(BAR + 0x14, 0x00460000)
  assert.equal(driver.bus.load(BAR + 0x1c), 0)
  driver.bus.store(BAR + 0x14, 0x00460001)
  assert.equal(driver.bus.load(BAR + 0x1c), 1)
  driver.bus.store(BAR + 0x14, 0)
  driver.bus.store(BAR + 0x14, 0x00450001)
  assert.equal(driver.bus.load(BAR + 0x1c), 2)
})
