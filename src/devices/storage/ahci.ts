/** An AHCI controller like the ICH9's (Serial ATA AHCI 1.3.1; I/O Controller Hub 9 datasheet, chapter 14): six ports. */
import type { Bus, Device } from '../bus.ts'
import { Msi } from '../msi.ts'
import type { MessageSignal } from '../msix.ts'
import { PciFunction } from '../pci-function.ts'
import { dwordRegisters } from '../registers.ts'
import { AhciPort } from './ahci-port.ts'
import type { AtaDevice } from './ata.ts'
import type { HostWork } from './block.ts'

const INTEL = 0x8086
const ICH9_AHCI = 0x2922
const CLASS_AHCI = 0x010601
const ABAR_BYTES = 0x1000
const SATA_CAPABILITY = 0x12

/** How many ports there are. */
export const AHCI_PORTS = 6
/** Generic host control (3.1). */
const CAP = 0x00
const GHC = 0x04
const IS = 0x08
const PI = 0x0c
const VS = 0x10
const PORTS_AT = 0x100
const PORT_BYTES = 0x80

const GHC_RESET = 1
const GHC_INTERRUPTS = 2
const GHC_AHCI = 0x80000000
/** 64 bits, NCQ, no mechanical switches, command list override, AHCI only, 3 Gb/s, 32 slots, and the number of ports. */
const CAPABILITIES = 0x80000000 | (1 << 30) | (1 << 24) | (1 << 18) | (2 << 20) | (31 << 8) | (AHCI_PORTS - 1)
const VERSION_1_0 = 0x00010000

interface AhciState {
  pci: PciFunction['state']
  ghc: number
  is: number
  ports: AhciPort['state'][]
  devices: (object | null)[]
}

/** What an {@link AhciController} is made of. */
export interface AhciOptions {
  name?: string
  /** By port. */
  devices: readonly (AtaDevice | undefined)[]
  host?: HostWork
}

/** The controller. */
export class AhciController implements Device {
  readonly name: string
  readonly version = 1
  readonly function: PciFunction
  readonly #ports: AhciPort[]
  readonly #msi: Msi
  #ghc = GHC_AHCI
  /** Ports whose interrupt has not been acknowledged. */
  #is = 0

  constructor(bus: Bus, message: MessageSignal, options: AhciOptions) {
    this.name = options.name ?? 'ahci'
    this.#msi = new Msi(1, message)
    this.#ports = Array.from(
      { length: AHCI_PORTS },
      (_, index) =>
        new AhciPort(options.devices[index], {
          name: `${this.name} port ${index}`,
          clock: bus.clock,
          work: options.host,
          memory: () => this.function.memory,
          interruptChanged: () => this.#update(),
          logOnce: (key, text) => bus.logOnce(key, text),
        }),
    )
    const registers = dwordRegisters({
      readDword: offset => this.#read(offset),
      writeDword: (offset, value) => this.#write(offset, value),
    })
    this.function = new PciFunction(bus, {
      name: `${this.name}-pci`,
      vendorId: INTEL,
      deviceId: ICH9_AHCI,
      revision: 2,
      classCode: CLASS_AHCI,
      interruptPin: 1,
      bars: [
        undefined,
        undefined,
        undefined,
        undefined,
        undefined,
        { kind: 'memory', size: ABAR_BYTES, handler: registers },
      ],
      capabilities: [this.#msi.capability(), { id: SATA_CAPABILITY, bytes: [0x10, 0, 0x48, 0, 0, 0] }],
      onWrite: (offset, size) => this.#msi.configWritten(offset, size),
    })
    this.#msi.attach(this.function)
    for (const port of this.#ports) port.reset()
  }

  get state(): AhciState {
    return {
      pci: this.function.state,
      ghc: this.#ghc,
      is: this.#is,
      ports: this.#ports.map(port => port.state),
      devices: this.#ports.map(port => port.device?.state ?? null),
    }
  }

  set state(state: AhciState) {
    this.function.state = state.pci
    this.#ghc = state.ghc
    this.#is = state.is
    for (const [i, port] of this.#ports.entries()) {
      port.state = state.ports[i]
      if (port.device) port.device.state = state.devices[i]!
    }
  }

  reset(): void {
    this.function.reset()
    this.#hostReset()
  }

  restored(): void {
    this.function.restored()
  }

  #hostReset(): void {
    this.#ghc = GHC_AHCI
    this.#is = 0
    for (const port of this.#ports) port.reset()
    this.#update()
  }

  #update(): void {
    const before = this.#is
    for (const [index, port] of this.#ports.entries()) if (port.interrupt) this.#is |= 1 << index
    const wanted = this.#is !== 0 && (this.#ghc & GHC_INTERRUPTS) !== 0
    if (this.#msi.enabled) {
      if (wanted && this.#is & ~before) this.#msi.notify(0)
    } else this.function.interrupt.set(wanted)
  }

  #read(offset: number): number {
    if (offset >= PORTS_AT) {
      const port = this.#ports[Math.floor((offset - PORTS_AT) / PORT_BYTES)]
      return (port?.read((offset - PORTS_AT) % PORT_BYTES) ?? 0) >>> 0
    }
    switch (offset) {
      case CAP:
        return CAPABILITIES >>> 0
      case GHC:
        return this.#ghc >>> 0
      case IS:
        return this.#is >>> 0
      case PI:
        return (1 << AHCI_PORTS) - 1
      case VS:
        return VERSION_1_0
      default:
        return 0
    }
  }

  #write(offset: number, value: number): void {
    if (offset >= PORTS_AT) {
      this.#ports[Math.floor((offset - PORTS_AT) / PORT_BYTES)]?.write((offset - PORTS_AT) % PORT_BYTES, value)
    } else if (offset === GHC) {
      if (value & GHC_RESET) this.#hostReset()
      else {
        this.#ghc = GHC_AHCI | (value & GHC_INTERRUPTS)
        this.#update()
      }
    } else if (offset === IS) {
      // A port that still wants one raises it again.
      this.#is &= ~value
      this.#update()
    }
  }
}
