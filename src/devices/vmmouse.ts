/**
 * VMware's backdoor as far as its absolute pointer needs it, whose drivers Linux, X and Windows have: IN from port 5658h with a
 * magic number in EAX, a command in CX, and answers in EAX to EDX (open-vm-tools, vmmouse driver).
 */

/** EAX, EBX, ECX, EDX of the IN, which the command reads and changes. */
export type BackdoorRegisters = [eax: number, ebx: number, ecx: number, edx: number]

export const BACKDOOR_PORT = 0x5658
const MAGIC = 0x564d5868
const VERSION = 6
/** What kind of product answers; drivers look that there is one. */
const PRODUCT = 2

const COMMAND = {
  GET_VERSION: 10,
  POINTER_DATA: 39,
  POINTER_STATUS: 40,
  POINTER_COMMAND: 41,
  POINTER_RESTRICT: 86,
} as const
const POINTER = { DISABLE: 0xf5, READ_ID: 0x45414552, ABSOLUTE: 0x53424152, RELATIVE: 0x4c455252 } as const
const POINTER_VERSION = 0x3442554a
/** The status of a pointer that is off or was read beyond its end. */
const STATUS_ERROR = 0xffff0000

/** Words of an event: buttons and flags, x, y, wheel. */
const EVENT_WORDS = 4
/** Events that wait for a driver. */
const MOST_EVENTS = 64
/** Buttons by their number: left, right, middle. */
const BUTTONS = [0x20, 0x10, 0x08] as const

interface VmMouseState {
  /** The pointer tells absolute places. */
  absolute: boolean
  /** It was turned on, and not off. */
  enabled: boolean
  words: number[]
  buttons: number
  x: number
  y: number
}

/** The pointer. */
export class VmMouse {
  state: VmMouseState = initial()
  readonly #onEvent: () => void

  /** @param onEvent there is something to be read: the mouse at the keyboard controller has to interrupt */
  constructor(onEvent: () => void) {
    this.#onEvent = onEvent
  }

  reset(): void {
    this.state = initial()
  }

  /** A driver takes absolute places. */
  get listened(): boolean {
    return this.state.enabled && this.state.absolute
  }

  /** The pointer is at a place, from 0 to 1 of the screen. */
  moveTo(x: number, y: number): void {
    const place = (value: number) => Math.max(0, Math.min(0xffff, Math.round(value * 0xffff) || 0))
    this.state.x = place(x)
    this.state.y = place(y)
    this.#event(0)
  }

  /** Turns the wheel, towards the user if positive. */
  wheel(dz: number): void {
    this.#event(Math.max(-127, Math.min(127, Math.trunc(dz) || 0)))
  }

  /** Presses or releases a button: 0 left, 1 right, 2 middle. */
  button(number: number, pressed: boolean): void {
    const mask = BUTTONS[number] ?? 0
    this.state.buttons = pressed ? this.state.buttons | mask : this.state.buttons & ~mask
    this.#event(0)
  }

  #event(dz: number): void {
    const { words, buttons, x, y } = this.state
    const last = words.length - EVENT_WORDS
    // What was not read yet and only moved is replaced, else a slow driver would lag behind.
    const replaces = last >= EVENT_WORDS && dz === 0 && words[last] === buttons && words[last + 3] === 0
    if (replaces) words.splice(last, EVENT_WORDS)
    else if (words.length >= MOST_EVENTS * EVENT_WORDS) return
    words.push(buttons, x, y, dz >>> 0)
    this.#onEvent()
  }

  /** Does the command of an IN. @returns whether it was one */
  call(registers: BackdoorRegisters): boolean {
    if (registers[0] >>> 0 !== MAGIC) return false
    const [, ebx, ecx] = registers
    switch (ecx & 0xffff) {
      case COMMAND.GET_VERSION:
        registers[0] = VERSION
        registers[1] = MAGIC
        registers[2] = PRODUCT
        break
      case COMMAND.POINTER_DATA:
        this.#read(ebx, registers)
        break
      case COMMAND.POINTER_STATUS:
        registers[0] = this.state.enabled ? this.state.words.length : STATUS_ERROR
        break
      case COMMAND.POINTER_COMMAND:
        this.#command(ebx >>> 0)
        break
      case COMMAND.POINTER_RESTRICT:
        break
      default:
        registers[0] = 0xffffffff
    }
    return true
  }

  #command(command: number): void {
    const { state } = this
    if (command === POINTER.READ_ID) {
      state.enabled = true
      state.words = [POINTER_VERSION]
    } else if (command === POINTER.DISABLE) this.reset()
    else if (command === POINTER.ABSOLUTE) state.absolute = true
    else if (command === POINTER.RELATIVE) state.absolute = false
  }

  #read(count: number, registers: BackdoorRegisters): void {
    const { words } = this.state
    if (!this.state.enabled || count < 1 || count > EVENT_WORDS || count > words.length) {
      this.state.enabled = false
      registers[0] = STATUS_ERROR
      return
    }
    for (const [i, word] of words.splice(0, count).entries()) registers[i] = word
  }
}

function initial(): VmMouseState {
  return { absolute: false, enabled: false, words: [], buttons: 0, x: 0, y: 0 }
}
