/** A machine's worker: builds the PC that the handle asks for, runs it, and answers messages. */
import { ArenaFullError } from '../memory/arena.ts'
import { BootError } from './boot/index.ts'
import type { OpenImage } from './drives.ts'
import type { EngineChoice, FromWorker, Images, MachineConfiguration, Stats, ToWorker } from './messages.ts'
import { Pc } from './pc.ts'
import type { Processor, ProcessorOptions } from './processor.ts'
import { eventLoopHost, type MachineEvent, Runner } from './runner.ts'
import { ScreenServer } from './screen-server.ts'
import { SerialBuffers } from './serial-buffers.ts'
import { SoundServer } from './sound-server.ts'
import { WaitingWrites } from './waiting-writes.ts'
import type { WorkerPort } from './worker-like.ts'

/** How long the reset line is held: milliseconds of the host. */
const RESET_MILLISECONDS = 20

/** Makes the processor of a PC. */
export type ProcessorFactory = (options: ProcessorOptions) => Processor | Promise<Processor>

/** What a worker's host may do besides. */
export interface WorkerHost {
  /** The guest waits and there is time for the host's housekeeping. */
  idle?(): void
  /** Opens image files; without it only disks that the caller serves can be used. */
  openImage?: OpenImage
}

/**
 * Serves one machine on `port`, which a host's worker module gives.
 * @param host what else the host does
 * @returns a function that ends the machine's execution, for a host whose worker cannot be ended as a whole
 */
export function serveMachine(port: WorkerPort, createProcessor: ProcessorFactory, host: WorkerHost = {}): () => void {
  const server = new MachineServer(port, createProcessor, host)
  port.onMessage(message => server.receive(message as ToWorker))
  return () => server.stop()
}

