/** The PC: memory, processor, clock, buses, and every device at the address where a guest expects it. */
import type { ActivityMarker } from '../cpu/activity.ts'
import { AcpiPm, PM_BASE } from '../devices/acpi-pm.ts'
import type { Device } from '../devices/bus.ts'
import { CfiFlash, FLASH_BLOCK } from '../devices/cfi-flash.ts'
import { DebugPorts } from '../devices/debug-ports.ts'
import { Dma8237 } from '../devices/dma8237.ts'
import { FwCfg } from '../devices/fw-cfg.ts'
import { HPET_BASE, Hpet } from '../devices/hpet.ts'
import { I6300Esb } from '../devices/i6300esb.ts'
import { I8042 } from '../devices/i8042.ts'
import { InterruptSystem } from '../devices/interrupts.ts'
import { NumericError } from '../devices/numeric-error.ts'
import { ParallelPort } from '../devices/parallel-port.ts'
import { type PciWindows, PIRQ_GSI } from '../devices/pci.ts'
import { Pit8254 } from '../devices/pit8254.ts'
import { ResetControl } from '../devices/reset-control.ts'
import { Rtc } from '../devices/rtc.ts'
import type { SoundMixer } from '../devices/sound/mixer.ts'
import { TestDevice } from '../devices/test-device.ts'
import { Uart16550 } from '../devices/uart16550.ts'
import type { AdapterOptions, DisplayAdapter } from '../devices/vga/adapter.ts'
import { VirtioConsole } from '../devices/virtio/console.ts'
import type { VirtioDevice } from '../devices/virtio/device.ts'
import { VirtioTablet } from '../devices/virtio/input.ts'
import { VirtioRng } from '../devices/virtio/rng.ts'
import { VirtioPci } from '../devices/virtio/transport-pci.ts'
import type { Engine } from '../engines/contract.ts'
import type { TranslatedCode } from '../engines/translator/listing.ts'
import { PhysicalMemory } from '../memory/physical.ts'
import { PRINTER_PORT, SERIAL_PORTS } from './acpi/isa-devices.ts'
import { type AcpiOptions, acpiTables } from './acpi/tables.ts'
import { AddressMap, LARGEST_ROM } from './address-map.ts'
import { type BootMemory, isMultiboot, loadKernel } from './boot/index.ts'
import { verifyInitrd } from './boot/initrd.ts'
import { extendedEnd, FIRMWARE_START } from './boot/layout.ts'
import { isLinuxImage } from './boot/linux.ts'
import { BootError } from './boot/state.ts'
import { MachineBus } from './bus.ts'
import { lowRamLimit, makeChipset, type PcChipset } from './chipset.ts'
import { MachineClock, TSC_FREQUENCY } from './clock.ts'
import { cmosContents } from './cmos.ts'
import { type MediumConfiguration, type MediumHost, openMedium, writeErrors } from './drives.ts'
import { makeEntropy, random32 } from './entropy.ts'
import { describeMachine, offerKernel } from './firmware.ts'
import { guestName } from './guest-name.ts'
import { MachineHostWork } from './host-work.ts'
import { InputDevices } from './input-devices.ts'
import { hypervisorLeaves, KvmClock } from './kvmclock.ts'
import { LogLines } from './log-lines.ts'
import { CONSOLE_PORT, type Images, type MachineConfiguration, PARALLEL_PORT, type Stats } from './messages.ts'
import { type Processor, type ProcessorOptions, ProcessorPorts } from './processor.ts'
import type { ProfileSource } from './profiler.ts'
import type { MachineEvent, Runnable } from './runner.ts'
import type { Display } from './screen-server.ts'
import { SoundDevices } from './sound-devices.ts'
import { closeDrives, floppyTypes, ideGeometries, type OpenDrive, openDrives, Storage } from './storage.ts'
import { MachineVideoMemory, VIDEO_MEMORY_SIZE } from './video-memory.ts'

