import assert from 'node:assert/strict'
import { test } from 'node:test'
import { gzipSync } from 'node:zlib'
import { isGzip, unpackKernelFile } from './gzip.ts'
import { BootError, type BootImage, loadKernel } from './index.ts'
import { checkInitrd, verifyInitrd } from './initrd.ts'
import { COMMAND_LINE_ADDRESS, memoryMap, PARAMETERS_ADDRESS } from './layout.ts'
import type { BootMemory } from './state.ts'

const MiB = 2 ** 20

/** RAM from address 0 that refuses writes beyond its end. */
function ram(length: number) {
  const bytes = new Uint8Array(length)
  const memory: BootMemory = {
    regions: [{ address: 0, length }],
    write(address, source) {
      assert.ok(address >= 0 && address + source.length <= length, 'a loader wrote where no RAM is')
      bytes.set(source, address)
    },
    clear(address, count) {
      assert.ok(address >= 0 && count >= 0 && address + count <= length, 'a loader cleared where no RAM is')
      bytes.fill(0, address, address + count)
    },
  }
  return { bytes, memory, view: new DataView(bytes.buffer) }
}

/** A bzImage with one setup sector, whose kernel is `codeLength` bytes of 0x90. */
function bzImage({
  version = 0x020f,
  codeLength = 0x10000,
  long = true,
  preferred = 16 * MiB,
  initSize = 2 * MiB,
} = {}) {
  const file = new Uint8Array(1024 + codeLength).fill(0x90, 1024)
  const view = new DataView(file.buffer)
  view.setUint8(0x1f1, 1)
  view.setUint32(0x1f4, codeLength / 16, true)
  view.setUint16(0x1fe, 0xaa55, true)
  view.setUint16(0x200, 0x66eb, true)
  file.set(new TextEncoder().encode('HdrS'), 0x202)
  view.setUint16(0x206, version, true)
  view.setUint8(0x211, 1)
  view.setUint32(0x22c, 0x7fffffff, true)
  view.setUint32(0x230, 2 * MiB, true)
  view.setUint8(0x234, 1)
  view.setUint16(0x236, long ? 1 : 0, true)
  view.setUint32(0x238, 2047, true)
  view.setUint32(0x258, preferred, true)
  view.setUint32(0x260, initSize, true)
  return file
}

const cpio = new TextEncoder().encode(
  `070701${'0'.repeat(8 * 11)}0000000b${'0'.repeat(8)}TRAILER!!!\0\0\0\0`.padEnd(512, '\0'),
)

function image(kernel: Uint8Array, rest: Partial<BootImage> = {}): BootImage {
  return { kernel, commandLine: 'console=ttyS0', rsdp: 0xe0000, ...rest }
}

function refused(load: () => unknown, pattern: RegExp) {
  assert.throws(load, (error: unknown) => {
    assert.ok(error instanceof BootError, String(error))
    assert.match(error.message, pattern)
    assert.ok(!error.message.includes('\n'))
    return true
  })
}

