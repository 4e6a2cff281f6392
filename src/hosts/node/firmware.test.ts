import assert from 'node:assert/strict'
import { spawnSync } from 'node:child_process'
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, test } from 'node:test'
import { ensureFirmware, type FirmwareSource } from './firmware.ts'

const base = mkdtempSync(join(tmpdir(), 'typetwo-firmware-'))
after(() => rmSync(base, { recursive: true }))

/** A package that is a plain tar archive, and a count of how often it was asked for. */
function fakeSource(files: Record<string, string>): FirmwareSource & { downloads: number } {
  const tree = mkdtempSync(join(base, 'tree-'))
  for (const [path, content] of Object.entries(files)) {
    mkdirSync(join(tree, path, '..'), { recursive: true })
    writeFileSync(join(tree, path), content)
  }
  return {
    downloads: 0,
    async download(folder) {
      this.downloads++
      assert.equal(spawnSync('tar', ['-C', tree, '-cf', join(folder, 'x.deb'), '.']).status, 0)
      return join(folder, 'x.deb')
    },
    async *tar(file) {
      yield readFileSync(file)
    },
  }
}

/** The package as it is, in small. */
const SEABIOS = {
  'usr/share/seabios/bios-256k.bin': 'a BIOS',
  'usr/share/seabios/vgabios-stdvga.bin': 'a VGA BIOS',
  'usr/share/seabios/vgabios-virtio.bin': 'another',
}
const empty = join(base, 'empty')

test('firmware is got once, kept, and got again when it is damaged', async () => {
  const cache = join(base, 'cache')
  const source = fakeSource({ ...SEABIOS, 'usr/share/doc/x': 'text' })
  const [bios, videoBios] = await ensureFirmware('seabios', { cache, root: empty, source })
  assert.equal(readFileSync(bios, 'utf8'), 'a BIOS')
  assert.equal(readFileSync(videoBios, 'utf8'), 'a VGA BIOS')
  await ensureFirmware('seabios', { cache, root: empty, source })
  assert.equal(source.downloads, 1)
  writeFileSync(bios, 'A BIOS')
  const [again] = await ensureFirmware('seabios', { cache, root: empty, source })
  assert.equal(readFileSync(again, 'utf8'), 'a BIOS')
  assert.equal(source.downloads, 2)
})

test('what the host has installed is used', async () => {
  const root = join(base, 'root')
  mkdirSync(join(root, 'usr/share/seabios'), { recursive: true })
  for (const path of Object.keys(SEABIOS)) writeFileSync(join(root, path), 'installed')
  const source = fakeSource({})
  const [bios] = await ensureFirmware('seabios', { cache: join(base, 'other'), root, source })
  assert.equal(readFileSync(bios, 'utf8'), 'installed')
  assert.equal(source.downloads, 0)
})

test('a package without the file, and a cache that cannot be written, are told in a sentence', async () => {
  const source = fakeSource({ 'usr/share/doc/x': 'text' })
  await assert.rejects(
    ensureFirmware('seabios', { cache: join(base, 'third'), root: empty, source }),
    /^UserError: Debian's package seabios has no usr\/share\/seabios\/bios-256k.bin: give firmware with --bios FILE$/,
  )
  const file = join(base, 'a file')
  writeFileSync(file, '')
  await assert.rejects(
    ensureFirmware('seabios', { cache: join(file, 'cache'), root: empty, source }),
    /^UserError: the cache folder .* cannot be written/,
  )
})
