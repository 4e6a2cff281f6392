/** The library's machine: a handle on a PC that runs in a worker. */
import { CPU_NAMES, type CpuName } from '../isa/cpu-models.ts'
import { isGzip, unpackKernelFile } from './boot/gzip.ts'
import type { BootModule } from './boot/index.ts'
import type { ClockKind } from './clock.ts'
import {
  type CdromOptions,
  type DiskOptions,
  type DriveConfiguration,
  driveConfigurations,
  type FloppyOptions,
  type MediumSource,
  mediumOf,
} from './drives.ts'
import { InputView, type Keyboard, type Mouse } from './input.ts'
import {
  type BootOptions,
  BYTE_STREAM_COUNT,
  CONSOLE_PORT,
  type EngineChoice,
  type FromWorker,
  type Images,
  MACHINES,
  type MachineConfiguration,
  type MachineEnd,
  type MachineName,
  PARALLEL_PORT,
  type Stats,
  type ToWorker,
  VGA_ADAPTERS,
  type VgaAdapter,
  WATCHDOGS,
  type Watchdog,
} from './messages.ts'
import { Profiler, type ProfileSource } from './profiler.ts'
import { type Screen, ScreenView } from './screen.ts'
import { type ParallelPort, SerialChannel, type SerialPort } from './serial-channel.ts'
import { SOUND_DEVICES, type Sound, type SoundDevice, SoundView } from './sound.ts'
import type { WorkerLike } from './worker-like.ts'

export type { TranslatedCode } from '../engines/translator/listing.ts'
export type { CpuName } from '../isa/cpu-models.ts'
export type { CacheMode, CdromOptions, DiskBus, DiskOptions, FloppyOptions, MediumSource } from './drives.ts'
export type { Keyboard, Mouse, MouseButton, TypeOptions } from './input.ts'
export type { BootOptions, EndReason, EngineChoice, MachineEnd, MachineName, Stats, VgaAdapter } from './messages.ts'
export type { AddressSamples, Profile, Profiler } from './profiler.ts'
export type { Screen, ScreenChange, ScreenImage, ScreenRectangle, TextCells } from './screen.ts'
export type { ParallelPort, SerialPort } from './serial-channel.ts'
export type { Sound, SoundChunk, SoundDevice } from './sound.ts'

/** Least and most bytes of guest memory. */
const LEAST_MEMORY = 2 ** 20
const MOST_MEMORY = 4 * 2 ** 30
const DEFAULT_MEMORY = 256 * 2 ** 20

/**
 * A file that a guest starts from: its bytes, or a function that gives them whenever the guest starts (at creation, and
 * at each reset), so that nobody has to keep them. What the function gives is the machine's: its buffer is taken.
 */
export type ImageSource = Uint8Array | (() => Promise<Uint8Array>)

/** What keeps the variables of UEFI firmware. */
export interface VariableStore {
  /** All of it: a multiple of 4096 bytes. */
  read(): Promise<Uint8Array>
  /** Keeps what the guest has written; calls come one after another. A rejection ends the machine with its message. */
  write(offset: number, bytes: Uint8Array): Promise<void>
}