test('a 64-bit bzImage starts in long mode with everything it is told', () => {
  const { bytes, memory, view } = ram(64 * MiB)
  const state = loadKernel(memory, image(bzImage(), { initrd: cpio }))
  assert.equal(state.rip, 16 * MiB + 0x200)
  assert.equal(state.efer, 0x500)
  assert.equal(state.cr0, 0x80000011)
  assert.equal(state.registers.rsi, PARAMETERS_ADDRESS)
  assert.equal(bytes[16 * MiB], 0x90)
  const field = (offset: number) => view.getUint32(PARAMETERS_ADDRESS + offset, true)
  assert.equal(field(0x228), COMMAND_LINE_ADDRESS)
  assert.equal(
    new TextDecoder().decode(bytes.subarray(COMMAND_LINE_ADDRESS, COMMAND_LINE_ADDRESS + 14)),
    'console=ttyS0\0',
  )
  assert.equal(field(0x218), 64 * MiB - 4096)
  assert.equal(field(0x21c), cpio.length)
  assert.equal(bytes[PARAMETERS_ADDRESS + 0x210], 0xff)
  assert.equal(field(0x70), 0xe0000)
  assert.equal(bytes[PARAMETERS_ADDRESS + 0x1ef], 0, 'the sentinel says that the loader cleared boot_params')
  const ramBytes = Array.from({ length: bytes[PARAMETERS_ADDRESS + 0x1e8] }, (_, i) => {
    const at = PARAMETERS_ADDRESS + 0x2d0 + 20 * i
    return view.getUint32(at + 16, true) === 1 ? view.getUint32(at + 8, true) : 0
  }).reduce((a, b) => a + b)
  assert.equal(ramBytes, 0x9fc00 + 63 * MiB)
  // CR3 maps 3 GiB + 5 MiB onto itself with a 2 MiB page, as the processor walks it.
  const entry = (table: number, index: number) => view.getUint32(table + 8 * index, true)
  const pdpt = entry(state.cr3, 0) & ~0xfff
  const directory = entry(pdpt, 3) & ~0xfff
  assert.equal(entry(directory, 2), 0xc0400083)
})

test('the initrd stays below what the kernel can reach', () => {
  const { memory, view } = ram(64 * MiB)
  const kernel = bzImage()
  new DataView(kernel.buffer).setUint32(0x22c, 40 * MiB - 1, true)
  loadKernel(memory, image(kernel, { initrd: cpio }))
  assert.equal(view.getUint32(PARAMETERS_ADDRESS + 0x218, true), 40 * MiB - 4096)
})

test('a 32-bit bzImage starts at its first byte in protected mode', () => {
  const { memory, view } = ram(64 * MiB)
  const state = loadKernel(memory, image(bzImage({ long: false })))
  assert.equal(state.rip, 16 * MiB)
  assert.equal(state.cr0, 0x11)
  assert.equal(state.efer, 0)
  assert.deepEqual([state.code.selector, state.data.selector], [0x10, 0x18])
  assert.equal(view.getBigUint64(state.gdt.base + 0x10, true), 0x00cf9b000000ffffn)
  assert.equal(view.getBigUint64(state.gdt.base + 0x18, true), 0x00cf93000000ffffn)
})

test('a kernel that would not fit where it runs is refused, though it could be loaded below', () => {
  // 2 MiB from 16 MiB on: what a kernel loaded lower moves itself to.
  refused(
    () => loadKernel(ram(17 * MiB).memory, image(bzImage())),
    /needs 18 MiB of memory.*\(2\.0 MiB from 0x1000000 on\).*has 17\.0 MiB.*--memory/,
  )
  refused(
    () => loadKernel(ram(17 * MiB).memory, image(bzImage(), { initrd: cpio })),
    /with its initrd needs 19 MiB of memory/,
  )
  assert.equal(loadKernel(ram(18 * MiB).memory, image(bzImage())).rip, 16 * MiB + 0x200)
  // Where it prefers a place that its alignment does not allow, it runs at the next one that is.
  assert.equal(loadKernel(ram(18 * MiB).memory, image(bzImage({ preferred: 5 * MiB }))).rip, 6 * MiB + 0x200)
})

