import assert from 'node:assert/strict'
import { test } from 'node:test'
import type { Disk } from '../../disk/disk.ts'
import { Dma8237 } from '../dma8237.ts'
import { TestBus } from '../test-bus.ts'
import { FloppyController } from './floppy.ts'
import { floppyFormat } from './floppy-geometry.ts'
import { immediateDisk } from './test-disk.ts'

const BASE = 0x3f0
const BUFFER = 0x8000

/** The smallest driver: resets, seeks, transfers by DMA. */
class Driver {
  readonly bus = new TestBus(0x40000)
  readonly floppy: FloppyController
  readonly dma = new Dma8237(this.bus)

  constructor(media: (Disk | undefined)[], rate = 0) {
    this.floppy = new FloppyController(this.bus, {
      drives: media.map(medium => ({ medium })),
      dma: onReady => this.dma.channel(2, onReady),
    })
    this.bus.out(BASE + 2, 0)
    this.bus.out(BASE + 2, 0x1c)
    this.bus.out(BASE + 7, rate)
    this.wait()
    assert.ok(this.bus.line(6))
    for (let drive = 0; drive < 4; drive++) assert.deepEqual(this.command([8], 2), [0xc0 | drive, 0])
    this.command([3, 0xdf, 2], 0)
    this.seek(0)
  }

  wait(): void {
    for (let i = 0; i < 200; i++) this.bus.clock.advance(100_000)
  }

  command(bytes: number[], results: number): number[] {
    for (const byte of bytes) {
      assert.equal(this.bus.in(BASE + 4) & 0xc0, 0x80, 'ready for a byte')
      this.bus.out(BASE + 5, byte)
    }
    if (results > 2) this.wait()
    return this.results(results)
  }

  results(count: number): number[] {
    const bytes: number[] = []
    for (let i = 0; i < count; i++) {
      assert.equal(this.bus.in(BASE + 4) & 0xd0, 0xd0, `result byte ${i} is there`)
      bytes.push(this.bus.in(BASE + 5))
    }
    assert.equal(this.bus.in(BASE + 4) & 0xd0, 0x80)
    return bytes
  }

  seek(cylinder: number): void {
    this.command(cylinder === 0 ? [7, 0] : [15, 0, cylinder], 0)
    this.wait()
    assert.deepEqual(this.command([8], 2), [0x20, cylinder])
  }

  /** Programs channel 2: 4 reads memory, 8 writes it, seen from the controller 0x46 and 0x4a. */
  program(length: number, mode: number): void {
    const { bus } = this
    bus.out(0x0a, 6)
    bus.out(0x0c, 0)
    bus.out(0x0b, mode)
    bus.out(4, BUFFER & 0xff)
    bus.out(4, BUFFER >> 8)
    bus.out(0x81, 0)
    bus.out(5, (length - 1) & 0xff)
    bus.out(5, (length - 1) >> 8)
    bus.out(0x0a, 2)
  }

  transfer(opcode: number, [cylinder, head, sector]: number[], sectors: number, last = 18): number[] {
    this.program(sectors * 512, (opcode & 0x1f) === 5 ? 0x4a : 0x46)
    return this.command([opcode, head << 2, cylinder, head, sector, 2, last, 27, 255], 7)
  }
}

const MB144 = 1474560

test('reads and writes by DMA, across heads with multi-track', () => {
  const medium = immediateDisk(MB144)
  const driver = new Driver([medium])
  assert.deepEqual(driver.transfer(0x46, [0, 0, 3], 2), [0, 0, 0, 0, 0, 5, 2])
  assert.ok(driver.bus.ram[BUFFER] === 2 && driver.bus.ram[BUFFER + 512] === 3)
  driver.seek(5)
  assert.deepEqual(driver.transfer(0xc6, [5, 0, 17], 4), [4, 0, 0, 5, 1, 3, 2])
  assert.equal(driver.bus.ram[BUFFER] | (driver.bus.ram[BUFFER + 1] << 8), 5 * 36 + 16)
  assert.equal(driver.bus.ram[BUFFER + 1024], 5 * 36 + 18 - 0)
  driver.bus.ram.fill(0x77, BUFFER, BUFFER + 512)
  assert.deepEqual(driver.transfer(0x45, [5, 1, 18], 1), [4, 0, 0, 6, 1, 1, 2])
  assert.equal(medium.bytes[(5 * 36 + 35) * 512], 0x77)
})

