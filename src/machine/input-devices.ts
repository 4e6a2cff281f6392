/** What people do with keyboard and mouse, for the device that the guest listens to. */
import type { Clock } from '../devices/bus.ts'
import type { I8042 } from '../devices/i8042.ts'
import type { VirtioTablet } from '../devices/virtio/input.ts'
import { type BackdoorRegisters, VmMouse } from '../devices/vmmouse.ts'
import { Typist } from './typing.ts'

/** A pointer with absolute places. */
interface AbsolutePointer {
  moveTo(x: number, y: number): void
  wheel(dz: number): void
  button(number: number, pressed: boolean): void
}

/** The processor's registers that a command of VMware's backdoor has: EAX, EBX, ECX, EDX. */
const BACKDOOR_REGISTERS = [0, 3, 1, 2] as const

/** What a guest of unknown pointer speed is moved over for a place far away. */
const LARGEST_MOVE = 4096

/** Keyboard, mouse, and pointers of a machine. */
export class InputDevices {
  readonly vmmouse: VmMouse
  readonly #controller: I8042
  readonly #tablet: VirtioTablet | undefined
  readonly #typist: Typist | undefined
  readonly #size: () => { width: number; height: number }
  /** Where the pointer was last put, from 0 to 1. */
  #place = { x: 0.5, y: 0.5 }
  /** Buttons that are down, and where each was told, so that its release is told there too. */
  readonly #held = new Map<number, AbsolutePointer>()

  /** @param size of the screen in pixels, for places that become motion */
  constructor(
    clock: Clock,
    {
      controller,
      tablet,
      size,
    }: { controller: I8042; tablet?: VirtioTablet; size: () => { width: number; height: number } },
  ) {
    this.#controller = controller
    this.#tablet = tablet
    this.#size = size
    this.vmmouse = new VmMouse(() => controller.mouse?.poke())
    this.#typist = controller.keyboard && new Typist(clock, controller.keyboard)
  }

  /** A key goes down or up, by the name of KeyboardEvent.code. */
  key(code: string, pressed: boolean): void {
    if (pressed) this.#controller.keyboard?.press(code)
    else this.#controller.keyboard?.release(code)
  }

  /** Types a text. @param done is called once, with a sentence where it could not be typed */
  type(text: string, layout: string, done: (error?: string) => void): void {
    if (this.#typist) this.#typist.type(text, layout, done)
    else done('the machine has no keyboard: give it a display adapter')
  }

  /** The pointer that takes absolute places, if the guest listens to one. */
  get #absolute(): AbsolutePointer | undefined {
    if (this.#tablet?.listened) return this.#tablet
    return this.vmmouse.listened ? this.vmmouse : undefined
  }

  /** Motion in counts; where the guest only takes places, from where the pointer was put last. */
  move(dx: number, dy: number): void {
    if (!this.#absolute) {
      this.#controller.mouse?.move(dx, dy)
      return
    }
    const { width, height } = this.#size()
    this.moveTo(this.#place.x + dx / Math.max(1, width), this.#place.y + dy / Math.max(1, height))
  }

  /** Notches of the wheel, towards the user if positive. */
  wheel(dz: number): void {
    const pointer = this.#absolute
    if (pointer) pointer.wheel(dz)
    else this.#controller.mouse?.move(0, 0, dz)
  }

  /** A button as MouseEvent.button counts them: left, middle, right. */
  button(button: number, pressed: boolean): void {
    // The devices have the right one before the middle one.
    const number = [0, 2, 1][button]
    if (number === undefined) return
    const pointer = (pressed ? this.#absolute : this.#held.get(number)) ?? this.#relative
    if (pressed) this.#held.set(number, pointer)
    else this.#held.delete(number)
    pointer.button(number, pressed)
  }

  readonly #relative: AbsolutePointer = {
    moveTo() {},
    wheel() {},
    button: (number, pressed) => this.#controller.mouse?.button(number, pressed),
  }

  /** The pointer's place, from 0 to 1 of the screen. */
  moveTo(x: number, y: number): void {
    const within = (value: number) => Math.max(0, Math.min(1, value)) || 0
    const place = { x: within(x), y: within(y) }
    const pointer = this.#absolute
    if (pointer) pointer.moveTo(place.x, place.y)
    else {
      const { width, height } = this.#size()
      const counts = (distance: number, pixels: number) =>
        Math.max(-LARGEST_MOVE, Math.min(LARGEST_MOVE, Math.round(distance * pixels)))
      this.#controller.mouse?.move(counts(place.x - this.#place.x, width), counts(place.y - this.#place.y, height))
    }
    this.#place = place
  }

  /**
   * IN from VMware's port.
   * @param registers of the processor, by their numbers
   * @returns EAX, or undefined where that is no command
   */
  backdoor(registers: { get(number: number): number; set(number: number, value: number): void }): number | undefined {
    if (!this.#controller.mouse) return undefined
    const values = BACKDOOR_REGISTERS.map(number => registers.get(number)) as BackdoorRegisters
    const before = [...values]
    if (!this.vmmouse.call(values)) return undefined
    for (const [i, number] of BACKDOOR_REGISTERS.entries())
      if (i > 0 && values[i] !== before[i]) registers.set(number, values[i])
    return values[0]
  }

  /** RESET#. */
  reset(): void {
    this.#typist?.reset()
    this.vmmouse.reset()
    this.#held.clear()
  }
}
