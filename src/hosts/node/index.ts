/** typetwo on Node: what the machine itself cannot do because it imports nothing of the host. */

export * from '../../index.ts'
export {
  type DefaultGuest,
  type DefaultGuestOptions,
  ensureDefaultGuest,
  type GuestArchitecture,
} from './default-guest.ts'
export { type OpenDiskOptions, openDisk } from './disks.ts'
export { cacheFolder, readWhole } from './files.ts'
export { ensureFirmware, FIRMWARE, type FirmwareName } from './firmware.ts'
export { type GuestTerminal, terminalWords } from './guest/init.ts'
export { Machine } from './machine.ts'
export { nodeWorker } from './node-worker.ts'
export { openSerialLine, type SerialLine, type SerialPlace } from './serial-line.ts'
export { UserError } from './user-error.ts'
export { openVariables } from './variables.ts'
