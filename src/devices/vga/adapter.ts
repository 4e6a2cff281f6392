/** What a machine sees of a display adapter, whichever it has. */
import type { Device } from '../bus.ts'
import type { MessageSignal } from '../msix.ts'
import type { PciFunction } from '../pci-function.ts'
import type { TextCells } from './cells.ts'
import type { Picture, PictureArea, PicturePlaced } from './picture.ts'
import type { VideoMemory } from './planes.ts'

/** What an adapter is made with. */
export interface AdapterOptions {
  memory: VideoMemory
  /** Its BIOS. */
  rom?: Uint8Array
  /** Is told where the picture's pixels lie. */
  placed: PicturePlaced
  /** Sends a message-signalled interrupt. */
  message: MessageSignal
}

/** An adapter on the PCI bus. */
export interface DisplayAdapter extends Device {
  readonly function: PciFunction
  /** What {@link update} draws into. */
  readonly picture: Picture
  /** Draws what has changed. @returns its areas */
  update(): PictureArea[]
  /** The characters of a text mode, in the colors of the last update. */
  cells(): TextCells | undefined
  /**
   * Leaves what its BIOS would leave: a text mode of 80 × 25 characters, in the BIOS's font.
   * @returns whether there is a font
   */
  showText(bios: Uint8Array): boolean
  /** Whoever looks would like the picture to have so many pixels: an adapter whose monitor can change tells the guest. */
  resize?(width: number, height: number): void
}
