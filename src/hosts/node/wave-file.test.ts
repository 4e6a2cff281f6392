import assert from 'node:assert/strict'
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { test } from 'node:test'
import { WaveFile } from './wave-file.ts'

test('the header is right after every write; silence is where it was, and not longer than two seconds', async () => {
  const folder = await mkdtemp(join(tmpdir(), 'wave-'))
  try {
    const path = join(folder, 'sound.wav')
    await writeFile(path, 'precious')
    await (await WaveFile.open(path)).close()
    assert.equal(await readFile(path, 'utf8'), 'precious', 'as long as there is nothing to record')
    const wave = await WaveFile.open(path)
    await wave.begin()
    const expect = async (frames: number) => {
      const bytes = await readFile(path)
      assert.equal(bytes.length, 44 + 4 * frames)
      assert.equal(bytes.toString('latin1', 0, 4) + bytes.toString('latin1', 8, 16), 'RIFFWAVEfmt ')
      assert.equal(bytes.readUInt32LE(4), bytes.length - 8)
      assert.equal(bytes.readUInt32LE(24), 48000)
      assert.equal(bytes.readUInt32LE(28), 192000)
      assert.equal(bytes.readUInt32LE(40), 4 * frames)
      return bytes
    }
    await expect(0)
    await wave.add(1000, Int16Array.of(1, -2, 300, -400))
    const bytes = await expect(2)
    assert.deepEqual(
      [44, 46, 48, 50].map(at => bytes.readInt16LE(at)),
      [1, -2, 300, -400],
    )
    await wave.add(1005, Int16Array.of(7, 8))
    assert.equal((await expect(6)).readInt16LE(44 + 4 * 5), 7)
    await wave.add(10_000_000, Int16Array.of(9, 9))
    await expect(6 + 96_000 + 1)
    await wave.close()
  } finally {
    await rm(folder, { recursive: true })
  }
})

test('a file that cannot be made is named', async () => {
  await assert.rejects(WaveFile.open('/nowhere/at/all.wav'), /cannot be recorded to \/nowhere\/at\/all.wav/)
})