/** What a machine is made of. */
export interface MachineOptions {
  /** Bytes of memory, a multiple of 4096; 256 MiB by default. */
  memory?: number
  /** A bzImage, an ELF vmlinux (Linux or PVH), or a multiboot kernel; also compressed by gzip, where it is loaded without firmware. */
  kernel?: ImageSource
  /**
   * Firmware, as SeaBIOS's bios-256k.bin: a multiple of 4 KiB up to 16 MiB, mapped so that it ends at 4 GiB, where the processor
   * starts. With a kernel too the machine starts in the firmware, which finds the kernel in fw_cfg.
   */
  firmware?: ImageSource
  /** Where UEFI firmware keeps its variables: flash that ends where the firmware begins. */
  variables?: VariableStore
  /** How firmware finds what to boot. */
  boot?: BootOptions
  /**
   * Whether somebody looks at the screen: firmware then shows itself there instead of at COM1. Default: no.
   */
  display?: boolean
  /**
   * The display adapter: `std` is a VGA with VESA modes up to 2560×1600, `virtio` has a virtio GPU besides, for guests with a driver of
   * it, and `none` is none at all. Default: `std` where there is firmware or a `display`.
   */
  vga?: VgaAdapter
  /** The adapter's BIOS, as vgabios-stdvga.bin or vgabios-virtio.bin of SeaBIOS: firmware other than UEFI shows nothing without. */
  videoBios?: ImageSource
  /**
   * What the guest may sound with: `true` is all there is, or the names of some; the PC's speaker is always among them. Without
   * (default) there is no {@link Machine.sound}.
   */
  sound?: boolean | readonly SoundDevice[]
  /** The initial RAM disk, or the first module of a multiboot or PVH kernel. */
  initrd?: ImageSource
  /**
   * Modules of a multiboot or PVH kernel that is loaded without firmware, with the text that the kernel reads of each: by custom its name
   * and what it is to be told.
   */
  modules?: readonly { image: ImageSource; text: string }[]
  /** The kernel's command line; empty by default. */
  commandLine?: string
  /** What executes the guest; `auto` by default. */
  engine?: EngineChoice
  /** Which processor CPUID describes, for systems that stumble over what came later; `max` by default, which has everything. */
  cpu?: CpuName
  /** Which chipset it has: `pc` (default) is Intel's i440FX with PIIX3 and PIIX4, `q35` the Q35 with ICH9 and PCI Express. */
  machine?: MachineName
  /**
   * Which watchdog it has, which resets it when its system no longer answers: `i6300esb`, Intel's 6300ESB at PCI, or `none` (default). A
   * `q35` has its chipset's in any case.
   */
  watchdog?: Watchdog
  /** Where guest time comes from: the host (default), or the count of executed instructions, which makes runs repeatable. */
  clock?: ClockKind
  /** Whether a reset (or triple fault) starts the guest again, as a PC does (default), or ends the machine. */
  reboot?: boolean
  /**
   * Whether COM1's input waits until the guest has sent something by COM2, as the default guest does once its terminal
   * is set up. Otherwise (default) it waits until the guest's driver turns its receiver on, and Linux then echoes what
   * comes before some program says otherwise.
   */
  holdInput?: boolean
  /** Hard disks, in the order in which the guest finds those of a bus. */
  disks?: readonly DiskOptions[]
  /** CD-ROM drives. */
  cdroms?: readonly CdromOptions[]
  /** Floppy drives, at most two. */
  floppies?: readonly FloppyOptions[]
  /**
   * What happens when the host has no room for what the guest writes, on drives that do not say it themselves: `pause` (default) pauses
   * the machine, with an event `diskfull`, tries the write again every two seconds and when it is resumed, and goes on, with an event
   * `diskroom`, once it succeeds; `report` gives the guest an input/output error.
   */
  onFullDisk?: 'report' | 'pause'
  /** Whether an event `code` tells of every region that the translator makes; listing them takes its time. Default: no. */
  listCode?: boolean
  /** Makes the worker in which the machine runs; by default a module worker of the browser or a thread of Node. */
  worker?: () => WorkerLike
}

/** Where a machine is in its life. */
export type MachineState = 'created' | 'running' | 'paused' | 'stopped'

/** A machine cannot be made as asked; the message is one sentence for people. */
export class MachineError extends Error {
  override name = 'MachineError'
}

/** A size for people, exactly: in GiB or MiB where it is so many of them. */
function sizeText(bytes: number): string {
  for (const [unit, name] of [
    [2 ** 30, 'GiB'],
    [2 ** 20, 'MiB'],
  ] as const)
    if (bytes > 0 && bytes % unit === 0) return `${bytes / unit} ${name}`
  return `${bytes} bytes`
}

