/**
 * Linux through a BIOS: an option ROM that the BIOS finds in fw_cfg and boots like a device. It has the parts of the kernel copied
 * into memory by fw_cfg's DMA, and enters the kernel's real-mode code, which asks the BIOS for what it wants to know. Formats: BIOS
 * Boot Specification 1.01, 3.3 and appendix A; Plug and Play BIOS Specification 1.0A, 3.2; Linux, Documentation/arch/x86/boot.rst.
 */
import { FW_CFG } from '../../devices/fw-cfg.ts'
import { type EncodeParts, encode } from '../../isa/assembler.ts'
import type { DecodeMode } from '../../isa/decoder.ts'
import { forms } from '../../isa/index.ts'
import { megabytes } from './layout.ts'
import { FIELD, isLinuxImage, LOADER_TYPE_UNDEFINED, LOADFLAGS_CAN_USE_HEAP, LOADFLAGS_LOADED_HIGH } from './linux.ts'
import { BootError } from './state.ts'

/** The file of fw_cfg in which SeaBIOS looks for option ROMs, and what the list of boot devices calls it. */
export const LINUX_ROM_FILE = 'genroms/linuxboot.bin'
export const LINUX_ROM_PATH = `/rom@${LINUX_ROM_FILE}`

/** Where the parts go, as boot.rst suggests: setup code with heap and stack in a segment of its own, the command line behind it. */
const SETUP_SEGMENT = 0x1000
const SETUP_ADDRESS = SETUP_SEGMENT * 16
const HEAP_END = 0xe000
const COMMAND_LINE_ADDRESS = SETUP_ADDRESS + 0x10000
const COMMAND_LINE_ROOM = 0x8000
const KERNEL_ADDRESS = 0x100000
/** Setup code is entered a paragraph row of 20h behind its segment. */
const SETUP_ENTRY_SEGMENT = SETUP_SEGMENT + 0x20
/** The BIOS keeps tables at the end of memory: SeaBIOS a quarter megabyte. */
const BIOS_TABLES = 2 ** 20

/** Where requests of DMA are put: between the BIOS's data and where boot sectors go. */
const REQUESTS = 0x600
const REQUEST_BYTES = 16
const DMA_PORT = 0x518
const DMA_SELECT_READ = 8 | 2

/** A kernel ready to be offered. */
export interface LinuxRom {
  /** The setup code and header of the kernel, filled in. */
  setup: Uint8Array
  rom: Uint8Array
}

/**
 * Prepares a kernel for a BIOS.
 * @param extendedEnd where RAM above 1 MiB ends
 * @throws BootError with one sentence for what it cannot boot, or where there is too little memory
 */
export function linuxRom(
  kernel: Uint8Array,
  { initrd, commandLine, extendedEnd }: { initrd: Uint8Array | undefined; commandLine: string; extendedEnd: number },
): LinuxRom {
  if (!isLinuxImage(kernel) || kernel.length < FIELD.init_size + 4)
    throw new BootError('the kernel is no Linux bzImage, and a BIOS starts no other: leave out --bios')
  const setupLength = ((kernel[FIELD.setup_sects] || 4) + 1) * 512
  const setup = kernel.slice(0, setupLength)
  const view = new DataView(setup.buffer)
  const version = view.getUint16(FIELD.version, true)
  if (version < 0x0204 || (setup[FIELD.loadflags] & LOADFLAGS_LOADED_HIGH) === 0 || setupLength > HEAP_END / 2)
    throw new BootError(
      'the kernel is a zImage or older than Linux boot protocol 2.4: a bzImage of Linux 2.6 or newer is needed',
    )
  const words = new TextEncoder().encode(commandLine)
  const most = Math.min(COMMAND_LINE_ROOM - 1, version >= 0x0206 ? view.getUint32(FIELD.cmdline_size, true) : 255)
  if (words.length > most)
    throw new BootError(`the command line has ${words.length} bytes, but this kernel takes at most ${most}: shorten it`)

  const preferred = version >= 0x020a ? view.getUint32(FIELD.pref_address, true) : KERNEL_ADDRESS
  const size = version >= 0x020a ? view.getUint32(FIELD.init_size, true) : 3 * kernel.length
  const kernelEnd = Math.max(KERNEL_ADDRESS + kernel.length, preferred + size)
  const limit = Math.min(view.getUint32(FIELD.initrd_addr_max, true) + 1, extendedEnd - BIOS_TABLES)
  const initrdAddress = Math.floor((limit - (initrd?.length ?? 0)) / 4096) * 4096
  if (initrdAddress < kernelEnd)
    throw new BootError(
      `the kernel${initrd ? ' with its initrd' : ''} needs ${megabytes(kernelEnd + (initrd?.length ?? 0) + BIOS_TABLES)} of memory to start, and the machine has ${megabytes(extendedEnd)}: give it more with --memory`,
    )

  setup[FIELD.type_of_loader] = LOADER_TYPE_UNDEFINED
  setup[FIELD.loadflags] |= LOADFLAGS_CAN_USE_HEAP
  view.setUint16(FIELD.heap_end_ptr, HEAP_END - 0x200, true)
  view.setUint32(FIELD.cmd_line_ptr, COMMAND_LINE_ADDRESS, true)
  view.setUint32(FIELD.code32_start, KERNEL_ADDRESS, true)
  if (initrd) {
    view.setUint32(FIELD.ramdisk_image, initrdAddress, true)
    view.setUint32(FIELD.ramdisk_size, initrd.length, true)
  }
  const transfers: Transfer[] = [
    { key: FW_CFG.SETUP_DATA, length: setupLength, address: SETUP_ADDRESS },
    { key: FW_CFG.COMMAND_LINE_DATA, length: words.length + 1, address: COMMAND_LINE_ADDRESS },
    { key: FW_CFG.KERNEL_DATA, length: kernel.length - setupLength, address: KERNEL_ADDRESS },
  ]
  if (initrd) transfers.push({ key: FW_CFG.INITRD_DATA, length: initrd.length, address: initrdAddress })
  return { setup, rom: makeRom(transfers) }
}

