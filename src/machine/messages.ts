/** Every message between a `Machine` and the worker in which it runs, and the plain values they carry. */
import type { ActivityGroup } from '../cpu/activity.ts'
import type { TextCells } from '../devices/vga/cells.ts'
import type { TranslatedCode } from '../engines/translator/listing.ts'
import type { CpuName } from '../isa/cpu-models.ts'
import type { BootModule } from './boot/index.ts'
import type { ClockKind } from './clock.ts'
import type { BootDevice } from './cmos.ts'
import type { DriveConfiguration, MediumConfiguration } from './drives.ts'
import type { ProfileSource } from './profiler.ts'
import type { Area } from './screen.ts'
import type { SoundDevice } from './sound.ts'

/** Which engine executes the guest: `auto` interprets cold code and translates hot code. */
export type EngineChoice = 'auto' | 'interpreter' | 'translator'

/** The files that a guest starts from; they are loaded and then let go. One of kernel and firmware is there. */
export interface Images {
  kernel?: Uint8Array
  initrd?: Uint8Array
  /** Modules of a multiboot or PVH kernel. */
  modules?: readonly BootModule[]
  /** What is mapped beneath 4 GiB, for the processor to start in. */
  firmware?: Uint8Array
  /** The contents of the flash that lies beneath the firmware, at the machine's creation. */
  variables?: Uint8Array
  /** The display adapter's option ROM. */
  videoBios?: Uint8Array
}

/** The machines there are: a PC of 1996 with the i440FX chipset, and one of 2007 with PCI Express. */
export const MACHINES = ['pc', 'q35'] as const
export type MachineName = (typeof MACHINES)[number]

/** The display adapters there are: a VGA with Bochs's VBE extensions (QEMU's `stdvga`), one with a virtio GPU besides, and none. */
export const VGA_ADAPTERS = ['std', 'virtio', 'none'] as const
export type VgaAdapter = (typeof VGA_ADAPTERS)[number]

/** The watchdogs that a machine may have: Intel's 6300ESB, a PCI function of its own. The Q35 has its chipset's besides. */
export const WATCHDOGS = ['i6300esb', 'none'] as const
export type Watchdog = (typeof WATCHDOGS)[number]

/** How firmware finds what to boot. */
export interface BootOptions {
  /** Kinds of devices, the first to try first; by default disk, CD-ROM, floppy. */
  order?: readonly BootDevice[]
  /** Whether it shows its boot menu and waits for an answer. */
  menu?: boolean
}

/** What a machine is made of besides its {@link Images}; {@link MachineOptions} with every default filled in. */
export interface MachineConfiguration {
  /** Bytes of RAM. */
  memory: number
  commandLine: string
  engine: EngineChoice
  /** Which processor CPUID describes. */
  cpu: CpuName
  /** Which chipset it has. */
  machine: MachineName
  clock: ClockKind
  /** Whether a reset starts the guest again; otherwise it ends the machine. */
  reboot: boolean
  /** Which devices firmware tries to boot from, and whether it asks. */
  boot: BootOptions
  /** Whether COM1's input waits until the guest has sent something by COM2. */
  holdInput: boolean
  /** Which display adapter it has; none by default. */
  vga?: VgaAdapter
  /** Which watchdog it has; none by default. */
  watchdog?: Watchdog
  /** What it makes sound with besides the speaker; nothing sounds without. */
  sound?: readonly SoundDevice[]
  /** Somebody looks at the screen: firmware shows itself there instead of at COM1. */
  display?: boolean
  /** Disks, CD-ROM and floppy drives. */
  drives?: readonly DriveConfiguration[]
  /** Whether a disk without room is an error for the guest, or pauses the machine. */
  onFullDisk?: 'report' | 'pause'
  /** Whether every region that is translated is listed. */
  listCode?: boolean
}

/** Why a machine ended. */
export type EndReason = 'poweroff' | 'reset' | 'triple-fault' | 'debug-exit' | 'destroyed' | 'error'

/** Counts and times since a machine was created. */
export interface Stats {
  /** Guest instructions executed. */
  instructions: number
  /** Seconds of the host spent executing guest code and its devices. */
  busySeconds: number
  /** Seconds of guest time. */
  guestSeconds: number
  /** How often the engine came back, by kind of exit. */
  exits: Record<string, number>
  /** The engine that was chosen; `auto` is both. */
  engine: string
  /** What the engine itself counts: regions, code bytes, seconds by tier. */
  engineStats: Record<string, number>
  /** What the machine's thread does, by the number of the activity. */
  activities: ActivityCount[]
}

/** One kind of activity (src/cpu/activity.ts). */
export interface ActivityCount {
  name: string
  group: ActivityGroup
  /** How often it was begun; 0 for what generated code does without leaving WebAssembly. */
  count: number
}

/** The end of a machine. */
export interface MachineEnd {
  reason: EndReason
  /** One sentence for people, where there is more to say than the reason. */
  message?: string
  /** The exit status that a guest gave at the debug port: `(value << 1) | 1`. */
  code?: number
  stats?: Stats
}