/** The options with defaults. @throws MachineError for values that no machine can have */
function configurationOf(options: MachineOptions): MachineConfiguration {
  const { memory = DEFAULT_MEMORY, engine = 'auto', clock = 'host', cpu = 'max', machine = 'pc' } = options
  if (!Number.isInteger(memory) || memory < LEAST_MEMORY || memory > MOST_MEMORY || memory % 4096 !== 0)
    throw new MachineError(
      `memory is ${sizeText(memory)}: give a multiple of 4096 bytes from 1 MiB to ${sizeText(MOST_MEMORY)}`,
    )
  if (!['auto', 'interpreter', 'translator'].includes(engine))
    throw new MachineError(`there is no engine '${engine}': choose auto, interpreter or translator`)
  if (!CPU_NAMES.includes(cpu)) throw new MachineError(`there is no processor '${cpu}': choose ${CPU_NAMES.join(', ')}`)
  if (!MACHINES.includes(machine))
    throw new MachineError(`there is no machine '${machine}': choose ${MACHINES.join(' or ')}`)
  if (!WATCHDOGS.includes(options.watchdog ?? 'none'))
    throw new MachineError(`there is no watchdog '${options.watchdog}': choose ${WATCHDOGS.join(' or ')}`)
  const vga = options.vga ?? (options.firmware || options.display ? 'std' : 'none')
  if (!VGA_ADAPTERS.includes(vga))
    throw new MachineError(`there is no display adapter '${vga}': choose ${VGA_ADAPTERS.join(', ')}`)
  if (options.display && vga === 'none')
    throw new MachineError('a display is asked for, and no display adapter: leave out display, or vga: none')
  if (!['host', 'instructions'].includes(clock))
    throw new MachineError(`there is no clock '${clock}': choose host or instructions`)
  const sound = options.sound === true ? SOUND_DEVICES : options.sound || undefined
  for (const name of sound ?? [])
    if (!SOUND_DEVICES.includes(name))
      throw new MachineError(`there is no sound device '${name}': choose ${SOUND_DEVICES.join(', ')}`)
  return {
    memory,
    ...(sound && { sound }),
    ...(options.watchdog && { watchdog: options.watchdog }),
    commandLine: options.commandLine ?? '',
    engine,
    cpu,
    machine,
    clock,
    reboot: options.reboot ?? true,
    boot: options.boot ?? {},
    vga,
    display: options.display ?? false,
    holdInput: options.holdInput ?? false,
    onFullDisk: options.onFullDisk ?? 'pause',
    listCode: options.listCode ?? false,
  }
}

/** A medium that is to go into a drive, or with `source` undefined out of it. */
interface MediumRequest {
  drive: string
  source: MediumSource | undefined
  readOnly: boolean
  force: boolean
  wait: number
}

/** A drive of a machine. */
export class Drive {
  /** Unique in its machine: `disk0`, `cdrom0`, `floppy0` and so on. */
  readonly name: string
  readonly kind: 'disk' | 'cdrom' | 'floppy'
  /** The controller it is at. */
  readonly bus: DriveConfiguration['bus']
  readonly #send: (request: MediumRequest) => Promise<void>
  #medium: string | undefined

  /** Made with its machine. */
  constructor({ name, kind, bus, medium }: DriveConfiguration, send: (request: MediumRequest) => Promise<void>) {
    this.name = name
    this.kind = kind
    this.bus = bus
    this.#send = send
    this.#medium = medium && ('path' in medium ? medium.path : 'served by a program')
  }

  /** What is in it, for people: an image's path; undefined where nothing is. */
  get medium(): string | undefined {
    return this.#medium
  }

  /**
   * Puts a medium in, in place of what is there.
   * @param options `force`: also where the guest has locked the drive; `wait`: how many milliseconds a guest that has may take to
   *   let go, 0 by default
   * @throws MachineError with one sentence when it cannot be opened, or the guest holds the old one
   */
  insert(source: MediumSource, { readOnly = false, force = false, wait = 0 } = {}): Promise<void> {
    return this.#change({ drive: this.name, source, readOnly: readOnly || this.kind === 'cdrom', force, wait })
  }

