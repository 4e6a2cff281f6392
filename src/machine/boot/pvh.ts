/** The PVH entry: 32-bit protected mode without paging, EBX at a hvm_start_info (Xen's start_info.h, version 1). */
import {
  COMMAND_LINE_ADDRESS,
  memoryMap,
  PARAMETERS_ADDRESS,
  placeModules,
  STACK_ADDRESS,
  writeCommandLine,
} from './layout.ts'
import { type BootImage, type BootMemory, type BootState, CR0_PROTECTED, flatSegments } from './state.ts'

const START_INFO_MAGIC = 0x336ec578
const START_INFO_LENGTH = 56
const MODULE_LENGTH = 32
const MAP_ENTRY_LENGTH = 24

/** Writes the start info and gives the state at `entry`. */
export function startPvh(memory: BootMemory, image: BootImage, entry: number, kernelEnd: number): BootState {
  writeCommandLine(memory, image.commandLine, Number.POSITIVE_INFINITY)
  const map = memoryMap(memory.regions)
  const modules = placeModules(memory, image, kernelEnd)
  const list = PARAMETERS_ADDRESS + START_INFO_LENGTH
  const mapOffset = START_INFO_LENGTH + MODULE_LENGTH * modules.length
  const info = new DataView(new ArrayBuffer(mapOffset + map.length * MAP_ENTRY_LENGTH))
  const u64 = (offset: number, value: number) => info.setBigUint64(offset, BigInt(value), true)
  info.setUint32(0, START_INFO_MAGIC, true)
  info.setUint32(4, 1, true)
  if (modules.length > 0) {
    info.setUint32(12, modules.length, true)
    u64(16, list)
  }
  modules.forEach(({ address, length, text }, i) => {
    const at = START_INFO_LENGTH + MODULE_LENGTH * i
    u64(at, address)
    u64(at + 8, length)
    u64(at + 16, text)
  })
  u64(24, COMMAND_LINE_ADDRESS)
  u64(32, image.rsdp)
  u64(40, PARAMETERS_ADDRESS + mapOffset)
  info.setUint32(48, map.length, true)
  map.forEach((item, i) => {
    const at = mapOffset + i * MAP_ENTRY_LENGTH
    u64(at, item.address)
    u64(at + 8, item.length)
    info.setUint32(at + 16, item.type, true)
  })
  memory.write(PARAMETERS_ADDRESS, new Uint8Array(info.buffer))
  return {
    description: 'PVH',
    rip: entry,
    registers: { rbx: PARAMETERS_ADDRESS, rsp: STACK_ADDRESS },
    ...flatSegments(memory, false),
    cr0: CR0_PROTECTED,
    cr3: 0,
    cr4: 0,
    efer: 0,
  }
}