/** What the world outside gives to a PC. */
export interface PcHooks extends MediumHost {
  /** Serial port `port`, or the parallel port, transmits a byte. */
  transmit(port: number, byte: number): void
  /** Serial port `port` (the virtio console) transmits bytes. */
  transmitAll(port: number, bytes: Uint8Array): void
  /** Serial port `port` has room for input again. */
  receiveReady(port: number): void
  /** Takes one line of the machine's log. */
  log(message: string): void
  /** Takes the listing of a region, where the configuration asks for them. */
  translated?(code: TranslatedCode): void
  /** The flash of UEFI's variables has changed, for good. */
  variablesChanged?(offset: number, bytes: Uint8Array): void
  /** The machine sounds: interleaved samples from frame `frame` of guest time on. */
  sound?(frame: number, samples: Int16Array): void
  /** Hands collected output on; false while the reader is too far behind. */
  flush(): boolean
  /** Ends a sleep of the run loop: something that the host did is over. */
  wake?(): void
  /** The screen's picture lies there from now on. */
  picturePlaced?(pixels: Int32Array<SharedArrayBuffer>): void
  /** Makes the processor. */
  createProcessor(options: ProcessorOptions): Processor | Promise<Processor>
}

/** What PCI devices get addresses from; the ACPI tables tell the guest of the same and more. */
const PCI_WINDOWS: PciWindows = {
  memory: { start: 0xe0000000, length: 0x1ec00000 },
  ports: { start: 0xc000, length: 0x4000 },
}

/** Memory 1 reaches 4 GiB, and has read-only and display memory in it too. */
const MOST_RAM = 2 ** 32 - LARGEST_ROM - VIDEO_MEMORY_SIZE - 2 ** 20

/** One PC with its guest loaded. */
export class Pc implements Runnable {
  readonly clock: MachineClock
  readonly memory: PhysicalMemory
  /** What receives input for COM1 to COM4 and the virtio console; each takes the first so many bytes. */
  readonly receivers: readonly { receive(bytes: Uint8Array): number }[]
  /** What shows the guest whether something is plugged in, by the number of the byte stream. */
  readonly #sockets: ReadonlyMap<number, { setConnected(connected: boolean): void }>
  readonly #configuration: MachineConfiguration
  readonly #hooks: PcHooks
  readonly #processor: Processor
  readonly #ports: ProcessorPorts
  readonly #bus: MachineBus
  readonly #interrupts: InterruptSystem
  readonly #devices: Device[]
  readonly #kvmClock: KvmClock
  /** The guest's time-stamp counter relative to the machine's, as devices last heard. */
  #timestampOffset = 0n
  readonly #console: VirtioConsole
  readonly hostWork: MachineHostWork
  readonly #storage: Storage
  readonly #vga: DisplayAdapter | undefined
  readonly #sound: SoundDevices | undefined
  readonly #keyboardController: I8042
  /** There are keyboard and mouse: a kernel that is loaded directly is spared the time to look for them. */
  readonly #attended: boolean
  /** Keyboard, mouse and pointers. */
  readonly input: InputDevices
  #event: MachineEvent | undefined
  readonly #map: AddressMap
  readonly #chipset: PcChipset
  readonly #acpi: AcpiPm
  readonly #fwCfg: FwCfg
  /** The processor starts in firmware. */
  readonly #firmware: boolean
  /** Guest time at which the current slice ends; before everything while none runs. */
  #sliceEnd = Number.NEGATIVE_INFINITY
  readonly #debugConsole = new LogLines(line => this.#hooks.log(`debug console: ${line}`))
  readonly #firmwareConsole = new LogLines(line => this.#hooks.log(`firmware: ${line}`))

  /**
   * Makes a PC and loads its kernel.
   * @throws BootError with one sentence when the kernel cannot be booted or the memory cannot be had
   */
  static async create(configuration: MachineConfiguration, images: Images, hooks: PcHooks): Promise<Pc> {
    const { kernel, initrd, firmware, variables } = images
    if (kernel && initrd && isLinuxImage(kernel)) await verifyInitrd(initrd)
    if (firmware) checkFirmware(firmware, variables)
    const drives = await openDrives(configuration.drives ?? [], hooks)
    try {
      return await Pc.#make(configuration, images, hooks, drives)
    } catch (error) {
      await closeDrives(drives).catch(() => {})
      throw error
    }
  }