  /**
   * Takes the medium out. Where the guest has locked the drive it is asked, as by the drive's button, and this rejects unless it
   * lets go within `wait` milliseconds (0 by default) or `force` pulls the medium.
   * @throws MachineError with one sentence
   */
  eject({ force = false, wait = 0 } = {}): Promise<void> {
    return this.#change({ drive: this.name, source: undefined, readOnly: true, force, wait })
  }

  async #change(request: MediumRequest): Promise<void> {
    await this.#send(request)
    const { source } = request
    this.#medium = source === undefined || typeof source === 'string' ? source : 'served by a program'
  }
}

/** Where a guest's files come from. */
type ImageSources = { [name in keyof Omit<Images, 'modules'>]: ImageSource } & Pick<MachineOptions, 'modules'>

/** @throws MachineError where there is nothing to boot */
function sourcesOf({ kernel, initrd, modules, firmware, variables, videoBios }: MachineOptions): ImageSources {
  if (!kernel && !firmware) throw new MachineError('the machine has nothing to boot: give a kernel or firmware')
  if (variables && !firmware)
    throw new MachineError('there are variables for UEFI firmware, but no firmware: give it too')
  if (modules && modules.length > 0 && (firmware || !kernel))
    throw new MachineError('there are modules, which are for a kernel that is loaded without firmware: leave them out')
  return { kernel, initrd, modules, firmware, videoBios, variables: variables && (() => variables.read()) }
}

/** Gives a guest's files. @returns them, and the buffers among them that may move instead of being copied */
async function readImages(sources: ImageSources): Promise<{ images: Images; transfer: ArrayBuffer[] }> {
  const transfer = new Set<ArrayBuffer>()
  const images: Images = {}
  const bytesOf = async (source: ImageSource) => {
    if (typeof source !== 'function') return source
    const bytes = await source()
    const { buffer } = bytes
    // Smaller ones may lie in a buffer with other things, as Node's do.
    if (buffer instanceof ArrayBuffer && buffer.byteLength === bytes.length) transfer.add(buffer)
    return bytes
  }
  for (const name of ['kernel', 'initrd', 'firmware', 'variables', 'videoBios'] as const) {
    const source = sources[name]
    if (source !== undefined) images[name] = await bytesOf(source)
  }
  if (sources.modules && sources.modules.length > 0) {
    const modules: BootModule[] = []
    for (const { image, text } of sources.modules) modules.push({ bytes: await bytesOf(image), text })
    images.modules = modules
  }
  if (images.kernel && !images.firmware && isGzip(images.kernel)) {
    transfer.delete(images.kernel.buffer as ArrayBuffer)
    images.kernel = await unpackKernelFile(images.kernel).catch((error: Error) => {
      throw new MachineError(error.message)
    })
    transfer.add(images.kernel.buffer as ArrayBuffer)
  }
  return { images, transfer: [...transfer] }
}

/** A module worker of the browser. */
function browserWorker(): WorkerLike {
  if (typeof Worker === 'undefined')
    throw new MachineError('there are no workers here: give a function that makes one as the option `worker`')
  const worker = new Worker(new URL('../hosts/browser/machine-worker.ts', import.meta.url), { type: 'module' })
  return {
    postMessage: (message, transfer) => worker.postMessage(message, transfer ?? []),
    onMessage: listener => worker.addEventListener('message', event => listener(event.data)),
    onError(listener) {
      worker.addEventListener('error', event => listener(new Error(event.message || 'the worker could not be started')))
      worker.addEventListener('messageerror', () => listener(new Error('a message of the worker could not be read')))
    },
    async terminate() {
      worker.terminate()
    },
  }
}

/**
 * A virtual PC. It runs in a worker of its own; the handle sends messages and never blocks.
 *
 * Events: `statechange` when {@link state} changes, `restart` (a CustomEvent whose detail is `'reset'` or
 * `'triple-fault'`) when the guest was reset and starts again, `log` (a CustomEvent whose detail is a line) when the
 * machine has something to say about what its guest does, `diskfull` (a CustomEvent whose detail is a sentence) when it was paused
 * because of the option `onFullDisk` and `diskroom` when it goes on, `code` (a CustomEvent whose detail is a {@link TranslatedCode})
 * for each region that was translated, where the option `listCode` asks for it.
 */
