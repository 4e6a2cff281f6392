/** Accesses through the window at A0000h, compared with a model that has four planes and goes bit by bit. */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { indexed, MODES, makeAdapter, setMode } from './test-memory.ts'

/** The graphics controller as IBM's reference describes it, a bit at a time. */
class Model {
  readonly planes = Array.from({ length: 4 }, () => new Uint8Array(0x10000))
  readonly latches = [0, 0, 0, 0]
  readonly graphics = new Uint8Array(9)
  mapMask = 15

  write(address: number, value: number): void {
    const [setReset, enable, , rotate, , mode, , , mask] = this.graphics
    for (let plane = 0; plane < 4; plane++) {
      if (!(this.mapMask & (1 << plane))) continue
      let result = 0
      for (let bit = 0; bit < 8; bit++) {
        const latch = (this.latches[plane] >> bit) & 1
        const rotated = (value >> ((bit + (rotate & 7)) % 8)) & 1
        const set = (setReset >> plane) & 1
        let data = 0
        let selected = (mask >> bit) & 1
        if ((mode & 3) === 0) data = (enable >> plane) & 1 ? set : rotated
        else if ((mode & 3) === 1) data = latch
        else if ((mode & 3) === 2) data = (value >> plane) & 1
        else {
          data = set
          selected &= rotated
        }
        const combined = [data, data & latch, data | latch, data ^ latch][(rotate >> 3) & 3]
        const written = (mode & 3) === 1 ? latch : selected ? combined : latch
        result |= written << bit
      }
      this.planes[plane][address] = result
    }
  }

  read(address: number): number {
    const [, , compare, , select, mode, , care] = this.graphics
    for (let plane = 0; plane < 4; plane++) this.latches[plane] = this.planes[plane][address]
    if (!(mode & 8)) return this.latches[select & 3]
    let result = 0
    for (let bit = 0; bit < 8; bit++) {
      let same = 1
      for (let plane = 0; plane < 4; plane++)
        if (care & (1 << plane) && ((this.latches[plane] >> bit) & 1) !== ((compare >> plane) & 1)) same = 0
      result |= same << bit
    }
    return result
  }
}

test('planar writes and reads are as the model has them, in every mode of the graphics controller', () => {
  const { bus, memory } = makeAdapter()
  setMode(bus, MODES.planar)
  const model = new Model()
  let seed = 12345
  const random = (limit: number) => {
    seed = (Math.imul(seed, 1103515245) + 12345) >>> 0
    return (seed >>> 8) % limit
  }
  for (let i = 0; i < 30_000; i++) {
    const address = random(16) === 0 ? random(0x10000) : random(64)
    if (random(3) === 0) {
      const index = [0, 1, 2, 3, 4, 5, 7, 8][random(8)]
      const value =
        index === 5 ? random(4) | (random(2) << 3) : index === 8 ? [0xff, random(256)][random(2)] : random(32)
      model.graphics[index] = index === 4 ? value & 3 : index === 3 || index === 5 || index === 8 ? value : value & 15
      indexed(bus, 0x3ce, index, model.graphics[index])
    } else if (random(8) === 0) {
      model.mapMask = random(16)
      indexed(bus, 0x3c4, 2, model.mapMask)
    } else if (random(2)) {
      const value = random(256)
      model.write(address, value)
      bus.store(0xa0000 + address, value, 1)
    } else assert.equal(bus.load(0xa0000 + address, 1), model.read(address), `step ${i}`)
  }
  for (let address = 0; address < 0x10000; address++)
    for (let plane = 0; plane < 4; plane++)
      assert.equal(memory.ram[memory.base + 4 * address + plane], model.planes[plane][address])
})

test('odd and even addresses are planes in text modes, at B8000h and nowhere else', () => {
  const { bus, memory } = makeAdapter()
  setMode(bus, MODES.text)
  bus.store(0xb8000, 0x1f41, 2)
  bus.store(0xb8002, 0x2e421f42)
  assert.deepEqual([...memory.ram.subarray(memory.base, memory.base + 6)], [0x41, 0x1f, 0, 0, 0x42, 0x1f])
  assert.equal(bus.load(0xb8004, 2), 0x2e42)
  assert.equal(bus.load(0xa0000, 1), 0xff)
  bus.store(0xb0000, 0x55, 1)
  assert.equal(bus.load(0xb8000, 1), 0x41)
})

test('256 colors lie as they are written, and after some writes the window is memory itself', () => {
  const { bus, memory } = makeAdapter()
  setMode(bus, MODES.palette)
  for (let i = 0; i < 40; i++) bus.store(0xa0000 + i, i, 1)
  assert.equal(memory.ram[memory.base + 39], 39)
  assert.equal(memory.windowed, undefined)
  for (let i = 0; i < 40; i++) bus.store(0xa0000 + i, i, 4)
  assert.equal(memory.windowed, 0)
  indexed(bus, 0x3c4, 2, 1)
  assert.equal(memory.windowed, undefined, 'a plane that is not written is none of the memory')
  bus.store(0xa0000, 0x44332211)
  assert.deepEqual([...memory.ram.subarray(memory.base, memory.base + 4)], [0x11, 1, 2, 3])
})