/** From the handle to the worker. */
export type ToWorker =
  | { type: 'create'; configuration: MachineConfiguration; images: Images }
  /** The answer to `images`: the guest starts again from these. */
  | { type: 'images'; images: Images }
  | { type: 'start' }
  | { type: 'pause' }
  | { type: 'resume' }
  | { type: 'reset' }
  /** Someone presses the power button. */
  | { type: 'power-button' }
  | { type: 'stats'; id: number }
  /** Writes what was translated, for later starts; answered by `code-kept`. */
  | { type: 'keep-code' }
  /** Puts a medium into a drive, or takes it out; answered by `medium`. */
  | {
      type: 'medium'
      id: number
      drive: string
      medium: MediumConfiguration | undefined
      force: boolean
      /** Milliseconds that a guest that holds the medium may take to let go. */
      wait: number
    }
  | { type: 'resize'; columns: number; rows: number }
  /** What the screen shows is wanted; answered by `screen-state`, which is answered by `screen-copied`. */
  | { type: 'screen-state'; id: number }
  | { type: 'screen-copied' }
  /** Changes of the screen are wanted from now on, the whole screen first, or no more. */
  | { type: 'screen-watch'; on: boolean }
  /** What `screen-changed` said was taken; the next may come. */
  | { type: 'screen-taken' }
  /** Whoever looks would like the screen to have so many pixels. */
  | { type: 'screen-size'; width: number; height: number }
  /** Somebody listens from now on, or nobody any more. */
  | { type: 'sound-listen'; on: boolean }
  /** A `sound` was taken. */
  | { type: 'sound-taken' }
  /** A key, by the name of KeyboardEvent.code. */
  | { type: 'key'; code: string; pressed: boolean }
  /** Types a text; answered by `typed`. */
  | { type: 'type'; id: number; text: string; layout: string }
  | { type: 'mouse-move'; dx: number; dy: number }
  | { type: 'mouse-wheel'; dz: number }
  | { type: 'mouse-button'; button: 0 | 1 | 2; pressed: boolean }
  /** The pointer's place on the screen, from 0 to 1. */
  | { type: 'mouse-to'; x: number; y: number }
  /** Bytes for serial port `port`. */
  | { type: 'serial'; port: number; bytes: Uint8Array }
  /** Whether something is plugged into port `port`, for the guest to see. */
  | { type: 'connected'; port: number; connected: boolean }
  /** The reader of serial port `port` has taken so many bytes. */
  | { type: 'serial-read'; port: number; count: number }

/** From the worker to the handle. */
export type FromWorker =
  | { type: 'created'; profile: ProfileSource | undefined }
  /** Creation failed: the sentence for the user. */
  | { type: 'refused'; message: string }
  | { type: 'stopped'; end: MachineEnd }
  /** The guest was reset and waits for what it starts from. */
  | { type: 'images' }
  /** The guest was reset and starts again. */
  | { type: 'restarted'; reason: 'reset' | 'triple-fault' }
  | { type: 'stats'; id: number; stats: Stats }
  | { type: 'code-kept' }
  /** The medium was changed, or could not be. */
  | { type: 'medium'; id: number; error?: string }
  /** A write found no room: the machine is paused, and tries again when it is resumed. */
  | { type: 'disk-full'; message: string }
  /** All that waited for room was written: the machine goes on, unless it was paused besides. */
  | { type: 'disk-room'; running: boolean }
  | { type: 'log'; message: string }
  | { type: 'code'; code: TranslatedCode }
  /** From now on the screen is drawn there, RGBA. */
  | { type: 'screen-buffer'; pixels: Int32Array<SharedArrayBuffer> }
  /** Parts of the buffer were drawn; the screen is that large. */
  | { type: 'screen-changed'; width: number; height: number; areas: readonly Area[] }
  /** The buffer has what the screen shows now; with the characters of a text mode. */
  | { type: 'screen-state'; id: number; width: number; height: number; cells: TextCells | undefined }
  /** Samples that are heard from frame `frame` of guest time on. */
  | { type: 'sound'; frame: number; samples: Int16Array }
  /** A text was typed, or could not be. */
  | { type: 'typed'; id: number; error?: string }
  /** The guest has written to the flash of variables. */
  | { type: 'variables'; offset: number; bytes: Uint8Array }
  | { type: 'serial'; port: number; bytes: Uint8Array }
  /** The guest's serial port `port` has taken so many bytes of input. */
  | { type: 'serial-written'; port: number; count: number }

/** Bytes in flight in one direction of a serial port before the sender waits. */
export const SERIAL_WINDOW = 256 * 1024

/** How many byte streams a machine has: COM1 to COM4, the virtio console, and the parallel port. */
export const BYTE_STREAM_COUNT = 6

/** The number of the virtio console among them. */
export const CONSOLE_PORT = 4

/** The number of the parallel port among them. */
export const PARALLEL_PORT = 5
