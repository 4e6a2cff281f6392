/** A whole machine in this process, driven to exact instruction counts, for comparing engines with each other. */
import type { Vcpu } from '../../src/cpu/vcpu.ts'
import { checkRange, type Disk } from '../../src/disk/disk.ts'
import type { CodeStore } from '../../src/engines/code-store.ts'
import type { Interpreter } from '../../src/engines/interpreter/interpreter.ts'
import { NANOSECONDS_PER_INSTRUCTION } from '../../src/machine/clock.ts'
import { createPcProcessor } from '../../src/machine/create-processor.ts'
import type { EngineChoice, MachineName } from '../../src/machine/messages.ts'
import { Pc } from '../../src/machine/pc.ts'
import type { MachineEvent } from '../../src/machine/runner.ts'

/** What a guest is started with. */
export interface GuestOptions {
  kernel?: Uint8Array
  firmware?: Uint8Array
  machine?: MachineName
  initrd?: Uint8Array
  commandLine: string
  /** Bytes of RAM. */
  memory: number
  /** Bytes of a CD in a drive at IDE. */
  cdrom?: Uint8Array
  /** What COM1 receives, as soon as it can. */
  input?: Uint8Array
  /** Where code of earlier runs is, and goes; none by default. */
  store?: CodeStore
  /** Hears each byte that COM1 transmits. */
  transmit?: (byte: number) => void
}

/** Why {@link Guest.runTo} came back before its instruction count. */
export type GuestEnd = MachineEvent | { kind: 'idle' } | { kind: 'shutdown'; reason: string }

/** A disk that answers at once, so that no machine ever waits for the host. */
function readOnlyDisk(bytes: Uint8Array): Disk {
  const size = Math.ceil(bytes.length / 2048) * 2048
  const fill = (offset: number, buffer: Uint8Array) => {
    checkRange(disk, offset, buffer.length)
    const piece = bytes.subarray(offset, offset + buffer.length)
    buffer.fill(0).set(piece)
    return piece.length
  }
  const refuse = () => Promise.reject(new Error('the disk is read-only'))
  const disk: Disk = {
    name: 'cdrom',
    size,
    sectorSize: 512,
    readOnly: true,
    read: async (offset, buffer) => void fill(offset, buffer),
    immediate: {
      read(offset, into) {
        for (const buffer of into) {
          fill(offset, buffer)
          offset += buffer.length
        }
        return true
      },
      write: () => false,
    },
    write: refuse,
    writeZeroes: refuse,
    discard: refuse,
    flush: async () => {},
    close: async () => {},
  }
  return disk
}

/** One machine whose clock counts instructions. */
export class Guest {
  readonly pc: Pc
  readonly engine: Interpreter
  /** What COM1 transmitted, as Latin-1 text. */
  serial = ''
  end: GuestEnd | undefined

  static async create(options: GuestOptions, engine: EngineChoice): Promise<Guest> {
    let guest: Guest | undefined
    let given = 0
    const feed = () => {
      if (guest && options.input) given += guest.pc.receivers[0].receive(options.input.subarray(given))
    }
    const pc = await Pc.create(
      {
        memory: options.memory,
        commandLine: options.commandLine,
        engine,
        clock: 'instructions',
        // Firmware lives on when its processor alone is reset.
        reboot: options.firmware !== undefined,
        boot: {},
        cpu: 'max',
        machine: options.machine ?? 'pc',
        holdInput: false,
        drives: options.cdrom && [
          {
            kind: 'cdrom',
            name: 'cdrom0',
            bus: 'ide',
            cache: 'writeback',
            serial: 'CD',
            medium: { path: 'cdrom', format: 'raw', readOnly: true },
          },
        ],
      },
      options,
      {
        transmit: (port, byte) => {
          if (port !== 0 || !guest) return
          guest.serial += String.fromCharCode(byte)
          options.transmit?.(byte)
        },
        transmitAll: () => {},
        receiveReady: feed,
        log: () => {},
        flush: () => true,
        openImage: async () => readOnlyDisk(options.cdrom!),
        createProcessor: processor => createPcProcessor(processor, options.store),
      },
    )
    guest = new Guest(pc)
    feed()
    return guest
  }

  private constructor(pc: Pc) {
    this.pc = pc
    this.engine = pc.engine as Interpreter
  }

  get vcpu(): Vcpu {
    return this.engine.vcpu
  }

  get instructions(): number {
    return this.pc.instructions()
  }

  /**
   * Executes until so many instructions have been executed since the start; halts are skipped.
   * @returns false when the guest ended before: {@link end} says how
   */
  runTo(instructions: number): boolean {
    const { pc } = this
    const { clock } = pc
    while (!this.end && pc.instructions() < instructions) {
      clock.runTimers()
      const left = (instructions - pc.instructions()) * NANOSECONDS_PER_INSTRUCTION
      const nanoseconds = Math.min(clock.untilDeadline(), left)
      pc.beginSlice(nanoseconds)
      const exit = pc.engine.run(clock.instructionsWithin(nanoseconds, 0))
      this.end = pc.takeEvent()
      if (this.end) break
      if (pc.hostWork.held) throw new Error('a guest in lock-step cannot wait for the host')
      if (exit.kind === 'shutdown') this.end = exit
      if (exit.kind === 'halt') {
        if (clock.nextDeadline() === Number.POSITIVE_INFINITY) this.end = { kind: 'idle' }
        else clock.skipTo(clock.nextDeadline())
      }
    }
    return this.end === undefined
  }
}