test('damaged, foreign and oversized Linux images get a sentence', () => {
  const { memory } = ram(20 * MiB)
  refused(() => loadKernel(memory, image(bzImage().subarray(0, 5000))), /truncated: its header promises 66560 bytes/)
  refused(() => loadKernel(memory, image(bzImage().subarray(0, 0x220))), /truncated/)
  refused(() => loadKernel(memory, image(bzImage({ version: 0x0201 }))), /protocol 2\.1/)
  refused(() => loadKernel(memory, image(bzImage({ initSize: 512 * MiB }))), /needs 528 MiB.*--memory/)
  refused(() => loadKernel(ram(MiB / 2).memory, image(bzImage())), /less than 1 MiB/)
  refused(() => loadKernel(memory, image(new Uint8Array())), /empty/)
  refused(() => loadKernel(memory, image(new TextEncoder().encode('#!/bin/sh\necho\n'.repeat(99)))), /a text file/)
  refused(() => loadKernel(memory, image(new Uint8Array(5000))), /cannot be booted/)
  refused(() => loadKernel(memory, image(bzImage(), { commandLine: 'x'.repeat(3000) })), /3000 bytes.*at most 2047/)
  const initrd = new Uint8Array(16 * MiB)
  initrd.set([0x28, 0xb5, 0x2f, 0xfd])
  refused(() => loadKernel(memory, image(bzImage(), { initrd })), /initrd has 16\.0 MiB/)
  const crooked = bzImage()
  new DataView(crooked.buffer).setUint32(0x230, 3, true)
  refused(() => loadKernel(memory, image(crooked)), /alignment/)
})

test('an initrd is known by its content', () => {
  checkInitrd(cpio)
  checkInitrd(new Uint8Array([...cpio, 0x1f, 0x8b, ...new Uint8Array(30)]))
  const withFile = new TextEncoder().encode(
    `070701${'0'.repeat(48)}00001000${'0'.repeat(32)}00000002${'0'.repeat(8)}a\0`,
  )
  refused(() => checkInitrd(withFile), /truncated: its cpio archive/)
  refused(() => checkInitrd(cpio.subarray(0, 50)), /incomplete/)
  refused(() => checkInitrd(new Uint8Array()), /empty/)
  refused(() => checkInitrd(new Uint8Array(4096).fill(7)), /neither a cpio archive/)
  refused(() => checkInitrd(new Uint8Array([0xfd, 0x37, 0x7a, 0x58, 0x5a, 0, 1, 2, 3])), /xz data has no end/)
})

test('a compressed initrd is unpacked to see that it is whole', async () => {
  const gzip = gzipSync(Buffer.alloc(100_000, 'initrd'))
  await verifyInitrd(gzip)
  await verifyInitrd(Buffer.concat([cpio, gzip, gzip, Buffer.alloc(512)]))
  await assert.rejects(verifyInitrd(gzip.subarray(0, gzip.length - 9)), BootError)
  const damaged = Buffer.from(gzip)
  damaged[gzip.length - 6] ^= 1
  await assert.rejects(verifyInitrd(damaged), /truncated or damaged/)
})

/** An ELF with one segment of code at 1 MiB, and optionally a PVH note. */
function elf(bits: 32 | 64, pvh?: number) {
  const file = new Uint8Array(4096)
  const view = new DataView(file.buffer)
  const wide = bits === 64
  const word = (at: number, value: number) =>
    wide ? view.setBigUint64(at, BigInt(value), true) : view.setUint32(at, value, true)
  file.set([0x7f, 0x45, 0x4c, 0x46, wide ? 2 : 1, 1, 1])
  view.setUint16(16, 2, true)
  view.setUint16(18, wide ? 62 : 3, true)
  word(24, MiB + 0x10)
  const headers = wide ? 64 : 52
  word(wide ? 32 : 28, headers)
  const entrySize = wide ? 56 : 32
  view.setUint16(wide ? 54 : 42, entrySize, true)
  view.setUint16(wide ? 56 : 44, pvh === undefined ? 1 : 2, true)
  const program = (
    index: number,
    type: number,
    offset: number,
    address: number,
    length: number,
    memorySize: number,
  ) => {
    const at = headers + index * entrySize
    view.setUint32(at, type, true)
    word(at + (wide ? 8 : 4), offset)
    word(at + (wide ? 16 : 8), address)
    word(at + (wide ? 24 : 12), address)
    word(at + (wide ? 32 : 16), length)
    word(at + (wide ? 40 : 20), memorySize)
    word(at + (wide ? 48 : 28), 4)
  }
  program(0, 1, 0x800, MiB, 0x100, 0x3000)
  file.fill(0xf4, 0x800, 0x900)
  if (pvh !== undefined) {
    program(1, 4, 0x400, 0, 0x30, 0x30)
    const note = (at: number, name: string, type: number, value: number) => {
      view.setUint32(at, name.length, true)
      view.setUint32(at + 4, 4, true)
      view.setUint32(at + 8, type, true)
      file.set(new TextEncoder().encode(name), at + 12)
      view.setUint32(at + 12 + Math.ceil(name.length / 4) * 4, value, true)
    }
    note(0x400, 'GNU\0', 18, 0x1234)
    note(0x414, 'Xen\0', 18, pvh)
  }
  return file
}

