/**
 * The display adapter that QEMU calls `stdvga`: a VGA with Bochs's display interface on the PCI bus, its memory in BAR 0, its
 * registers, the display interface's and the monitor's EDID in BAR 2 (QEMU's docs/specs/standard-vga.rst).
 */
import type { Bus } from '../bus.ts'
import { PciFunction } from '../pci-function.ts'
import type { AdapterOptions, DisplayAdapter } from './adapter.ts'
import { BochsVga, type BochsVgaState } from './bochs-vga.ts'
import type { TextCells } from './cells.ts'
import type { Picture, PictureArea } from './picture.ts'
import type { Renderer } from './renderer.ts'

const VENDOR = 0x1234
const DEVICE = 0x1111
const SUBSYSTEM_VENDOR = 0x1af4
const SUBSYSTEM = 0x1100
const CLASS_VGA = 0x030000
const REGISTERS_SIZE = 0x1000

/** What of the adapter is saved. */
type StdVgaState = BochsVgaState & { function: PciFunction['state'] }

/** The adapter as a whole. */
export class StdVga implements DisplayAdapter {
  readonly name = 'stdvga'
  readonly version = 1
  readonly function: PciFunction
  readonly #vga: BochsVga

  /** @throws if one of its ports or addresses is taken */
  constructor(bus: Bus, { memory, rom, placed }: Omit<AdapterOptions, 'message'>) {
    this.#vga = new BochsVga(bus, { memory, placed })
    this.function = new PciFunction(bus, {
      name: 'stdvga-pci',
      vendorId: VENDOR,
      deviceId: DEVICE,
      revision: 2,
      classCode: CLASS_VGA,
      subsystemVendorId: SUBSYSTEM_VENDOR,
      subsystemId: SUBSYSTEM,
      bars: [this.#vga.memoryBar, undefined, { kind: 'memory', size: REGISTERS_SIZE, handler: this.#vga.registers }],
      expansionRom: rom,
    })
  }

  get state(): StdVgaState {
    return { ...this.#vga.state, function: this.function.state }
  }
  set state({ function: pci, ...vga }: StdVgaState) {
    this.#vga.state = vga
    this.function.state = pci
  }

  reset(): void {
    this.#vga.reset()
    this.function.reset()
  }

  restored(): void {
    this.#vga.restored()
    this.function.restored()
  }

  showText(bios: Uint8Array): boolean {
    return this.#vga.showText(bios)
  }

  /** Draws; its picture is {@link picture}. */
  get renderer(): Renderer {
    return this.#vga.renderer
  }

  get picture(): Picture {
    return this.#vga.picture
  }

  update(): PictureArea[] {
    return this.#vga.update()
  }

  cells(): TextCells | undefined {
    return this.#vga.cells()
  }
}
