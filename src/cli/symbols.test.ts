import assert from 'node:assert/strict'
import { test } from 'node:test'
import { UserError } from '../hosts/node/user-error.ts'
import { parseSymbols } from './symbols.ts'

const bytes = (text: string) => new TextEncoder().encode(text)

// Lines of a System.map and of /proc/kallsyms.
const MAP = `0000000000000000 A fixed_percpu_data
ffffffff81000000 T _text
ffffffff81000080 t early_setup_idt
ffffffff81c00080 T entry_SYSCALL_64
ffffffff82000000 D some_data
ffffffffc0208000 t virtio_fn\t[virtio]
`

test('a System.map names what lies behind its symbols of code', () => {
  const symbols = parseSymbols(bytes(MAP), 'it')
  assert.deepEqual(symbols.find(0xffffffff81000085n), { name: 'early_setup_idt', offset: 5n })
  assert.deepEqual(symbols.find(0xffffffff81000000n), { name: '_text', offset: 0n })
  assert.deepEqual(symbols.find(0xffffffffc0208010n), { name: 'virtio_fn', offset: 16n })
  assert.equal(symbols.find(0x400000n), undefined)
  // Data is not what code lies behind, and what is far away belongs to none.
  assert.equal(symbols.find(0xffffffff82000010n), undefined)
})

test('symbols follow a kernel that moved itself', () => {
  const symbols = parseSymbols(bytes(MAP), 'it')
  symbols.align({ lstar: 0xffffffff93c00080n, sysenter: 0n })
  assert.deepEqual(symbols.find(0xffffffff93000085n), { name: 'early_setup_idt', offset: 5n })
})

test('a file without symbols of code is refused', () => {
  // What Debian's package of the kernel has in place of a System.map, and kallsyms as a user without rights reads it.
  const stub = 'ffffffffffffffff B The real System.map is in the linux-image-<version>-dbg package\n'
  for (const text of [stub, '0000000000000000 T _text\n', '', '\x7fELF'])
    assert.throws(
      () => parseSymbols(bytes(text), '--symbols f'),
      (error: unknown) => {
        assert.ok(error instanceof UserError)
        assert.match(error.message, /^--symbols f names no code: give a System\.map/)
        return true
      },
    )
})

/** An ELF file with a symbol table: functions and a datum. */
function elf(wide: boolean, symbols: readonly [name: string, address: bigint, type: number][]): Uint8Array {
  const file = new Uint8Array(2048)
  const view = new DataView(file.buffer)
  const word = (at: number, value: number | bigint) =>
    wide ? view.setBigUint64(at, BigInt(value), true) : view.setUint32(at, Number(value), true)
  file.set([0x7f, 0x45, 0x4c, 0x46, wide ? 2 : 1, 1, 1])
  const [headers, size] = [1024, wide ? 64 : 40]
  word(wide ? 40 : 32, headers)
  view.setUint16(wide ? 58 : 46, size, true)
  view.setUint16(wide ? 60 : 48, 3, true)
  const [table, strings, entry] = [128, 512, wide ? 24 : 16]
  let name = 1
  symbols.forEach(([text, address, type], i) => {
    const at = table + i * entry
    view.setUint32(at, name, true)
    file.set(bytes(text), strings + name)
    name += text.length + 1
    word(at + (wide ? 8 : 4), address)
    view.setUint8(at + (wide ? 4 : 12), 0x10 | type)
    view.setUint16(at + (wide ? 6 : 14), 1, true)
  })
  const section = (i: number, type: number, offset: number, length: number, link: number) => {
    const at = headers + i * size
    view.setUint32(at + 4, type, true)
    word(at + (wide ? 24 : 16), offset)
    word(at + (wide ? 32 : 20), length)
    view.setUint32(at + (wide ? 40 : 24), link, true)
  }
  section(1, 2, table, symbols.length * entry, 2)
  section(2, 3, strings, name, 0)
  return file
}

for (const wide of [true, false]) {
  test(`the symbol table of an ELF file of ${wide ? 64 : 32} bits`, () => {
    const start = wide ? 0xffffffff81000000n : 0xc1000000n
    const file = elf(wide, [
      ['start_kernel', start + 0x100n, 2],
      ['jiffies', start + 0x180n, 1],
      ['schedule', start + 0x200n, 2],
    ])
    const symbols = parseSymbols(file, 'it')
    assert.equal(symbols.size, 2)
    assert.deepEqual(symbols.find(start + 0x190n), { name: 'start_kernel', offset: 0x90n })
    assert.deepEqual(symbols.find(start + 0x200n), { name: 'schedule', offset: 0n })
    // Cut in the middle of its table it gives what there is, or nothing; it throws nothing else.
    for (let length = 4; length < file.length; length += 61) {
      try {
        parseSymbols(file.subarray(0, length), 'it')
      } catch (error) {
        assert.ok(error instanceof UserError, String(error))
      }
    }
  })
}
