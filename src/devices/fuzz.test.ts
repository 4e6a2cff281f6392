import assert from 'node:assert/strict'
import { test } from 'node:test'
import { AcpiPm } from './acpi-pm.ts'
import type { AccessSize, Device } from './bus.ts'
import { CfiFlash } from './cfi-flash.ts'
import { DebugPorts } from './debug-ports.ts'
import { Dma8237 } from './dma8237.ts'
import { FwCfg } from './fw-cfg.ts'
import { Hpet } from './hpet.ts'
import { createChipset } from './i440fx.ts'
import { I8042 } from './i8042.ts'
import { InterruptSystem } from './interrupts.ts'
import { ParallelPort } from './parallel-port.ts'
import { PciBus } from './pci.ts'
import { Pit8254 } from './pit8254.ts'
import { KEYS } from './ps2/scan-codes.ts'
import { createQ35, pirqOfQ35 } from './q35.ts'
import { ResetControl } from './reset-control.ts'
import { Rtc } from './rtc.ts'
import { SmbusHost } from './smbus.ts'
import { TestBus } from './test-bus.ts'
import { randomBelow, weigh } from './test-random.ts'
import { Uart16550 } from './uart16550.ts'
import { StdVga } from './vga/stdvga.ts'
import { TestMemory } from './vga/test-memory.ts'
import { VirtioConsole } from './virtio/console.ts'
import { VirtioTablet } from './virtio/input.ts'
import { VirtioRng } from './virtio/rng.ts'
import { VirtioPci } from './virtio/transport-pci.ts'

/** Every device of the PC, wired as the machine wires them. */
function createMachine(express: boolean) {
  const bus = new TestBus()
  const signals = { setInterruptRequest() {}, raiseNmi() {}, init() {}, startup() {}, ignoreNumericError() {} }
  const timestampTime = (low: number, high: number) => high * 2 ** 32 + low
  const system = new InterruptSystem(bus, { processors: [0, 1].map(id => ({ id, signals, timestampTime })) })
  bus.interrupts = number => system.line(number)
  const control = new ResetControl(bus, { onReset() {} })
  const wires = express ? { wires: 8, wireOf: pirqOfQ35 } : {}
  const pci = new PciBus(bus, { registerCf9: control.registerCf9, ...wires })
  const acpi = new AcpiPm(bus, { onPowerOff() {} })
  const smbus = new SmbusHost(bus)
  let chipset: Device[]
  if (express) chipset = createQ35(bus, { pci, acpi, smbus }).devices
  else {
    const { hostBridge, isaBridge, powerManagement } = createChipset(bus, { pci, acpi, smbus })
    chipset = [hostBridge, isaBridge, powerManagement, smbus]
  }
  let flashShown = 0
  const flash = new CfiFlash(bus, {
    name: 'flash',
    address: 0xffc00000,
    contents: new Uint8Array(0x2000),
    show: () => flashShown++,
    changed() {},
  })
  const pit = new Pit8254(bus)
  const dma = new Dma8237(bus)
  const fwCfg = new FwCfg(bus)
  fwCfg.setFile('etc/file', new Uint8Array(100))
  const channel = dma.channel(2, () => {
    channel.write(new Uint8Array(16))
  })
  channel.request(true)
  const rtc = new Rtc(bus)
  const hpet = new Hpet(bus, {
    onLegacyReplacement: taken => {
      pit.connect(!taken)
      rtc.connect(!taken)
    },
  })
  const uart = new Uart16550(bus, { port: 0x3f8, irq: 4, endpoint: { transmit() {} } })
  const parallel = new ParallelPort(bus, { port: 0x378, irq: 7, endpoint: { print() {} } })
  const keyboard = new I8042(bus, { onReset() {}, onA20: enabled => control.setA20(enabled), devices: express })
  const vga = new StdVga(bus, { memory: new TestMemory(), placed: () => {} })
  const tablet = new VirtioTablet()
  const ports = new DebugPorts(bus, {})
  const terminal = new VirtioConsole({ transmit() {} })
  const message = (low: number, high: number, data: number) => system.message(low, high, data)
  const virtio = [terminal, new VirtioRng(bytes => new Uint8Array(bytes)), tablet].map(
    device => new VirtioPci(bus, device, message),
  )
  for (const { function: f } of [vga, ...virtio]) pci.addAnywhere(f)
  const windows = { memory: { start: 0xe0000000, length: 0x4000000 }, ports: { start: 0xc000, length: 0x1000 } }
  pci.assign(windows, [10, 10, 11, 11, 10, 10, 11, 11])
  const devices: Device[] = [...system.devices, control, pci, acpi, ...chipset, flash, dma, fwCfg, pit, rtc, hpet, uart]
  devices.push(parallel, keyboard, ports, vga, ...virtio)
  return { bus, system, devices, uart, terminal, pci, windows, keyboard, vga, tablet }
}

