/** A guest that sets modes at random: registers that contradict each other, offsets and widths beyond everything. */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { dispi, indexed, MODES, makeAdapter, REGISTERS, setMode } from './test-memory.ts'

test('random modes: no exception, nothing beyond memory, pictures of bounded size', () => {
  for (const start of [1, 424242, 0xdeadbeef]) {
    let seed = start >>> 0
    const random = (limit: number) => {
      seed = (Math.imul(seed, 1664525) + 1013904223) >>> 0
      return Math.floor((seed / 2 ** 32) * limit)
    }
    const { bus, memory, adapter } = makeAdapter()
    const guard = memory.ram.subarray(0, memory.base)
    let largest = 0
    for (let i = 0; i < 4000; i++) {
      switch (random(7)) {
        case 0:
          setMode(bus, Object.values(MODES)[random(3)])
          break
        case 1:
          indexed(bus, 0x3d4, 0x11, 0)
          indexed(bus, 0x3d4, random(0x19), random(256))
          break
        case 2:
          indexed(bus, 0x3ce, random(9), random(256))
          break
        case 3:
          indexed(bus, 0x3c4, random(5), random(256))
          break
        case 4: {
          const special = [0, 1, 7, 8, 0x41, 0xc1, 4, 15, 16, 24, 32, 640, 2560, 1600, 0x7fff, 0xfff8, 0xffff]
          dispi(bus, random(12), random(3) ? special[random(special.length)] : random(0x10000))
          break
        }
        case 5:
          bus.store(REGISTERS + 0x500 + 2 * random(12), random(0x10000), 2)
          break
        default:
          for (let n = 0; n < 20; n++)
            bus.store(0xa0000 + random(0x20000), random(2 ** 32), ([1, 2, 4] as const)[random(3)])
          assert.ok(Number.isInteger(bus.load(0xa0000 + random(0x1fffd), 4)))
      }
      if (i % 40 !== 0) continue
      adapter.update()
      adapter.cells()
      largest = Math.max(largest, adapter.picture.pixels.length)
    }
    assert.ok(
      guard.every(byte => byte === 0),
      `seed ${start}: bytes in front of video memory were written`,
    )
    assert.ok(largest <= 4608 * 2048, `seed ${start}: a picture of ${largest} pixels`)
  }
})
