/** A way to see a machine, as `--display` opens it: before there is a machine, so that nothing was begun when it cannot be had. */
import type { Machine } from '../../../machine/machine.ts'
import type { SerialHub } from '../../../machine/serial-hub.ts'

/** What of a machine can be seen and moved. */
export type ShownMachine = Pick<
  Machine,
  | 'screen'
  | 'keyboard'
  | 'mouse'
  | 'drives'
  | 'state'
  | 'stopped'
  | 'start'
  | 'pause'
  | 'resume'
  | 'reset'
  | 'pressPowerButton'
  | 'destroy'
  | 'addEventListener'
  | 'removeEventListener'
>

/** A serial port that can be looked at. */
export interface ShownPort {
  /** `COM1` and so on. */
  readonly name: string
  readonly hub: SerialHub
}

/** A machine with its name and ports. */
export interface Shown {
  readonly machine: ShownMachine
  readonly name: string
  readonly ports: readonly ShownPort[]
  /** Ends the machine at once. */
  turnOff(): void
}

/** An open way to see a machine. */
export interface Display {
  /** Where it is, for people: `http://127.0.0.1:8080/`. */
  readonly place: string
  /** Shows a machine; called once. Until then whoever comes is sent away. */
  show(shown: Shown): void
  /** Sends everybody away and stops. */
  close(): Promise<void>
}