export class Machine extends EventTarget {
  /** The serial ports COM1 to COM4. */
  readonly serial: readonly SerialPort[]
  /** Its disks, CD-ROM and floppy drives. */
  drives: readonly Drive[] = []
  /** What the display adapter shows; undefined without one. */
  screen: Screen | undefined
  /** What is to be heard of it; undefined without the option `sound`. */
  sound: Sound | undefined
  readonly keyboard: Keyboard
  readonly mouse: Mouse
  /** The virtio console, `hvc0` to Linux. */
  readonly console: SerialPort
  /** The parallel port LPT1: what the guest prints. */
  readonly parallel: ParallelPort
  /** Resolves when the machine has ended, for whatever reason; it never rejects. */
  readonly stopped: Promise<MachineEnd>
  readonly #worker: WorkerLike
  readonly #channels: SerialChannel[]
  readonly #screen: ScreenView
  readonly #input: InputView
  readonly #sound = new SoundView(message => this.#post(message))
  readonly #sources: ImageSources
  readonly #variables: VariableStore | undefined
  /** The last write of variables, after which the next is made. */
  #variablesWritten: Promise<void> = Promise.resolve()
  #resolveStopped!: (end: MachineEnd) => void
  #state: MachineState = 'created'
  #end: MachineEnd | undefined
  #created!: { resolve: () => void; reject: (error: Error) => void }
  readonly #codeKept: (() => void)[] = []
  readonly #statsRequests = new Map<number, { resolve: (stats: Stats) => void; reject: (error: Error) => void }>()
  readonly #mediumRequests = new Map<number, { resolve: () => void; reject: (error: Error) => void }>()
  #nextStats = 0
  #profileSource: ProfileSource | undefined

