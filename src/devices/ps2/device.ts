/** What is plugged into a port of the keyboard controller. */

/** Answers that keyboards and mice have in common. */
export const ACKNOWLEDGE = 0xfa
export const RESEND = 0xfe
export const SELF_TEST_PASSED = 0xaa

/** A keyboard or a mouse as the controller sees it. */
export interface Ps2Device {
  /** Everything it is, as plain values. */
  state: object
  /** The controller sends a byte. */
  write(byte: number): void
  /** Whether there is a byte for the controller. */
  readonly ready: boolean
  /** The next byte, which is gone then; only while {@link ready}. */
  take(): number
  /** Power on. */
  reset(): void
  /** After `state` was replaced. */
  restored(): void
}

/** What a device is plugged into. */
export interface Ps2Port {
  /** There is something to be taken. */
  onReady(): void
}
