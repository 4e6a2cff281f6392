/**
 * The display adapter that QEMU calls `virtio-vga`: a VGA with Bochs's display interface and a virtio GPU in one function. Firmware, boot
 * loaders and text modes use the VGA; a driver of the GPU takes the screen over when it shows something, until it resets its device.
 */
import type { Bus } from '../bus.ts'
import type { PciFunction } from '../pci-function.ts'
import { type GpuState, VirtioGpu } from '../virtio/gpu.ts'
import { GPU_MOST_PIXELS } from '../virtio/gpu-resources.ts'
import { VirtioPci, type VirtioPciState } from '../virtio/transport-pci.ts'
import type { AdapterOptions, DisplayAdapter } from './adapter.ts'
import { BochsVga, type BochsVgaState } from './bochs-vga.ts'
import type { TextCells } from './cells.ts'
import type { Picture, PictureArea } from './picture.ts'

const CLASS_VGA = 0x030000
/** The BARs, where QEMU's has them: UEFI's driver looks for the display interface in BAR 2. */
const MEMORY_BAR = 0
const STRUCTURES_BAR = 2
const MSIX_BAR = 4
/** The VGA's registers in front of virtio's structures. */
const REGISTERS_BYTES = 0x1000

/** What of the adapter is saved. */
interface VirtioVgaState {
  vga: BochsVgaState
  virtio: VirtioPciState & { device: GpuState }
}

/** The adapter as a whole. */
export class VirtioVga implements DisplayAdapter {
  readonly name = 'virtio-vga'
  readonly version = 1
  readonly #vga: BochsVga
  readonly #gpu: VirtioGpu
  readonly #transport: VirtioPci
  /** Who drew the picture last. */
  #drawn: 'vga' | 'gpu' = 'vga'

  /** @throws if one of its ports or addresses is taken */
  constructor(bus: Bus, { memory, rom, placed, message }: AdapterOptions) {
    this.#vga = new BochsVga(bus, { memory, placed, widest: GPU_MOST_PIXELS })
    this.#gpu = new VirtioGpu(bus, CLASS_VGA)
    const { registers } = this.#vga
    const bars = []
    bars[MEMORY_BAR] = this.#vga.memoryBar
    this.#transport = new VirtioPci(bus, this.#gpu, message, {
      bars,
      structuresBar: STRUCTURES_BAR,
      msixBar: MSIX_BAR,
      expansionRom: rom,
      front: {
        readMmio: (offset, size) => (offset < REGISTERS_BYTES ? registers.readMmio(offset, size) : 0),
        writeMmio: (offset, size, value) => {
          if (offset < REGISTERS_BYTES) registers.writeMmio(offset, size, value)
        },
      },
    })
  }

  get function(): PciFunction {
    return this.#transport.function
  }

  get state(): VirtioVgaState {
    return { vga: this.#vga.state, virtio: this.#transport.state as VirtioVgaState['virtio'] }
  }
  set state({ vga, virtio }: VirtioVgaState) {
    this.#vga.state = vga
    this.#transport.state = virtio
  }

  reset(): void {
    this.#vga.reset()
    this.#transport.reset()
  }

  restored(): void {
    this.#vga.restored()
    this.#transport.restored()
    this.#gpu.restored()
  }

  showText(bios: Uint8Array): boolean {
    return this.#vga.showText(bios)
  }

  resize(width: number, height: number): void {
    this.#gpu.resize(width, height)
  }

  get picture(): Picture {
    return this.#vga.picture
  }

  update(): PictureArea[] {
    const before = this.#drawn
    this.#drawn = this.#gpu.enabled ? 'gpu' : 'vga'
    if (this.#drawn === 'gpu') return this.#gpu.update(this.picture, before === 'vga')
    if (before === 'gpu') this.#vga.renderer.invalidate()
    return this.#vga.update()
  }

  cells(): TextCells | undefined {
    return this.#gpu.enabled ? undefined : this.#vga.cells()
  }
}
