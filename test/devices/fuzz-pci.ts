/** PCI as a guest sees it, by ports CF8h and CFCh. */
import type { AccessSize } from '../../src/devices/bus.ts'
import type { Random } from '../../src/devices/test-random.ts'
import type { MachineInterface } from '../../src/engines/contract.ts'

const ADDRESS = 0xcf8
const DATA = 0xcfc
const COMMAND = 4
const CAPABILITIES = 0x34
const BAR_0 = 0x10
const MEMORY_WINDOW = 0xc0000000
const PORT_WINDOW = 0xc000

/** A BAR of a function, and where the guest has put it. */
export interface Bar {
  index: number
  kind: 'ports' | 'memory'
  size: number
  address: number
}

/** A function that answers. */
export class PciTarget {
  readonly vendor: number
  readonly bars: Bar[] = []
  readonly #ports: MachineInterface
  readonly #selector: number

  constructor(ports: MachineInterface, device: number, fn: number) {
    this.#ports = ports
    this.#selector = 0x80000000 + (device << 11) + (fn << 8)
    this.vendor = this.read(0, 2)
  }

  read(register: number, size: AccessSize): number {
    this.#ports.writePort(ADDRESS, 4, this.#selector + (register & 0xfc))
    return this.#ports.readPort(DATA + (register & 3 & -size), size)
  }

  write(register: number, size: AccessSize, value: number): void {
    this.#ports.writePort(ADDRESS, 4, this.#selector + (register & 0xfc))
    this.#ports.writePort(DATA + (register & 3 & -size), size, value)
  }

  /** Where the capabilities with an ID are. */
  capabilities(id: number): number[] {
    const found: number[] = []
    let at = this.read(CAPABILITIES, 1) & 0xfc
    for (let i = 0; at !== 0 && i < 48; i++) {
      if (this.read(at, 1) === id) found.push(at)
      at = this.read(at + 1, 1) & 0xfc
    }
    return found
  }
}

/** All functions of bus 0. */
export class FuzzPci {
  readonly functions: PciTarget[] = []

  constructor(ports: MachineInterface) {
    for (let device = 0; device < 32; device++)
      for (let fn = 0; fn < 8; fn++) {
        const target = new PciTarget(ports, device, fn)
        if (target.vendor !== 0xffff) this.functions.push(target)
      }
    this.#findBars()
  }

  /** As firmware does: what bits of a BAR stay says how large it is. */
  #findBars(): void {
    let memory = MEMORY_WINDOW
    let port = PORT_WINDOW
    for (const f of this.functions) {
      if ((f.read(0x0e, 1) & 0x7f) !== 0) continue
      for (let index = 0; index < 6; index++) {
        const register = BAR_0 + 4 * index
        f.write(register, 4, 0xffffffff)
        const bits = f.read(register, 4)
        f.write(register, 4, 0)
        if (bits === 0) continue
        if (bits & 1) {
          const size = (~(bits & 0xfffc) & 0xffff) + 1
          port = Math.ceil(port / size) * size
          f.bars.push({ index, kind: 'ports', size, address: port })
          port += size
        } else {
          const size = (~(bits & 0xfffffff0) >>> 0) + 1
          memory = Math.ceil(memory / size) * size
          f.bars.push({ index, kind: 'memory', size, address: memory })
          memory += size
          if (bits & 4) index++
        }
      }
    }
  }

  /** Puts every BAR where it belongs, and lets every function be bus master. */
  assign(): void {
    for (const f of this.functions) {
      for (const { index, kind, address } of f.bars) {
        f.write(BAR_0 + 4 * index, 4, kind === 'ports' ? address | 1 : address)
        if (kind === 'memory' && f.read(BAR_0 + 4 * index, 4) & 4) f.write(BAR_0 + 4 * index + 4, 4, 0)
      }
      f.write(COMMAND, 2, 7)
    }
  }

  /** The address of some register. */
  somewhere(random: Random): number {
    const bars = this.functions.flatMap(f => f.bars)
    const bar = bars[random(bars.length)]
    return bar.address + (random(Math.min(bar.size, 0x4000)) & ~3)
  }
}