test('an ELF kernel with the note starts by PVH', () => {
  const { memory, view, bytes } = ram(16 * MiB)
  bytes.fill(0xcc, MiB, MiB + 0x3000)
  const state = loadKernel(memory, image(elf(64, MiB + 0x40), { initrd: cpio }))
  assert.equal(state.description, 'PVH')
  assert.equal(state.rip, MiB + 0x40)
  const info = state.registers.rbx!
  assert.equal(view.getUint32(info, true), 0x336ec578)
  assert.equal(view.getUint32(info + 12, true), 1)
  const module = Number(view.getBigUint64(info + 16, true))
  assert.equal(Number(view.getBigUint64(module, true)), 16 * MiB - 4096)
  assert.equal(Number(view.getBigUint64(info + 32, true)), 0xe0000)
  assert.equal(bytes[MiB + 0xff], 0xf4)
  assert.equal(bytes[MiB + 0x2fff], 0)
})

test('an ELF vmlinux without the note gets boot_params', () => {
  const { memory, view } = ram(16 * MiB)
  const state = loadKernel(memory, image(elf(64)))
  assert.equal(state.rip, MiB + 0x10)
  assert.equal(state.efer, 0x500)
  assert.equal(view.getUint32(PARAMETERS_ADDRESS + 0x202, true), 0x53726448)
  assert.equal(loadKernel(memory, image(elf(32))).efer, 0)
})

test('damaged ELF kernels get a sentence', () => {
  const { memory } = ram(16 * MiB)
  refused(() => loadKernel(memory, image(elf(64).subarray(0, 0x820))), /truncated: program header 0/)
  refused(() => loadKernel(memory, image(elf(64).subarray(0, 20))), /incomplete/)
  const arm = elf(64)
  arm[18] = 183
  refused(() => loadKernel(memory, image(arm)), /machine type 183/)
  refused(() => loadKernel(ram(MiB + 4096).memory, image(elf(64))), /--memory/)
  const far = elf(32)
  new DataView(far.buffer).setUint32(52 + 12, 0xfffff000, true)
  refused(() => loadKernel(memory, image(far)), /wants memory from 0xfffff000 .*--memory/)
})

test('an ELF kernel whose headers lie a page below 1 MiB, as linkers place them', () => {
  // Program header 0: file offset 12, physical address 12 bytes later in both, sizes in 16 and 20.
  const below = (address: number, bits: 32 | 64 = 32) => {
    const file = elf(bits, MiB + 0x40)
    const view = new DataView(file.buffer)
    const [at, step] = bits === 64 ? [64 + 8, 8] : [52 + 4, 4]
    for (const [i, value] of [0, address, address, 0x1000, 0x3000].entries()) view.setUint32(at + step * i, value, true)
    return image(file)
  }
  for (const bits of [32, 64] as const) {
    const { memory, bytes } = ram(16 * MiB)
    assert.equal(loadKernel(memory, below(MiB - 0x1000, bits)).rip, MiB + 0x40)
    assert.deepEqual([...bytes.subarray(MiB - 0x1000, MiB - 0x0ffc)], [0x7f, 0x45, 0x4c, 0x46])
    assert.equal(bytes[MiB - 0x800], 0xf4)
  }
  // On the ACPI tables, the video memory, the command line, the parameters.
  for (const address of [0xef000, 0xe0000, 0xb8000, 0x2f000, 0x6000])
    refused(() => loadKernel(ram(16 * MiB).memory, below(address)), /the machine itself needs some of that/)
  // PVH has no page tables, boot_params in long mode do.
  assert.equal(loadKernel(ram(16 * MiB).memory, below(0xb000, 64)).rip, MiB + 0x40)
  const plain = elf(64)
  const view = new DataView(plain.buffer)
  view.setUint32(64 + 24, 0xb000, true)
  refused(() => loadKernel(ram(16 * MiB).memory, image(plain)), /the machine itself needs/)
})