  static async #make(
    configuration: MachineConfiguration,
    images: Images,
    hooks: PcHooks,
    drives: readonly OpenDrive[],
  ): Promise<Pc> {
    const { kernel, firmware, variables, videoBios } = images
    const memory = makeMemory(configuration)
    const ports = new ProcessorPorts()
    const processor = await hooks.createProcessor({
      memory,
      engine: configuration.engine,
      cpu: configuration.cpu,
      guest: guestName(configuration, images),
      machine: ports,
      hypervisorLeaves: hypervisorLeaves(),
      onTranslated: configuration.listCode ? code => hooks.translated?.(code) : undefined,
      random32: random32(configuration.clock),
    })
    const multiboot = kernel !== undefined && isMultiboot(kernel)
    const adapter = await adapterOf(configuration)
    const pc = new Pc({
      configuration,
      hooks,
      memory,
      ports,
      processor,
      multiboot,
      firmware: firmware !== undefined,
      adapter,
      videoBios: videoBios?.slice(),
      drives,
    })
    if (firmware) pc.#map.setFirmware(firmware)
    if (firmware && variables) pc.#addFlash(2 ** 32 - firmware.length - variables.length, variables)
    pc.#load(images)
    return pc
  }

  private constructor({
    configuration,
    hooks,
    memory,
    ports,
    processor,
    multiboot,
    firmware,
    adapter,
    videoBios,
    drives,
  }: {
    configuration: MachineConfiguration
    hooks: PcHooks
    memory: PhysicalMemory
    ports: ProcessorPorts
    processor: Processor
    multiboot: boolean
    firmware: boolean
    adapter: AdapterConstructor | undefined
    videoBios: Uint8Array | undefined
    drives: readonly OpenDrive[]
  }) {
    this.#firmware = firmware
    const map = new AddressMap(memory)
    this.#map = map
    this.#configuration = configuration
    this.#hooks = hooks
    this.memory = memory
    this.#ports = ports
    this.#processor = processor
    const clock = new MachineClock(configuration.clock)
    clock.countInstructions(() => processor.instructions())
    clock.onEarlierDeadline = () => {
      if (clock.nextDeadline() < this.#sliceEnd) ports.stopRequested = true
    }
    clock.onInterruption = () => {
      ports.stopRequested = true
    }
    this.clock = clock
    const bus = new MachineBus({
      clock,
      memory,
      interrupt: number => this.#interrupts.line(number),
      log: message => hooks.log(message),
    })
    this.#bus = bus
    this.#interrupts = new InterruptSystem(bus, {
      processors: [
        {
          id: 0,
          signals: processor.signals,
          timestampTime: (low, high) => {
            const ticks = (BigInt(high >>> 0) << 32n) | BigInt(low >>> 0)
            return Number(BigInt.asIntN(64, ticks - processor.timestampOffset())) * (1e9 / TSC_FREQUENCY)
          },
        },
      ],
    })
    const kvmClock = new KvmClock({
      clock,
      memory,
      guestTimestamp: () => BigInt(Math.floor(clock.timestamp())) + processor.timestampOffset(),
    })
    this.#kvmClock = kvmClock
    const numericError = new NumericError(bus, { onIgnore: () => processor.signals.ignoreNumericError() })
    ports.connect({
      bus,
      map,
      clock,
      interrupts: this.#interrupts,
      kvmClock,
      numericError,
      activity: processor.activity,
      backdoor: () => processor.registers && this.input.backdoor(processor.registers),
    })

    const reset = () => this.#raise({ kind: 'reset' })
    const resetProcessor = () => this.#resetProcessor()
    const resetControl = new ResetControl(bus, {
      onReset: reset,
      onResetProcessor: resetProcessor,
      onA20: enabled => map.setA20(enabled),
    })
    const acpi = new AcpiPm(bus, { onPowerOff: () => this.#raise({ kind: 'poweroff' }) })
    this.#acpi = acpi
    const below = memory.regions()[0].length
    const chipset = makeChipset(bus, {
      machine: configuration.machine,
      firmware,
      below,
      acpi,
      registerCf9: resetControl.registerCf9,
      onShadow: registers => map.setShadow(registers),
      onWatchdog: reset,
    })
    this.#chipset = chipset
    const { pci } = chipset
    const pit = new Pit8254(bus, { onSpeaker: () => this.#sound?.speaker.change() })
    const dma = new Dma8237(bus)
    const sound = (frame: number, samples: Int16Array) => hooks.sound?.(frame, samples)
    if (configuration.sound) this.#sound = new SoundDevices(bus, { pit, dma, pci, emit: sound }, configuration.sound)
    const { order } = configuration.boot
    const rtc = new Rtc(bus, {
      cmos: cmosContents({
        below,
        above: memory.size - below,
        bootOrder: order,
        floppies: floppyTypes(drives),
        ideDisks: ideGeometries(drives),
      }),
    })
    this.#fwCfg = new FwCfg(bus)
    const [signature, features] = processor.identification()
    describeMachine(this.#fwCfg, {
      regions: memory.regions(),
      acpi: () => this.#acpiOptions(),
      boot: configuration.boot,
      signature,
      features,
      consolePort: configuration.display ? undefined : SERIAL_PORTS[0].port,
    })
    const uarts: Uart16550[] = SERIAL_PORTS.map(
      ({ port, irq }, index) =>
        new Uart16550(bus, {
          port,
          irq,
          held: configuration.holdInput && index === 0,
          endpoint: {
            transmit: byte => {
              if (index === 1) uarts[0].release()
              hooks.transmit(index, byte)
            },
            receiveReady: () => hooks.receiveReady(index),
          },
        }),
    )
    this.#console = new VirtioConsole({
      transmit: bytes => hooks.transmitAll(CONSOLE_PORT, bytes),
      receiveReady: () => hooks.receiveReady(CONSOLE_PORT),
    })
    this.receivers = [...uarts, this.#console]
    if (adapter) {
      this.#vga = new adapter(bus, {
        memory: new MachineVideoMemory(memory, map),
        rom: videoBios,
        placed: pixels => hooks.picturePlaced?.(pixels),
        message: (low, high, data) => this.#interrupts.message(low, high, data),
      })
      pci.addAnywhere(this.#vga.function)
    }
    const parallel = new ParallelPort(bus, {
      ...PRINTER_PORT,
      endpoint: { print: byte => hooks.transmit(PARALLEL_PORT, byte) },
    })
    this.#sockets = new Map<number, Uart16550 | ParallelPort>([...uarts.entries(), [PARALLEL_PORT, parallel]])
    const entropy = makeEntropy(configuration.clock)
    this.#attended = firmware || this.#vga !== undefined
    const controller = new I8042(bus, {
      onReset: resetProcessor,
      onA20: enabled => resetControl.setA20(enabled),
      devices: this.#attended,
    })
    this.#keyboardController = controller
    const tablet = this.#vga && new VirtioTablet()
    this.input = new InputDevices(clock, {
      controller,
      tablet,
      size: () => this.#vga?.picture ?? { width: 640, height: 480 },
    })
    const virtio = [this.#console, new VirtioRng(entropy), ...(tablet ? [tablet] : [])].map((device: VirtioDevice) => {
      const transport = new VirtioPci(bus, device, (low, high, data) => this.#interrupts.message(low, high, data))
      pci.addAnywhere(transport.function)
      return transport
    })
    this.hostWork = new MachineHostWork(
      clock.kind === 'instructions',
      () => {
        ports.stopRequested = true
      },
      () => hooks.wake?.(),
    )
    this.#storage = new Storage(bus, drives, {
      pci,
      message: (low, high, data) => this.#interrupts.message(low, high, data),
      work: this.hostWork,
      dma,
      isaBridgeSlot: chipset.isaBridgeSlot,
      sataFunction: chipset.sataFunction,
      everyController: firmware,
    })
    const watchdog = configuration.watchdog === 'i6300esb' ? new I6300Esb(bus, reset) : undefined
    if (watchdog) pci.addAnywhere(watchdog.function)
    this.#devices = [
      ...this.#interrupts.devices,
      pci,
      ...chipset.devices,
      acpi,
      kvmClock,
      resetControl,
      numericError,
      dma,
      pit,
      rtc,
      this.#fwCfg,
      new Hpet(bus, {
        onLegacyReplacement(taken) {
          pit.connect(!taken)
          rtc.connect(!taken)
        },
      }),
      controller,
      new DebugPorts(bus, {
        onDebugByte: byte => this.#debugConsole.add(byte),
        onFirmwareByte: byte => this.#firmwareConsole.add(byte),
        onDebugExit: value => this.#raise({ kind: 'debug-exit', code: ((value << 1) | 1) >>> 0 }),
      }),
      // What kvm-unit-tests drive; other guests could take its ports for free ones.
      ...(multiboot ? [new TestDevice(bus)] : []),
      ...uarts,
      ...(this.#vga ? [this.#vga] : []),
      parallel,
      ...virtio,
      ...this.#storage.devices,
      ...(this.#sound?.devices ?? []),
      ...(watchdog ? [watchdog] : []),
    ]
  }

  /**
   * Puts a medium into a drive, or with undefined takes out what is in.
   * @param how whether also where the guest holds it, and how many milliseconds it may take to let go
   * @throws Error with one sentence
   */
  async changeMedium(
    drive: string,
    medium: MediumConfiguration | undefined,
    how: { force: boolean; wait: number },
  ): Promise<void> {
    const made = this.#storage.configurationOf(drive)
    const disk =
      medium && (await openMedium(medium, this.#hooks, made?.kind ?? 'disk', writeErrors(made ?? {}, this.#hooks)))
    try {
      await this.#storage.change(drive, disk, how)
    } catch (error) {
      await disk?.close().catch(() => {})
      throw error
    }
  }

  /** Every device, and where they answer now: for tests that go at all of them. */
  inspect(): { devices: readonly Device[]; bus: MachineBus } {
    return { devices: this.#devices, bus: this.#bus }
  }

  /** Flushes and closes the drives' media: nothing is executed any more. @throws the first error */
  async close(): Promise<void> {
    await closeDrives(this.#storage.drives)
  }

  /** What the display adapter shows, where there is one. */
  get display(): Display | undefined {
    return this.#vga
  }

  /** What everything that sounds goes through, where there is such. */
  get mixer(): SoundMixer | undefined {
    return this.#sound?.mixer
  }

  /** Whether a reset starts the guest again. */
  get reboots(): boolean {
    return this.#configuration.reboot
  }

  /** Whether something is plugged into a port, as numbers of byte streams count them. */
  setConnected(port: number, connected: boolean): void {
    this.#sockets.get(port)?.setConnected(connected)
  }

  /** Tells the guest's console the size of the user's terminal, in characters. */
  resizeConsole(columns: number, rows: number): void {
    this.#console.resize(columns, rows)
  }

  /** Someone presses the power button. */
  pressPowerButton(): void {
    this.#acpi.pressPowerButton()
  }

  get activity(): ActivityMarker | undefined {
    return this.#processor.activity
  }

  /** Where another thread may look to see what the processor does, where there is such a place. */
  get profileSource(): ProfileSource | undefined {
    const { stateBase } = this.#processor
    return stateBase === undefined ? undefined : { memory: this.memory.cpuMemory.buffer, stateBase }
  }

  get engine(): Engine {
    return this.#processor.engine
  }

  instructions(): number {
    return this.#processor.instructions()
  }

  flush(): boolean {
    return this.#hooks.flush()
  }

  beginSlice(nanoseconds: number): void {
    this.#sliceEnd = this.clock.now() + nanoseconds
    this.#ports.stopRequested = this.#event !== undefined
  }

  takeEvent(): MachineEvent | undefined {
    const event = this.#event
    this.#event = undefined
    this.#sliceEnd = Number.NEGATIVE_INFINITY
    this.#followTimestamp()
    return event
  }

  /** The guest wrote its time-stamp counter: deadlines in its terms move, and kvmclock's base with them. */
  #followTimestamp(): void {
    const offset = this.#processor.timestampOffset()
    if (offset === this.#timestampOffset) return
    this.#timestampOffset = offset
    for (const apic of this.#interrupts.apics) apic.timestampChanged()
    this.#kvmClock.update()
  }

  /** RESET# for everything, then the kernel again as at first. */
  reset(images: Images): void {
    this.#event = undefined
    for (const device of this.#devices) device.reset()
    this.input.reset()
    this.#load(images)
  }

  /** Writes what the processor made for the guest's next start. */
  keepCode(): void {
    this.#processor.keepCode?.()
  }

  /** Counts and times. @param busyMilliseconds and exits come from the runner. */
  stats(exits: Record<string, number>, busyMilliseconds: number): Stats {
    return {
      instructions: this.instructions(),
      busySeconds: busyMilliseconds / 1000,
      guestSeconds: this.clock.now() / 1e9,
      exits: { ...exits },
      engine: this.engine.name,
      engineStats: this.#processor.stats(),
      activities: this.#processor.activities?.() ?? [],
    }
  }

  /** Something that a device did ends the slice. The first thing counts. */
  #raise(event: MachineEvent): void {
    this.#event ??= event
    this.#ports.stopRequested = true
  }

  /**
   * RC# of the keyboard controller and the like: the processor starts again, and nothing else does. Programs of the 80286
   * come back to real mode by it. Without firmware nobody would know what to do then.
   */
  #resetProcessor(): void {
    if (this.#firmware && this.#configuration.reboot) this.#processor.signals.init()
    else this.#raise({ kind: 'reset' })
  }

  /** Puts UEFI's variables where its firmware expects them. */
  #addFlash(address: number, contents: Uint8Array): void {
    const show = this.#map.deviceMemory(address, contents.length)
    const changed = (offset: number, bytes: Uint8Array) => this.#hooks.variablesChanged?.(offset, bytes)
    this.#devices.push(new CfiFlash(this.#bus, { name: 'variables', address, contents, show, changed }))
  }

  #acpiOptions(): AcpiOptions {
    const chipset = this.#chipset
    return {
      processors: [0],
      ioApicId: 0,
      input: this.#attended,
      display: this.#vga !== undefined,
      powerManagementBase: this.#acpi.state.base ?? PM_BASE,
      hpetCapabilities: this.#bus.readMmio(HPET_BASE, 4),
      pciMemoryStart: chipset.pciMemoryStart,
      configurationBase: chipset.configurationBase(),
      pciInterrupt: (slot, pin) => PIRQ_GSI + chipset.pci.wireOf(slot, pin + 1),
      pciIrq: (slot, pin) => chipset.irqs[chipset.pci.wireOf(slot, pin + 1)],
      floppies: this.#storage.floppies(),
    }
  }

  #load({ kernel, initrd, modules, variables, videoBios }: Images): void {
    const { commandLine } = this.#configuration
    this.#processor.reset()
    if (this.#firmware) {
      // Firmware without variables is a BIOS.
      const bios = variables ? undefined : { extendedEnd: extendedEnd(bootMemory(this.memory).regions) }
      if (kernel) offerKernel(this.#fwCfg, kernel, { initrd, commandLine, bios })
      return
    }
    // What firmware would leave: RAM wherever there is some.
    const { pci, irqs, prepare } = this.#chipset
    prepare()
    const tables = acpiTables(FIRMWARE_START, this.#acpiOptions())
    pci.assign(PCI_WINDOWS, irqs)
    this.memory.write(tables.address, tables.bytes)
    const state = loadKernel(bootMemory(this.memory), {
      kernel: kernel!,
      initrd,
      modules,
      commandLine,
      rsdp: tables.rsdp,
      textScreen: videoBios && this.#vga?.showText(videoBios),
    })
    this.#keyboardController.enableKeyboard()
    this.#processor.boot(state)
  }
}

type AdapterConstructor = new (bus: MachineBus, options: AdapterOptions) => DisplayAdapter

/** The display adapter of a machine. Who has none does not wait for its code to be loaded. */
async function adapterOf({ vga }: MachineConfiguration): Promise<AdapterConstructor | undefined> {
  if (vga === 'std') return (await import('../devices/vga/stdvga.ts')).StdVga
  return vga === 'virtio' ? (await import('../devices/vga/virtio-vga.ts')).VirtioVga : undefined
}

/** @throws BootError where it can be no firmware, or no flash beneath it */
function checkFirmware(firmware: Uint8Array, variables: Uint8Array | undefined): void {
  if (firmware.length % 4096 !== 0 || firmware.length < 0x10000 || firmware.length > LARGEST_ROM)
    throw new BootError(
      `the firmware has ${firmware.length} bytes: give an image of 64 KiB to 16 MiB that is a multiple of 4 KiB, as bios-256k.bin of SeaBIOS is`,
    )
  if (variables === undefined) return
  const { length } = variables
  if (length === 0 || length % FLASH_BLOCK !== 0 || firmware.length + length > LARGEST_ROM)
    throw new BootError(
      `the variables have ${length} bytes: give a multiple of 4 KiB that fits in 16 MiB with the firmware, as OVMF_VARS_4M.fd of OVMF is`,
    )
}

/** A machine's memory, or a sentence. */
function makeMemory({ memory: bytes, machine, vga }: MachineConfiguration): PhysicalMemory {
  try {
    const size = Math.min(bytes, MOST_RAM)
    // Frames that are written while others hold them get copies.
    const limit = Math.min(2 * size + (vga !== undefined && vga !== 'none' ? VIDEO_MEMORY_SIZE : 0), 2 ** 32)
    return new PhysicalMemory(size, limit, lowRamLimit(machine, size))
  } catch (error) {
    if (!(error instanceof RangeError)) throw error
    throw new BootError(`the host cannot give the machine ${bytes / 2 ** 20} MiB of memory: ask for less with --memory`)
  }
}

/** Physical memory as a loader wants it. */
function bootMemory(memory: PhysicalMemory): BootMemory {
  const zeros = new Uint8Array(1 << 20)
  return {
    regions: memory.regions().map(({ start, length }) => ({ address: start, length })),
    write: (address, bytes) => memory.write(address, bytes),
    clear(address, length) {
      for (let done = 0; done < length; done += zeros.length)
        memory.write(address + done, zeros.subarray(0, Math.min(zeros.length, length - done)))
    },
  }
}
