/** What the host does for devices behind the machine's back, and what the run loop has to know of it. */
import type { HostWork } from '../devices/storage/block.ts'

/** The host's work of one machine. */
export class MachineHostWork implements HostWork {
  readonly repeatable: boolean
  /** The guest executes nothing before this resolves. */
  held: Promise<void> | undefined
  readonly #interrupt: () => void
  readonly #wake: () => void
  #pending = 0

  /**
   * @param repeatable guest time is counted
   * @param interrupt ends the slice that the engine executes
   * @param wake ends a sleep of the run loop
   */
  constructor(repeatable: boolean, interrupt: () => void, wake: () => void) {
    this.repeatable = repeatable
    this.#interrupt = interrupt
    this.#wake = wake
  }

  /** Whether something is under way. */
  get pending(): boolean {
    return this.#pending > 0
  }

  begin(): void {
    this.#pending++
    if (!this.repeatable) this.#interrupt()
  }

  end(): void {
    this.#pending--
    this.#wake()
  }

  hold(until: Promise<void>): void {
    const held = Promise.all([this.held, until]).then(() => {
      if (this.held === held) this.held = undefined
    })
    this.held = held
    this.#interrupt()
  }
}