test('random accesses to every register: no exception, no odd value, no growth, no storm', () => {
  for (const seed of [1, 20_240_229, 0x7fffffff]) {
    const machine = createMachine(seed !== 1)
    const { bus, system, devices, uart, terminal, keyboard, vga, tablet } = machine
    const keys = [...KEYS.keys()]
    const random = randomBelow(seed)
    const values = [0, 1, 0xff, 0xffff, 0xffffffff, 0x80000000]
    const value = () => (random(3) === 0 ? values[random(values.length)] : random(2) ? random(256) : random(2 ** 32))
    let simulated = 0
    const check = (result: number, size: AccessSize, where: string) =>
      assert.ok(
        Number.isInteger(result) && result >= 0 && result < 2 ** (8 * size),
        `seed ${seed}: ${where}: ${result}`,
      )
    for (let i = 0; i < 60_000; i++) {
      if (i % 2000 === 0) {
        // Whatever the fuzzing has moved away comes back.
        machine.pci.assign(machine.windows, [10, 10, 11, 11, 10, 10, 11, 11])
        system.writeMsr(0, 0x1b, 0xfee00000, 0)
        system.writeMsr(0, 0x1b, 0xfee00800, 0)
      }
      const size = ([1, 2, 4] as const)[random(3)]
      const { ports, mmio } = bus.ranges()
      const action = random(8)
      if (action < 4) {
        const [first, count] = ports[random(ports.length)]
        const port = first + random(count)
        if (action & 1) bus.out(port, value() % 2 ** (8 * size), size)
        else check(bus.in(port, size), size, `port ${port}`)
      } else if (action < 7) {
        const [start, length] = mmio[random(mmio.length)]
        // Registers crowd at the start of most regions.
        const address = start + ((random(2) ? random(length) : random(Math.min(length, 0x400))) & -size)
        system.current = random(2)
        if (action < 6) bus.store(address, value() % 2 ** (8 * size), size)
        else check(bus.load(address, size), size, `address ${address}`)
      } else {
        const msr = [0x1b, 0x6e0, 0x800 + random(0x40)][random(3)]
        if (random(4) === 0) system.writeMsr(random(2), msr, value(), random(4) ? 0 : value())
        else for (const half of system.readMsr(random(2), msr) ?? []) check(half, 4, `MSR ${msr}`)
        const vector = system.acknowledge(random(2))
        assert.ok(vector >= -1 && vector < 256)
        uart.receive(new Uint8Array(random(64)))
        terminal.receive(new Uint8Array(random(64)))
        const key = keys[random(keys.length)]
        if (random(2)) keyboard.keyboard?.press(key)
        else keyboard.keyboard?.release(key)
        keyboard.mouse?.move(random(9) - 4, random(2000) - 1000, random(3) - 1)
        keyboard.mouse?.button(random(5), random(2) === 0)
        tablet.moveTo(random(5) / 4, random(5) / 4)
        tablet.button(random(4), random(2) === 0)
        const time = random(50) === 0 ? random(1e8) : random(10_000)
        simulated += time
        bus.clock.advance(time)
      }
      if (i % 1000 === 999) {
        for (const [x, y, width, height] of vga.update())
          assert.ok(x >= 0 && y >= 0 && x + width <= vga.picture.width && y + height <= vga.picture.height)
        assert.ok(vga.picture.width <= 4608 && vga.picture.height <= 4096, `seed ${seed}: a large picture`)
        vga.cells()
      }
      if (i % 5000 === 4999) {
        const saved = structuredClone(devices.map(device => device.state))
        for (const [index, device] of devices.entries()) device.state = saved[index]
        for (const device of devices) device.restored?.()
      }
    }
    for (const device of devices) {
      const weight = weigh(device.state)
      assert.ok(weight < 70_000, `seed ${seed}: ${device.name} holds ${weight} numbers`)
    }
    // Every periodic source is held to 50,000 callbacks a second; each of up to 12 timers, and each register write.
    assert.ok(bus.clock.callbacks < simulated * 12 * 5e-5 + 120_000, `seed ${seed}: ${bus.clock.callbacks} callbacks`)
    for (const device of devices) device.reset()
  }
})