  /**
   * Makes a machine, loads its kernel, and waits for {@link start}.
   * @throws MachineError with one sentence when the options or the kernel cannot be used
   */
  static async create(options: MachineOptions): Promise<Machine> {
    const configuration = configurationOf(options)
    const sources = sourcesOf(options)
    const files = await readImages(sources)
    const { drives, transfer } = driveConfigurations(options, sentence => new MachineError(sentence))
    const machine = new this((options.worker ?? browserWorker)(), sources, options.variables)
    if (configuration.vga !== 'none') machine.screen = machine.#screen
    if (configuration.vga === 'virtio')
      machine.#screen.preferSize = (width, height) => machine.#post({ type: 'screen-size', width, height })
    if (configuration.sound) machine.sound = machine.#sound
    machine.drives = drives.map(drive => new Drive(drive, request => machine.#changeMedium(request)))
    const allFiles = { images: files.images, transfer: [...files.transfer, ...transfer] }
    await machine.#create({ ...configuration, drives }, allFiles)
    return machine
  }

  /** Use {@link Machine.create}. */
  protected constructor(worker: WorkerLike, sources: ImageSources, variables?: VariableStore) {
    super()
    this.#sources = sources
    this.#variables = variables
    this.#worker = worker
    this.#channels = Array.from(
      { length: BYTE_STREAM_COUNT },
      (_, port) =>
        new SerialChannel(
          bytes => this.#post({ type: 'serial', port, bytes }),
          count => this.#post({ type: 'serial-read', port, count }),
          connected => this.#post({ type: 'connected', port, connected }),
        ),
    )
    this.serial = this.#channels.slice(0, CONSOLE_PORT)
    this.console = this.#channels[CONSOLE_PORT]
    this.parallel = this.#channels[PARALLEL_PORT]
    const error = (sentence: string) => new MachineError(sentence)
    this.#screen = new ScreenView(
      message => this.#post(message),
      () => error('the machine has ended'),
    )
    this.#input = new InputView(message => this.#post(message), error)
    this.keyboard = this.#input.keyboard
    this.mouse = this.#input.mouse
    this.stopped = new Promise(resolve => {
      this.#resolveStopped = resolve
    })
    worker.onMessage(message => this.#receive(message as FromWorker))
    worker.onError(error => {
      this.#finish({ reason: 'error', message: `the machine's worker failed: ${error.message}` })
    })
  }

  /** Where the machine is in its life. */
  get state(): MachineState {
    return this.#state
  }

  /** Begins execution. Does nothing if it has begun. */
  async start(): Promise<void> {
    if (this.#state !== 'created') return
    this.#post({ type: 'start' })
    this.#setState('running')
  }

  /** Stops execution and guest time where they are. Does nothing unless the machine runs. */
  async pause(): Promise<void> {
    if (this.#state !== 'running') return
    this.#post({ type: 'pause' })
    this.#setState('paused')
  }

  /** Goes on after {@link pause}. Does nothing unless the machine is paused. */
  async resume(): Promise<void> {
    if (this.#state !== 'paused') return
    this.#post({ type: 'resume' })
    this.#setState('running')
  }

  /** Presses the reset button: the guest starts again from its kernel, whatever the option `reboot` says. */
  async reset(): Promise<void> {
    this.#post({ type: 'reset' })
  }

  /** Presses the power button: a guest that knows ACPI shuts down, another takes no notice. */
  async pressPowerButton(): Promise<void> {
    this.#post({ type: 'power-button' })
  }

  /**
   * Writes what was translated so far for the next start of the same guest, which the machine does by itself from time to time
   * and when the guest turns itself off: for a program that is about to {@link destroy} it. Nothing happens where code is not kept.
   */
  async keepCode(): Promise<void> {
    if (this.#end || this.#state === 'created') return
    await new Promise<void>(resolve => {
      this.#codeKept.push(resolve)
      this.#post({ type: 'keep-code' })
    })
  }

  /** Ends the machine at once and frees what it holds. `stopped` resolves with reason `destroyed` unless it has ended. */
  async destroy(): Promise<void> {
    this.#finish({ reason: 'destroyed' })
    await this.#worker.terminate()
  }

  /** Counts and times up to now, or those of the end once the machine has stopped. */
  async stats(): Promise<Stats> {
    if (this.#end) {
      if (this.#end.stats) return this.#end.stats
      throw new MachineError('the machine ended without leaving statistics')
    }
    const id = this.#nextStats++
    return new Promise((resolve, reject) => {
      this.#statsRequests.set(id, { resolve, reject })
      this.#post({ type: 'stats', id })
    })
  }

  /**
   * A profiler that sees where the machine's thread is whenever its `sample` is called, from this thread; call it from a timer.
   * undefined where the processor cannot be looked at.
   */
  profiler(): Profiler | undefined {
    return this.#profileSource && new Profiler(this.#profileSource)
  }

  /** Tells the guest's virtio console the size of the user's terminal, in characters. */
  async resizeConsole(columns: number, rows: number): Promise<void> {
    this.#post({ type: 'resize', columns, rows })
  }

  #create(
    configuration: MachineConfiguration,
    { images, transfer }: { images: Images; transfer: (ArrayBuffer | MessagePort)[] },
  ): Promise<void> {
    return new Promise((resolve, reject) => {
      this.#created = { resolve, reject }
      this.#post({ type: 'create', configuration, images }, transfer)
    })
  }

  /** Gives the worker what its guest starts from again. */
  async #sendImages(): Promise<void> {
    try {
      const { images, transfer } = await readImages(this.#sources)
      this.#post({ type: 'images', images }, transfer)
    } catch (error) {
      const { message } = error as Error
      this.#finish({ reason: 'error', message: `the guest was reset and cannot start again: ${message}` })
    }
  }

  /** Asks the worker to change a medium. */
  #changeMedium({ drive, source, readOnly, force, wait }: MediumRequest): Promise<void> {
    const transfer: MessagePort[] = []
    const medium = source === undefined ? undefined : mediumOf(source, { readOnly, format: 'raw' }, transfer)
    const id = this.#nextStats++
    return new Promise((resolve, reject) => {
      if (this.#end) {
        reject(new MachineError('the machine has ended'))
        return
      }
      this.#mediumRequests.set(id, { resolve, reject })
      this.#post({ type: 'medium', id, drive, medium, force, wait }, transfer)
    })
  }

  #keepVariables(offset: number, bytes: Uint8Array): void {
    const store = this.#variables
    if (!store) return
    this.#variablesWritten = this.#variablesWritten
      .then(() => store.write(offset, bytes))
      .catch((error: Error) => {
        this.#finish({ reason: 'error', message: `the variables of the firmware cannot be kept: ${error.message}` })
      })
  }

  #post(message: ToWorker, transfer?: (ArrayBuffer | MessagePort)[]): void {
    if (this.#end === undefined) this.#worker.postMessage(message, transfer)
  }

  #setState(state: MachineState): void {
    if (this.#state === state) return
    this.#state = state
    this.dispatchEvent(new Event('statechange'))
  }

  #finish(end: MachineEnd): void {
    if (this.#end) return
    this.#end = end
    // Creation, if it is still awaited, fails with this.
    this.#created?.reject(new MachineError(end.message ?? 'the machine was destroyed before it was made'))
    for (const channel of this.#channels) channel.end()
    this.#screen.end()
    this.#input.end()
    this.#sound.end()
    for (const request of this.#statsRequests.values())
      if (end.stats) request.resolve(end.stats)
      else request.reject(new MachineError('the machine ended without leaving statistics'))
    this.#statsRequests.clear()
    for (const resolve of this.#codeKept.splice(0)) resolve()
    for (const request of this.#mediumRequests.values()) request.reject(new MachineError('the machine has ended'))
    this.#mediumRequests.clear()
    this.#setState('stopped')
    // Whoever goes away now shall not take the last variables along.
    void this.#variablesWritten.then(() => this.#resolveStopped(end))
    void this.#worker.terminate()
  }

  #receive(message: FromWorker): void {
    switch (message.type) {
      case 'created':
        this.#profileSource = message.profile
        this.#created.resolve()
        break
      case 'refused':
        this.#finish({ reason: 'error', message: message.message })
        break
      case 'stopped':
        this.#finish(message.end)
        break
      case 'images':
        void this.#sendImages()
        break
      case 'restarted':
        this.dispatchEvent(new CustomEvent('restart', { detail: message.reason }))
        break
      case 'stats':
        this.#statsRequests.get(message.id)?.resolve(message.stats)
        this.#statsRequests.delete(message.id)
        break
      case 'code-kept':
        this.#codeKept.shift()?.()
        break
      case 'medium': {
        const request = this.#mediumRequests.get(message.id)
        this.#mediumRequests.delete(message.id)
        if (message.error === undefined) request?.resolve()
        else request?.reject(new MachineError(message.error))
        break
      }
      case 'disk-full':
        if (this.#state === 'running') this.#setState('paused')
        this.dispatchEvent(new CustomEvent('diskfull', { detail: message.message }))
        break
      case 'disk-room':
        if (this.#state === 'paused' && message.running) this.#setState('running')
        this.dispatchEvent(new Event('diskroom'))
        break
      case 'log':
        this.dispatchEvent(new CustomEvent('log', { detail: message.message }))
        break
      case 'code':
        this.dispatchEvent(new CustomEvent('code', { detail: message.code }))
        break
      case 'screen-buffer':
      case 'screen-changed':
      case 'screen-state':
        this.#screen.receive(message)
        break
      case 'sound':
        this.#sound.receive(message)
        break
      case 'typed':
        this.#input.receive(message)
        break
      case 'variables':
        this.#keepVariables(message.offset, message.bytes)
        break
      case 'serial':
        this.#channels[message.port].deliver(message.bytes)
        break
      case 'serial-written':
        this.#channels[message.port].taken(message.count)
        break
    }
  }
}