test('what goes wrong: sectors, cylinders, rates, protection, the end of the track', () => {
  const driver = new Driver([immediateDisk(MB144)])
  assert.deepEqual(driver.transfer(0x46, [0, 0, 19], 1).slice(0, 3), [0x40, 4, 0])
  assert.deepEqual(driver.transfer(0x46, [1, 0, 1], 1).slice(0, 3), [0x40, 4, 0x10])
  assert.deepEqual(driver.transfer(0x46, [0, 0, 18], 2).slice(0, 3), [0x40, 0x80, 0])
  driver.bus.out(BASE + 7, 2)
  assert.deepEqual(driver.transfer(0x46, [0, 0, 1], 1).slice(0, 3), [0x40, 1, 0])
  assert.deepEqual(driver.command([0x4a, 0], 7).slice(0, 2), [0x40, 1])
  const locked = new Driver([immediateDisk(737280, true)], 2)
  assert.deepEqual(locked.transfer(0x45, [0, 0, 1], 1).slice(0, 3), [0x40, 2, 0])
  assert.deepEqual(locked.command([4, 0], 1), [0x78])
  assert.deepEqual(driver.command([0x1f], 1), [0x80], 'an invalid command')
})

test('formats; reads IDs; tells of another medium', () => {
  const medium = immediateDisk(MB144)
  const driver = new Driver([medium])
  const list = Array.from({ length: 18 }, (_, i) => [0, 1, i + 1, 2]).flat()
  driver.bus.ram.set(list, BUFFER)
  driver.program(72, 0x4a)
  assert.deepEqual(driver.command([0x4d, 4, 2, 18, 80, 0xf6], 7).slice(0, 3), [4, 0, 0])
  assert.deepEqual(driver.command([0x4a, 0], 7).slice(3), [0, 0, 1, 2])
  assert.equal(driver.bus.in(BASE + 7) & 0x80, 0)
  driver.floppy.change(0, immediateDisk(MB144))
  assert.equal(driver.bus.in(BASE + 7) & 0x80, 0x80)
  driver.seek(1)
  assert.equal(driver.bus.in(BASE + 7) & 0x80, 0)
})

test('without DMA every byte passes the FIFO', () => {
  const driver = new Driver([immediateDisk(MB144)])
  driver.command([3, 0xdf, 3], 0)
  for (const byte of [0x46, 0, 0, 0, 7, 2, 7, 27, 255]) driver.bus.out(BASE + 5, byte)
  driver.wait()
  assert.equal(driver.bus.in(BASE + 4), 0xf0)
  assert.ok(driver.bus.line(6))
  const bytes = Array.from({ length: 512 }, () => driver.bus.in(BASE + 5))
  assert.equal(bytes[0], 6)
  driver.wait()
  assert.deepEqual(driver.results(7).slice(0, 2), [0x40, 0x80], 'there is no terminal count')
})

test('no sequence of bytes makes it keep more than a command', () => {
  const driver = new Driver([immediateDisk(MB144)])
  for (const opcode of [0x8e, 0x0a, 0x4d, 0x46])
    for (let i = 0; i < 3000; i++) driver.bus.out(BASE + 5, i === 0 ? opcode : 0xff)
  assert.ok(driver.floppy.state.bytes.length <= 10)
})

test('formats by size', () => {
  assert.equal(floppyFormat(MB144)?.sectors, 18)
  assert.equal(floppyFormat(163840)?.heads, 1)
  assert.equal(floppyFormat(368640)?.drive, 1)
  assert.equal(floppyFormat(1228800)?.drive, 2)
  assert.equal(floppyFormat(2949120)?.drive, 5)
  assert.equal(floppyFormat(1000), undefined)
})