test('random damage of any kernel is a sentence or a boot, never another error', () => {
  const { memory } = ram(20 * MiB)
  let seed = 7
  const random = (n: number) => (seed = (seed * 48271) % 2147483647) % n
  for (let i = 0; i < 3000; i++) {
    const kernel = [elf(32, MiB), elf(64, MiB), multiboot(), bzImage({ codeLength: 4096 })][i % 4]
    for (let j = 0; j < 4; j++) kernel[random(i % 4 === 3 ? 0x270 : 0x500)] = random(256)
    try {
      loadKernel(memory, image(kernel, { initrd: cpio }))
    } catch (error) {
      assert.ok(error instanceof BootError, `${(error as Error).stack}`)
    }
  }
})

/** A multiboot kernel by the a.out kludge. */
function multiboot() {
  const file = new Uint8Array(2048).fill(0xf4, 64)
  const view = new DataView(file.buffer)
  const flags = 0x10003
  const addresses = [MiB + 16, MiB + 16, MiB + 16 + 1024, MiB + 8192, MiB + 64]
  for (const [i, value] of [0x1badb002, flags, -(0x1badb002 + flags) >>> 0, ...addresses].entries())
    view.setUint32(16 + 4 * i, value, true)
  return file
}

test('a multiboot kernel gets its magic, module and map', () => {
  const { memory, view, bytes } = ram(16 * MiB)
  const state = loadKernel(memory, image(multiboot(), { initrd: cpio, commandLine: 'a b' }))
  assert.equal(state.registers.rax, 0x2badb002)
  assert.equal(state.rip, MiB + 64)
  assert.equal(bytes[MiB + 64], 0xf4)
  const info = state.registers.rbx!
  assert.equal(view.getUint32(info, true), 0x24d)
  assert.equal(view.getUint32(info + 8, true), 15 * 1024)
  const commandLine = view.getUint32(info + 16, true)
  assert.equal(new TextDecoder().decode(bytes.subarray(commandLine, commandLine + 11)), 'kernel a b\0')
  const module = view.getUint32(info + 24, true)
  assert.equal(view.getUint32(module + 4, true) - view.getUint32(module, true), cpio.length)
  const map = view.getUint32(info + 48, true)
  assert.equal(view.getUint32(map, true), 20)
  assert.equal(Number(view.getBigUint64(map + 12, true)), 0x9fc00)
})

