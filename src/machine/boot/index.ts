/** Direct boot: recognises a kernel by its content, loads it, and says in what state the processor starts. */
import { writeBiosArea } from './bios-area.ts'
import { isElf, loadElf } from './elf.ts'
import { checkInitrd } from './initrd.ts'
import { onlyInitrd } from './layout.ts'
import { isLinuxImage, loadLinux } from './linux.ts'
import { findMultibootHeader, loadMultiboot } from './multiboot.ts'
import { BootError, type BootImage, type BootMemory, type BootState } from './state.ts'

export type { BootImage, BootMemory, BootModule, BootSegment, BootState } from './state.ts'
export { BootError } from './state.ts'

/** Whether a kernel is booted as multiboot. */
export function isMultiboot(kernel: Uint8Array): boolean {
  return !isLinuxImage(kernel) && findMultibootHeader(kernel) !== undefined
}

/**
 * Loads `image` into `memory`.
 * @throws BootError with one sentence that says what is wrong with kernel, initrd or command line
 */
export function loadKernel(memory: BootMemory, image: BootImage): BootState {
  const { kernel, initrd } = image
  if (kernel.length === 0)
    throw new BootError('the kernel is empty: give a bzImage, an ELF vmlinux or a multiboot kernel')
  writeBiosArea(memory)
  if (isLinuxImage(kernel)) {
    if (initrd) checkInitrd(initrd)
    return loadLinux(memory, { ...image, initrd: onlyInitrd(image), modules: [] })
  }
  const header = findMultibootHeader(kernel)
  if (header !== undefined) return loadMultiboot(memory, image, header)
  if (isElf(kernel)) return loadElf(memory, image)
  throw new BootError(
    `the kernel is ${describe(kernel)}, which cannot be booted: give a bzImage, an ELF vmlinux or a multiboot kernel for x86`,
  )
}

/** A guess at what a foreign file is. */
function describe(file: Uint8Array): string {
  const start = String.fromCharCode(...file.subarray(0, 8))
  if (start.startsWith('\x1f\x8b')) return 'a gzip file'
  if (start.startsWith('MZ')) return 'a DOS or EFI program without a Linux header'
  if (start.startsWith('!<arch>')) return 'an archive or Debian package'
  if (start.startsWith('0707')) return 'a cpio archive'
  if (/^[\x20-\x7e\r\n\t]+$/.test(start)) return 'a text file'
  return file.length < 1024 ? `a file of only ${file.length} bytes` : 'no kernel that is known here'
}