/** An item of fw_cfg and where it goes. */
interface Transfer {
  key: number
  length: number
  address: number
}

const REAL: DecodeMode = { mode: 'real', codeSize: 16, stackSize: 16 }

/** Registers by their numbers. */
const AX = 0
const CX = 1
const DX = 2
const SP = 4
const SI = 6
const DI = 7
const [ES, CS, SS, DS, FS, GS] = [0, 1, 2, 3, 4, 5]

/** An instruction by its encoding in the tables of the instruction set. */
function code(mnemonic: string, encoding: string, parts: EncodeParts = {}): number[] {
  const form = forms.find(form => form.instruction.mnemonic === mnemonic && form.encoding === encoding)
  if (form === undefined) throw new Error(`there is no encoding '${encoding}' of ${mnemonic}`)
  return [...encode(form, REAL, parts)]
}

const load = (register: number, value: number, operandSize: 16 | 32 = 16) =>
  code('MOV', 'B8+r iv  Zv,Iv', { opcodeRegister: register, immediates: [value >>> 0], operandSize })
const loadSegment = (segment: number) => code('MOV', '8E /r  Sw,Ew', { reg: segment, rm: AX })

/** The code that the BIOS enters to boot: it does the transfers and goes to the kernel. */
function bootCode(transfers: readonly Transfer[], requestsAt: number): number[] {
  const bytes = [
    ...code('CLI', 'FA'),
    ...code('CLD', 'FC'),
    // mov ax, cs; the requests into memory, because each gets an answer where it is.
    ...code('MOV', '8C /r reg  Ev,Sw', { reg: CS, rm: AX }),
    ...loadSegment(DS),
    ...load(AX, 0),
    ...loadSegment(ES),
    ...load(SI, requestsAt),
    ...load(DI, REQUESTS),
    ...load(CX, (transfers.length * REQUEST_BYTES) / 2),
    ...code('MOVS', 'A5', { rep: 'rep' }),
    ...load(DX, DMA_PORT),
  ]
  for (const index of transfers.keys()) {
    const view = new DataView(new ArrayBuffer(4))
    view.setUint32(0, REQUESTS + index * REQUEST_BYTES)
    bytes.push(...load(AX, view.getUint32(0, true), 32), ...code('OUT', 'EF  DX,eAX', { operandSize: 32 }))
  }
  bytes.push(...load(AX, SETUP_SEGMENT))
  for (const segment of [DS, ES, FS, GS, SS]) bytes.push(...loadSegment(segment))
  bytes.push(...load(SP, HEAP_END))
  bytes.push(...code('JMP', 'EA ap i64  Ap', { immediates: [0], selector: SETUP_ENTRY_SEGMENT }))
  return bytes
}

/** Offsets in the ROM. */
const INITIALISATION = 3
const CHECKSUM = 0x0f
const PNP_POINTER = 0x1a
const PNP = 0x20
const PNP_BYTES = 32
const PRODUCT = PNP + PNP_BYTES
const PRODUCT_BYTES = 16
const CODE = PRODUCT + PRODUCT_BYTES
/** What the initialisation answers: a device to boot from is there. */
const BOOT_DEVICE_ATTACHED = 0x20

function makeRom(transfers: readonly Transfer[]): Uint8Array {
  const length = bootCode(transfers, 0).length
  const requestsAt = Math.ceil((CODE + length) / 16) * 16
  const rom = new Uint8Array(Math.ceil((requestsAt + transfers.length * REQUEST_BYTES) / 512) * 512)
  const view = new DataView(rom.buffer)
  rom.set([0x55, 0xaa, rom.length / 512])
  rom.set([...load(AX, BOOT_DEVICE_ATTACHED), ...code('RET', 'CB')], INITIALISATION)
  view.setUint16(PNP_POINTER, PNP, true)
  rom.set(new TextEncoder().encode('$PnP'), PNP)
  rom[PNP + 4] = 1
  rom[PNP + 5] = PNP_BYTES / 16
  view.setUint16(PNP + 0x10, PRODUCT, true)
  view.setUint16(PNP + 0x1a, CODE, true)
  rom[PNP + 9] = complement(rom.subarray(PNP, PNP + PNP_BYTES))
  rom.set(new TextEncoder().encode('Linux kernel\0'), PRODUCT)
  rom.set(bootCode(transfers, requestsAt), CODE)
  for (const [index, { key, length, address }] of transfers.entries()) {
    const at = requestsAt + index * REQUEST_BYTES
    view.setUint32(at, ((key << 16) | DMA_SELECT_READ) >>> 0)
    view.setUint32(at + 4, length)
    view.setBigUint64(at + 8, BigInt(address))
  }
  rom[CHECKSUM] = complement(rom)
  return rom
}

/** What makes the sum of bytes 0. */
function complement(bytes: Uint8Array): number {
  return -bytes.reduce((sum, byte) => sum + byte, 0) & 0xff
}