test('multiboot and PVH kernels get modules with their texts, in ascending order; others take one', () => {
  const modules = [
    { bytes: new Uint8Array(5000).fill(1), text: 'linux console=hvc0' },
    { bytes: new Uint8Array(100).fill(2), text: 'disk.img' },
  ]
  const { memory, view, bytes } = ram(16 * MiB)
  const textAt = (at: number) => new TextDecoder().decode(bytes.subarray(at, bytes.indexOf(0, at)))
  const seen = (start: number, end: number, text: number) => [bytes[start], bytes[end - 1], end - start, textAt(text)]
  const expected = [
    [0x30, cpio[cpio.length - 1], cpio.length, 'initrd'],
    [1, 1, 5000, 'linux console=hvc0'],
    [2, 2, 100, 'disk.img'],
  ]

  const info = loadKernel(memory, image(multiboot(), { initrd: cpio, modules, commandLine: 'a b' })).registers.rbx!
  assert.equal(view.getUint32(info + 20, true), 3)
  const list = view.getUint32(info + 24, true)
  const word = (module: number, index: number) => view.getUint32(list + 16 * module + 4 * index, true)
  assert.deepEqual(
    [0, 1, 2].map(i => seen(word(i, 0), word(i, 1), word(i, 2))),
    expected,
  )
  for (const i of [0, 1, 2]) assert.equal(word(i, 0) % 4096, 0)
  assert.ok(word(0, 1) <= word(1, 0) && word(1, 1) <= word(2, 0) && word(2, 1) <= 16 * MiB)
  assert.equal(view.getUint32(view.getUint32(info + 48, true), true), 20, 'the memory map follows')
  assert.equal(textAt(view.getUint32(info + 64, true)), 'typetwo')

  const pvh = loadKernel(memory, image(elf(64, MiB), { initrd: cpio, modules })).registers.rbx!
  assert.equal(view.getUint32(pvh + 12, true), 3)
  const entries = view.getUint32(pvh + 16, true)
  const field = (module: number, index: number) => view.getUint32(entries + 32 * module + 8 * index, true)
  assert.deepEqual(
    [0, 1, 2].map(i => seen(field(i, 0), field(i, 0) + field(i, 1), field(i, 2))),
    expected,
  )

  refused(() => loadKernel(memory, image(bzImage(), { initrd: cpio, modules })), /takes one initrd, and there are 3/)
  refused(() => loadKernel(memory, image(elf(64), { modules })), /takes one initrd/)
  const many = Array.from({ length: 65 }, () => modules[1])
  refused(() => loadKernel(memory, image(multiboot(), { modules: many })), /give at most 64/)
  const long = [{ bytes: cpio, text: 'x'.repeat(70_000) }]
  refused(() => loadKernel(memory, image(multiboot(), { modules: long })), /no room any more/)
  const large = [{ bytes: new Uint8Array(20 * MiB), text: 'large one' }]
  refused(() => loadKernel(memory, image(multiboot(), { modules: large })), /module 'large one' has 20\.0 MiB/)
})

test('where a BIOS would be, its data area says how much memory there is, and vectors lead to handlers', () => {
  const { memory, view, bytes } = ram(16 * MiB)
  loadKernel(memory, image(multiboot()))
  assert.equal(view.getUint16(0x413, true), 639)
  assert.equal(view.getUint16(0x40e, true) << 4, 0x9fc00)
  assert.equal(bytes[0x9fc00], 1)
  for (let vector = 0; vector < 256; vector++) {
    const handler = (view.getUint16(4 * vector + 2, true) << 4) + view.getUint16(4 * vector, true)
    assert.ok(handler >= 0xf0000 && handler < 0x100000)
    assert.notEqual(bytes[handler], 0)
  }
})

test('a kernel that gzip packed is unpacked, and a damaged one refused', async () => {
  const { gzipSync } = await import('node:zlib')
  const packed = gzipSync(multiboot())
  assert.ok(isGzip(packed) && !isGzip(multiboot()))
  assert.deepEqual(await unpackKernelFile(packed), multiboot())
  assert.deepEqual(await unpackKernelFile(Buffer.concat([packed, Buffer.alloc(64)])), multiboot())
  await assert.rejects(unpackKernelFile(packed.subarray(0, -9)), { name: 'BootError', message: /truncated or damaged/ })
})

test('a multiboot kernel may lie in conventional memory, but not on what it is told', () => {
  const { memory, bytes } = ram(16 * MiB)
  const at = (address: number) => {
    const file = multiboot()
    const view = new DataView(file.buffer)
    for (const offset of [28, 32, 36, 40, 44])
      view.setUint32(offset, view.getUint32(offset, true) - MiB + address, true)
    return image(file, { commandLine: 'a b' })
  }
  const state = loadKernel(memory, at(0x8000))
  assert.equal(state.rip, 0x8040)
  assert.equal(bytes[0x8040], 0xf4)
  for (const address of [0x6000, 0x1f000, 0x20000, 0x9f000, 0xe0000])
    refused(() => loadKernel(memory, at(address)), /wants memory from/)
})

