import assert from 'node:assert/strict'
import { test } from 'node:test'
import { PCI_COMMAND, PCI_CONFIG } from '../pci-function.ts'
import { TestBus } from '../test-bus.ts'
import { GPU_CMD, GPU_FORMAT } from '../virtio/gpu-protocol.ts'
import { layout, QueueDriver } from '../virtio/test-driver.ts'
import { textOf } from './cells.ts'
import { dispi, MODES, setMode, TestMemory } from './test-memory.ts'
import { VirtioVga } from './virtio-vga.ts'

const REGISTERS = 0xe2000000
const STRUCTURES = REGISTERS + 0x4000
const PIXELS = 0x20000

function makeAdapter() {
  const bus = new TestBus(1 << 20)
  const memory = new TestMemory()
  const messages: number[] = []
  const message = (_low: number, _high: number, data: number) => void messages.push(data)
  const adapter = new VirtioVga(bus, { memory, message, placed: () => {} })
  const f = adapter.function
  f.write(PCI_CONFIG.BASE_ADDRESS_0, 4, 0xe0000000)
  f.write(PCI_CONFIG.BASE_ADDRESS_0 + 8, 4, REGISTERS)
  f.write(PCI_CONFIG.BASE_ADDRESS_0 + 16, 4, 0xe3000000)
  f.write(PCI_CONFIG.COMMAND, 2, PCI_COMMAND.IO | PCI_COMMAND.MEMORY | PCI_COMMAND.BUS_MASTER)
  const driver = new QueueDriver(bus, STRUCTURES)
  const command = (...words: number[]) => {
    const { descriptors, buffers } = layout(0)
    new Uint32Array(bus.ram.buffer, buffers, words.length).set(words)
    driver.describe(descriptors, 0, buffers, 4 * words.length, 1, 1)
    driver.describe(descriptors, 1, 0x10000, 64, 2)
    driver.offer(0, 0)
    assert.equal(new DataView(bus.ram.buffer).getUint32(0x10000, true), 0x1100)
  }
  return { bus, memory, adapter, driver, command }
}

/** Shows four pixels of one color, as a driver that has just been loaded. */
function takeOver({ bus, driver, command }: ReturnType<typeof makeAdapter>): void {
  driver.start(2)
  const header = [0, 0, 0, 0, 0]
  command(GPU_CMD.RESOURCE_CREATE_2D, ...header, 1, GPU_FORMAT.B8G8R8X8, 2, 2)
  command(GPU_CMD.RESOURCE_ATTACH_BACKING, ...header, 1, 1, PIXELS, 0, 16, 0)
  new Uint32Array(bus.ram.buffer, PIXELS, 4).fill(0x336699)
  command(GPU_CMD.TRANSFER_TO_HOST_2D, ...header, 0, 0, 2, 2, 0, 0, 1, 0)
  command(GPU_CMD.SET_SCANOUT, ...header, 0, 0, 2, 2, 0, 1)
}

test('it is a VGA with a GPU: where QEMU has its parts, drivers find them', () => {
  const { bus, adapter } = makeAdapter()
  const f = adapter.function
  assert.deepEqual(
    [f.read32(0), f.read32(8) >>> 8, f.read32(0x2c)],
    [0x10501af4, 0x030000, (0x10501af4 & 0xffff) | (0x50 << 16)],
  )
  const places: number[][] = []
  for (let at = f.capability(9); at !== 0; at = f.capability(9, at))
    places.push([f.state.config[at + 3], f.state.config[at + 4], f.read32(at + 8)])
  assert.deepEqual(places, [
    [1, 2, 0x4000],
    [3, 2, 0x5000],
    [4, 2, 0x6000],
    [2, 2, 0x7000],
    [5, 2, 0],
  ])
  assert.equal(f.read32(f.capability(0x11) + 4) & 7, 4, 'MSI-X')
  dispi(bus, 1, 800)
  assert.equal(bus.load(REGISTERS + 0x502, 2), 800)
  assert.equal(bus.load(REGISTERS), 0xffffff00, 'the EDID')
  assert.equal(bus.load(REGISTERS + 0x2000), 0)
  assert.equal(bus.load(STRUCTURES + 0x12, 2), 2, 'queues')
  // The window in configuration space reaches both.
  let at = f.capability(9)
  while (f.state.config[at + 3] !== 5) at = f.capability(9, at)
  f.write(at + 4, 1, 2)
  for (const [offset, expected] of [
    [0x502, 800],
    [0x4012, 2],
  ]) {
    f.write(at + 8, 4, offset)
    f.write(at + 12, 4, 2)
    assert.equal(f.read(at + 16, 2), expected)
  }
})

test('the VGA is shown until a driver shows something, and again when it resets the device', () => {
  const all = makeAdapter()
  const { bus, memory, adapter, driver } = all
  setMode(bus, MODES.text)
  memory.set(0, [0x41, 7, 0, 0])
  assert.deepEqual(adapter.update(), [[0, 0, 720, 400]])
  assert.match(textOf(adapter.cells()!), /^A/)
  driver.start(2)
  assert.deepEqual(adapter.update(), [])
  assert.ok(adapter.cells(), 'a driver that shows nothing yet')
  takeOver(all)
  assert.deepEqual(adapter.update(), [[0, 0, 2, 2]])
  assert.equal(adapter.picture.pixels[3] >>> 0, 0xff996633)
  assert.equal(adapter.cells(), undefined)
  const saved = structuredClone(adapter.state)
  bus.store(STRUCTURES + 0x14, 0, 1)
  assert.deepEqual(adapter.update(), [[0, 0, 720, 400]])
  assert.match(textOf(adapter.cells()!), /^A/)
  adapter.state = saved
  adapter.restored()
  assert.deepEqual(adapter.update(), [[0, 0, 2, 2]])
  // One that is as large leaves nothing of the other.
  bus.store(STRUCTURES + 0x14, 0, 1)
  adapter.update()
  adapter.reset()
  adapter.update()
  assert.equal(adapter.picture.pixels[0], 0xff000000 | 0)
  assert.equal(bus.load(STRUCTURES + 0x14, 1), 0xff, 'its BARs are gone')
})