/** One machine behind messages. */
class MachineServer {
  readonly #port: WorkerPort
  readonly #createProcessor: ProcessorFactory
  readonly #host: WorkerHost
  readonly #serial: SerialBuffers
  #pc: Pc | undefined
  #runner: Runner | undefined
  #screen: ScreenServer | undefined
  readonly #sound = new SoundServer((message, transfer) => this.#post(message, transfer))
  /** The engine that was asked for. */
  #engine: EngineChoice = 'auto'
  #started = false
  #ended = false
  /** Presses of the reset button that the run loop has to see. */
  #resetPressed = false
  /** Somebody wants it to be paused. */
  #paused = false
  /** Pauses the guest while there is no room for what it writes. */
  readonly #writes = new WaitingWrites({
    stop: message => {
      this.#runner?.pause()
      this.#post({ type: 'disk-full', message })
    },
    goOn: () => {
      if (!this.#paused) this.#runner?.resume()
      this.#post({ type: 'disk-room', running: !this.#paused })
    },
  })
  /** Takes what the guest starts from after a reset. */
  #takeImages: (images: Images) => void = () => {}

  constructor(port: WorkerPort, createProcessor: ProcessorFactory, host: WorkerHost) {
    this.#port = port
    this.#host = host
    this.#createProcessor = createProcessor
    this.#serial = new SerialBuffers(
      (message, transfer) => this.#post(message, transfer),
      (serialPort, bytes) => this.#pc?.receivers[serialPort].receive(bytes) ?? 0,
    )
  }

  /** Does what a message asks; whatever goes wrong ends this machine and nothing else. */
  receive(message: ToWorker): void {
    try {
      this.#receive(message)
    } catch (error) {
      this.#fail(error)
    }
  }

  /** Ends execution at the end of the current slice. */
  stop(): void {
    this.#resetPressed = false
    this.#runner?.stop()
  }

  #receive(message: ToWorker): void {
    switch (message.type) {
      case 'create':
        this.#create(message.configuration, message.images).catch(error => this.#fail(error))
        break
      case 'images':
        this.#takeImages(message.images)
        break
      case 'start':
        if (this.#runner && !this.#started) {
          this.#started = true
          this.#run(this.#runner).catch(error => this.#fail(error))
        }
        break
      case 'pause':
        this.#paused = true
        this.#runner?.pause()
        break
      case 'resume':
        this.#paused = false
        if (!this.#writes.tryNow()) this.#runner?.resume()
        break
      case 'reset':
        this.#resetPressed = true
        if (this.#started) this.#runner?.stop()
        break
      case 'power-button':
        this.#pc?.pressPowerButton()
        this.#runner?.wake()
        break
      case 'stats':
        this.#post({ type: 'stats', id: message.id, stats: this.#stats()! })
        break
      case 'keep-code':
        this.#pc?.keepCode()
        this.#post({ type: 'code-kept' })
        break
      case 'medium':
        void this.#changeMedium(message)
        break
      case 'resize':
        this.#pc?.resizeConsole(message.columns, message.rows)
        this.#runner?.wake()
        break
      case 'screen-size':
        this.#screen?.resize(message.width, message.height)
        break
      case 'screen-watch':
        this.#screen?.watch(message.on)
        break
      case 'screen-taken':
        this.#screen?.taken()
        break
      case 'screen-copied':
        this.#screen?.copied()
        break
      case 'screen-state':
        this.#screen?.state(message.id)
        break
      case 'sound-listen':
        this.#sound.listen(message.on, this.#pc?.mixer)
        this.#runner?.wake()
        break
      case 'sound-taken':
        this.#sound.taken()
        break
      case 'key':
        this.#pc?.input.key(message.code, message.pressed)
        this.#runner?.wake()
        break
      case 'type':
        this.#pc?.input.type(message.text, message.layout, error =>
          this.#post({ type: 'typed', id: message.id, error }),
        )
        this.#runner?.wake()
        break
      case 'mouse-move':
        this.#pc?.input.move(message.dx, message.dy)
        this.#runner?.wake()
        break
      case 'mouse-wheel':
        this.#pc?.input.wheel(message.dz)
        this.#runner?.wake()
        break
      case 'mouse-button':
        this.#pc?.input.button(message.button, message.pressed)
        this.#runner?.wake()
        break
      case 'mouse-to':
        this.#pc?.input.moveTo(message.x, message.y)
        this.#runner?.wake()
        break
      case 'serial':
        this.#serial.write(message.port, message.bytes)
        this.#runner?.wake()
        break
      case 'connected':
        this.#pc?.setConnected(message.port, message.connected)
        this.#runner?.wake()
        break
      case 'serial-read':
        this.#serial.read(message.port, message.count)
        this.#runner?.wake()
        break
    }
  }

  async #create(configuration: MachineConfiguration, images: Images): Promise<void> {
    this.#engine = configuration.engine
    try {
      this.#pc = await Pc.create(configuration, images, {
        transmit: (port, byte) => this.#serial.transmit(port, byte),
        transmitAll: (port, bytes) => {
          for (const byte of bytes) this.#serial.transmit(port, byte)
        },
        receiveReady: port => this.#serial.feed(port),
        log: message => this.#post({ type: 'log', message }),
        translated: code => this.#post({ type: 'code', code }),
        variablesChanged: (offset, bytes) => this.#post({ type: 'variables', offset, bytes }),
        sound: (frame, samples) => this.#sound.play(frame, samples),
        flush: () => this.#serial.flush(),
        createProcessor: this.#createProcessor,
        openImage: this.#host.openImage,
        help: this.#writes,
        werror: configuration.onFullDisk === 'pause' ? 'enospc' : 'report',
        wake: () => this.#runner?.wake(),
        picturePlaced: pixels => this.#post({ type: 'screen-buffer', pixels }),
      })
    } catch (error) {
      if (!(error instanceof BootError)) throw error
      this.#post({ type: 'refused', message: error.message })
      return
    }
    free(images)
    const { display } = this.#pc
    if (display) this.#screen = new ScreenServer(display, message => this.#post(message))
    this.#runner = new Runner(this.#pc, { ...eventLoopHost(), idle: this.#host.idle })
    this.#post({ type: 'created', profile: this.#pc.profileSource })
  }

  /** Runs until the machine ends; a reset starts the guest again. */
  async #run(runner: Runner): Promise<void> {
    for (;;) {
      const event = await runner.run()
      const pressed = this.#resetPressed
      this.#resetPressed = false
      const restarts = event === undefined ? pressed : isRestart(event) && this.#pc!.reboots
      if (!restarts) {
        if (event) await this.#end(event)
        return
      }
      const images = await this.#images()
      this.#pc!.reset(images)
      free(images)
      this.#post({ type: 'restarted', reason: event?.kind === 'triple-fault' ? 'triple-fault' : 'reset' })
      // A guest that resets at once, for ever, must leave the event loop its turn.
      await new Promise<void>(resolve => setTimeout(resolve, RESET_MILLISECONDS))
    }
  }

  /** What the guest starts from, which the handle has: nothing is kept here that a guest may never need again. */
  #images(): Promise<Images> {
    return new Promise(resolve => {
      this.#takeImages = resolve
      this.#post({ type: 'images' })
    })
  }

  /** Changes a drive's medium and says how that went. */
  async #changeMedium({ id, drive, medium, force, wait }: ToWorker & { type: 'medium' }): Promise<void> {
    try {
      await this.#pc!.changeMedium(drive, medium, { force, wait })
      this.#post({ type: 'medium', id })
    } catch (error) {
      this.#post({ type: 'medium', id, error: (error as Error).message })
    }
    this.#runner?.wake()
  }

  async #end(event: MachineEvent): Promise<void> {
    this.#ended = true
    this.#serial.flush()
    // What was shown last can still be looked at.
    this.#screen?.stop()
    this.#screen?.state(-1)
    this.#pc!.keepCode()
    await this.#pc!.close().catch(error => this.#post({ type: 'log', message: (error as Error).message }))
    const stats = this.#stats()
    if (event.kind === 'debug-exit')
      this.#post({ type: 'stopped', end: { reason: event.kind, code: event.code, stats } })
    else if (event.kind === 'triple-fault')
      this.#post({ type: 'stopped', end: { reason: event.kind, message: event.message, stats } })
    else this.#post({ type: 'stopped', end: { reason: event.kind, stats } })
  }

  #fail(error: unknown): void {
    if (this.#ended) return
    this.#ended = true
    const own = `an error in typetwo itself ended the machine: ${(error as Error | undefined)?.stack ?? error}`
    const message = error instanceof ArenaFullError ? error.message : own
    let stats: Stats | undefined
    try {
      stats = this.#stats()
    } catch {
      // What failed may be what counts; the first error is the one to tell.
    }
    this.#post({ type: 'stopped', end: { reason: 'error', message, stats } })
  }

  #stats(): Stats | undefined {
    if (!this.#pc || !this.#runner) return undefined
    const { exits, busyMilliseconds } = this.#runner.stats
    return { ...this.#pc.stats(exits, busyMilliseconds), engine: this.#engine }
  }

  #post(message: FromWorker, transfer?: ArrayBuffer[]): void {
    this.#port.postMessage(message, transfer)
  }
}

/** Gives their memory back at once: a collection that would find them is far off. */
function free({ kernel, initrd, modules = [], firmware, variables, videoBios }: Images): void {
  for (const image of [kernel, initrd, firmware, variables, videoBios, ...modules.map(({ bytes }) => bytes)])
    if (image?.buffer instanceof ArrayBuffer) image.buffer.transfer(0)
}

function isRestart(event: MachineEvent): boolean {
  return event.kind === 'reset' || event.kind === 'triple-fault'
}