test('the memory map has holes where a PC has no RAM, and RAM above 4 GiB', () => {
  const map = memoryMap([
    { address: 0, length: 3 * 1024 * MiB },
    { address: 2 ** 32, length: 1024 * MiB },
  ])
  const usable = map.filter(({ type }) => type === 1)
  assert.deepEqual(usable, [
    { address: 0, length: 0x9fc00, type: 1 },
    { address: MiB, length: 3071 * MiB, type: 1 },
    { address: 2 ** 32, length: 1024 * MiB, type: 1 },
  ])
  map.forEach((entry, i) => {
    if (i > 0) assert.ok(entry.address >= map[i - 1].address + map[i - 1].length)
  })
})

/** An ELF executable of one segment of 16 bytes, entered 4 bytes into it, as LZ4's legacy frame of literals. */
function packedElf(physicalAddress: number, bytes: Uint8Array) {
  const elf = new Uint8Array(0x78 + bytes.length)
  const view = new DataView(elf.buffer)
  elf.set([0x7f, 0x45, 0x4c, 0x46, 2, 1, 1])
  view.setUint16(16, 2, true)
  view.setUint16(18, 62, true)
  view.setBigUint64(24, BigInt(physicalAddress + 4), true)
  view.setBigUint64(32, 64n, true)
  view.setUint16(54, 56, true)
  view.setUint16(56, 1, true)
  view.setUint32(64, 1, true)
  view.setBigUint64(64 + 8, 0x78n, true)
  view.setBigUint64(64 + 16, 0xffffffff81000000n, true)
  view.setBigUint64(64 + 24, BigInt(physicalAddress), true)
  view.setBigUint64(64 + 32, BigInt(bytes.length), true)
  view.setBigUint64(64 + 40, BigInt(bytes.length), true)
  elf.set(bytes, 0x78)
  const block = [0xf0, elf.length - 15, ...elf]
  const frame = new Uint8Array(8 + block.length + 4)
  new DataView(frame.buffer).setUint32(0, 0x184c2102, true)
  new DataView(frame.buffer).setUint32(4, block.length, true)
  frame.set(block, 8)
  new DataView(frame.buffer).setUint32(8 + block.length, elf.length, true)
  return frame
}

function packedKernel(physicalAddress: number) {
  const kernel = bzImage()
  const payload = packedElf(
    physicalAddress,
    Uint8Array.from({ length: 16 }, (_, i) => i + 1),
  )
  const view = new DataView(kernel.buffer)
  view.setUint32(0x248, 0x400, true)
  view.setUint32(0x24c, payload.length, true)
  kernel.set(payload, 1024 + 0x400)
  return kernel
}

test('a 64-bit kernel that is packed by LZ4 is unpacked to where it was linked and entered there', () => {
  const { bytes, memory, view } = ram(64 * MiB)
  const state = loadKernel(memory, image(packedKernel(17 * MiB), { initrd: cpio }))
  assert.equal(state.rip, 17 * MiB + 4)
  assert.equal(state.efer, 0x500)
  assert.equal(state.registers.rsi, PARAMETERS_ADDRESS)
  assert.deepEqual(
    [...bytes.subarray(17 * MiB, 17 * MiB + 16)],
    [...Array(16).keys()].map(i => i + 1),
  )
  assert.equal(view.getUint32(PARAMETERS_ADDRESS + 0x21c, true), cpio.length)
  assert.equal(view.getUint32(PARAMETERS_ADDRESS + 0x202, true), 0x53726448)
})

test('one that does not lie where its header says unpacks itself', () => {
  const { bytes, memory } = ram(64 * MiB)
  const state = loadKernel(memory, image(packedKernel(30 * MiB)))
  assert.equal(state.rip, 16 * MiB + 0x200)
  assert.equal(bytes[16 * MiB], 0x90)
})
