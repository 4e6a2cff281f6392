/** A driver of the GPU that mostly does what drivers do, with numbers that are sometimes right. */
import assert from 'node:assert/strict'
import { randomBelow } from '../test-random.ts'
import { Picture } from '../vga/picture.ts'
import { VirtioGpu } from './gpu.ts'
import { GPU_CMD, GPU_COMMAND_BYTES, GPU_FORMAT, GPU_RESP } from './gpu-protocol.ts'
import { GPU_MOST_PIXELS, GPU_PICTURE_BYTES } from './gpu-resources.ts'
import { BAR, Driver, layout } from './test-driver.ts'

const RAM = 1 << 20
/** Where answers are written, and nowhere else but to the rings. */
const ANSWER = 0x10000
const ANSWER_BYTES = 0x1000
const CANARY = 0x20000
const ANSWERS: readonly number[] = Object.values(GPU_RESP)
const TYPES = Object.values(GPU_CMD)
const FORMATS = Object.values(GPU_FORMAT)
const EDGES = [0, 1, 63, 64, 65, 4095, 4096, 4097, 0x7fffffff, 0x80000000, 0xffffffc0, 0xffffffff]

/**
 * Lets it at a device.
 * @throws AssertionError naming seed and step when an answer is none, memory is written, or pictures hold too much
 */
export function fuzzGpu(seed: number, steps: number, progress: (step: number) => void = () => {}): void {
  const random = randomBelow(seed)
  let gpu!: VirtioGpu
  const driver = new Driver(bus => {
    gpu = new VirtioGpu(bus)
    return gpu
  }, RAM)
  const { bus, transport } = driver
  const picture = new Picture(() => {}, GPU_MOST_PIXELS)
  const canary = Uint8Array.from({ length: RAM - CANARY }, (_, i) => (i * 31) >> 3)
  bus.ram.set(canary, CANARY)
  driver.start(2, 1 << 1)

  const edge = () => EDGES[random(EDGES.length)]
  const number = (limit: number) => (random(24) === 0 ? edge() : random(limit))
  const id = () => number(8)
  const size = () => (random(3) ? 64 : number(200))
  const rectangle = () => (random(2) ? [0, 0, 64, 64] : [number(70), number(70), number(70), number(70)])
  const words = (type: number): number[] => {
    switch (type) {
      case GPU_CMD.RESOURCE_CREATE_2D: {
        const large = random(40) === 0
        return [
          id(),
          random(20) ? FORMATS[random(FORMATS.length)] : edge(),
          large ? 4096 : size(),
          large ? 4096 : size(),
        ]
      }
      case GPU_CMD.SET_SCANOUT:
        return [...rectangle(), random(16) ? 0 : edge(), id()]
      case GPU_CMD.RESOURCE_FLUSH:
        return [...rectangle(), id(), 0]
      case GPU_CMD.TRANSFER_TO_HOST_2D:
        return [...rectangle(), number(RAM), random(8) ? 0 : edge(), id(), 0]
      case GPU_CMD.RESOURCE_ATTACH_BACKING: {
        const count = 1 + random(6)
        const entries = Array.from({ length: count }, () => [number(RAM), random(8) ? 0 : edge(), number(20_000), 0])
        return [id(), random(8) ? count : edge(), ...entries.flat()]
      }
      case GPU_CMD.UPDATE_CURSOR:
      case GPU_CMD.MOVE_CURSOR:
        return [random(16) ? 0 : edge(), number(200), number(200), 0, id(), random(64), random(64), 0]
      default:
        return [id(), 0]
    }
  }

  for (let step = 0; step < steps; step++) {
    progress(step)
    const where = `seed ${seed}, step ${step}`
    const type = random(50) ? TYPES[random(TYPES.length)] : random(0x400)
    const queue = type >= GPU_CMD.UPDATE_CURSOR !== (random(40) === 0) ? 1 : 0
    const all = [type, random(2), random(1000), 0, 0, 0].concat(words(type))
    const { descriptors, buffers } = layout(queue)
    new Uint32Array(bus.ram.buffer, buffers, all.length).set(all.map(word => word >>> 0))
    const length = random(30) ? 4 * all.length : random(GPU_COMMAND_BYTES + 1)
    driver.describe(descriptors, 0, buffers, length, 1, 1)
    driver.describe(descriptors, 1, ANSWER, ANSWER_BYTES, 2)
    new DataView(bus.ram.buffer).setUint32(ANSWER, 0, true)
    const before = driver.used(queue).index
    driver.offer(queue, 0)
    if (driver.used(queue).index === before) bus.clock.advance(1e9)
    assert.notEqual(driver.used(queue).index, before, `${where}: command 0x${type.toString(16)} has no answer`)
    const answer = new DataView(bus.ram.buffer).getUint32(ANSWER, true)
    assert.ok(ANSWERS.includes(answer), `${where}: command 0x${type.toString(16)} is answered 0x${answer.toString(16)}`)
    const action = random(200)
    if (action < 20) {
      const areas = gpu.update(picture, random(4) === 0)
      for (const [x, y, width, height] of areas)
        assert.ok(x >= 0 && y >= 0 && x + width <= picture.width && y + height <= picture.height, where)
    } else if (action < 24) gpu.resize(number(5000), number(5000))
    else if (action < 27) bus.store(BAR + 0x2000 + 4 * random(4), random(4))
    else if (action < 40) bus.clock.advance(random(20_000_000))
    else if (action === 40) driver.start(2, 1 << 1)
    else if (action === 41) {
      transport.state = structuredClone(transport.state)
      transport.restored()
      gpu.restored()
    }
    if (step % 500 === 0) {
      const held = gpu.state.resources.reduce((sum, { pixels }) => sum + (pixels?.length ?? 0), 0)
      assert.ok(held <= GPU_PICTURE_BYTES, `${where}: pictures hold ${held} bytes`)
      assert.ok(Buffer.from(bus.ram.subarray(CANARY)).equals(canary), `${where}: memory was written`)
      assert.equal(driver.status(), 15, `${where}: the device has given up`)
    }
  }
}
