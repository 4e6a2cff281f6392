/**
 * typetwo: virtual PCs inside a Node process or a browser tab.
 *
 * ```ts
 * import { Machine } from 'typetwo'
 *
 * const machine = await Machine.create({ kernel, initrd, commandLine: 'console=ttyS0' })
 * machine.serial[0].readable.pipeTo(terminal)
 * await machine.start()
 * const { reason } = await machine.stopped
 * ```
 */
export type { ByteFile, FilePart, ImageFolder, OpenMode } from './disk/byte-file.ts'
export { type Disk, DiskError, type DiskErrorCode } from './disk/disk.ts'
export { FORMATS, type Format } from './disk/format-names.ts'
export { MemoryDisk } from './disk/memory.ts'
export type { OpenImageOptions } from './disk/open.ts'
export { type Channel, remoteDisk, serveDisk } from './disk/remote.ts'
export {
  type AddressSamples,
  type BootOptions,
  type CacheMode,
  type CdromOptions,
  type CpuName,
  type DiskBus,
  type DiskOptions,
  Drive,
  type EndReason,
  type EngineChoice,
  type FloppyOptions,
  type ImageSource,
  type Keyboard,
  Machine,
  type MachineEnd,
  MachineError,
  type MachineName,
  type MachineOptions,
  type MachineState,
  type MediumSource,
  type Mouse,
  type MouseButton,
  type ParallelPort,
  type Profile,
  type Profiler,
  type Screen,
  type ScreenChange,
  type ScreenImage,
  type ScreenRectangle,
  type SerialPort,
  type Sound,
  type SoundChunk,
  type SoundDevice,
  type Stats,
  type TextCells,
  type TranslatedCode,
  type TypeOptions,
  type VariableStore,
  type VgaAdapter,
} from './machine/machine.ts'
export { type Patience, PatientPeer } from './machine/patient-peer.ts'
export { encodePng } from './machine/png.ts'
export { type AttachOptions, SerialHub, type SerialPeer, type SerialPlug } from './machine/serial-hub.ts'
export type { WorkerLike } from './machine/worker-like.ts'
