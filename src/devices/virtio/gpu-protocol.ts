/** Commands, answers and structures of the GPU device's two dimensions (Virtual I/O Device 1.2, 5.7.6). */

/** Types of commands. */
export const GPU_CMD = {
  GET_DISPLAY_INFO: 0x100,
  RESOURCE_CREATE_2D: 0x101,
  RESOURCE_UNREF: 0x102,
  SET_SCANOUT: 0x103,
  RESOURCE_FLUSH: 0x104,
  TRANSFER_TO_HOST_2D: 0x105,
  RESOURCE_ATTACH_BACKING: 0x106,
  RESOURCE_DETACH_BACKING: 0x107,
  GET_EDID: 0x10a,
  UPDATE_CURSOR: 0x300,
  MOVE_CURSOR: 0x301,
} as const

/** Types of answers. */
export const GPU_RESP = {
  OK_NODATA: 0x1100,
  OK_DISPLAY_INFO: 0x1101,
  OK_EDID: 0x1104,
  ERR_UNSPEC: 0x1200,
  ERR_OUT_OF_MEMORY: 0x1201,
  ERR_INVALID_SCANOUT_ID: 0x1202,
  ERR_INVALID_RESOURCE_ID: 0x1203,
  ERR_INVALID_PARAMETER: 0x1205,
} as const

/** The header: type, flags, fence, context, ring. */
export const GPU_HEADER_BYTES = 24
/** The longest command without the entries of a backing. */
export const GPU_COMMAND_BYTES = 56
/** The driver wants to hear when a command is done: the answer has its fence. */
export const GPU_FLAG_FENCE = 1
/** An entry of a backing: address, length, padding. */
export const GPU_MEM_ENTRY_BYTES = 16
/** Scanouts that an answer to GET_DISPLAY_INFO has room for, and how long each is. */
export const GPU_MOST_SCANOUTS = 16
export const GPU_DISPLAY_BYTES = 24
/** Room for an EDID. */
export const GPU_EDID_BYTES = 1024

/** Formats of pixels: the names say the order of their four bytes in memory. */
export const GPU_FORMAT = {
  B8G8R8A8: 1,
  B8G8R8X8: 2,
  A8R8G8B8: 3,
  X8R8G8B8: 4,
  R8G8B8A8: 67,
  X8B8G8R8: 68,
  A8B8G8R8: 121,
  R8G8B8X8: 134,
} as const
const FORMATS: readonly number[] = Object.values(GPU_FORMAT)

/** Whether there is such a format. */
export function isGpuFormat(format: number): boolean {
  return FORMATS.includes(format)
}

/** A rectangle of pixels. */
export interface GpuRectangle {
  x: number
  y: number
  width: number
  height: number
}

/** A command as the driver gave it, with bytes that it left out as zeros. */
export class GpuCommand {
  /** Bytes that there were, at most {@link GPU_COMMAND_BYTES}. */
  readonly length: number
  readonly #view: DataView

  constructor(bytes: Uint8Array) {
    this.length = bytes.length
    const whole = new Uint8Array(GPU_COMMAND_BYTES)
    whole.set(bytes)
    this.#view = new DataView(whole.buffer)
  }

  get type(): number {
    return this.u32(0)
  }

  /** A field of four bytes. */
  u32(offset: number): number {
    return this.#view.getUint32(offset, true)
  }

  /** A field of four bytes with a sign: cursors are put left of and above the screen. */
  i32(offset: number): number {
    return this.#view.getInt32(offset, true)
  }

  /** A field of eight bytes; beyond 2^53 it is not exact, and no place either. */
  u64(offset: number): number {
    return this.u32(offset) + this.u32(offset + 4) * 2 ** 32
  }

  /** The rectangle behind the header. */
  get rectangle(): GpuRectangle {
    return { x: this.u32(24), y: this.u32(28), width: this.u32(32), height: this.u32(36) }
  }

  /** An answer of a type, with room for more behind the header. It has the fence, where the driver wants to hear of it. */
  answer(type: number, more = 0): DataView {
    const view = new DataView(new ArrayBuffer(GPU_HEADER_BYTES + more))
    view.setUint32(0, type, true)
    if (this.u32(4) & GPU_FLAG_FENCE) {
      view.setUint32(4, GPU_FLAG_FENCE, true)
      for (const at of [8, 12, 16]) view.setUint32(at, this.u32(at), true)
    }
    return view
  }
}
