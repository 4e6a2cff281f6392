/** QEMU's tools as the reference. */
import assert from 'node:assert/strict'
import { spawnSync } from 'node:child_process'
import { accessSync, constants, mkdtempSync, readFileSync, rmSync, statfsSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'

/** Why tests that need the tools are skipped, or false. */
export const withoutQemu: string | false =
  spawnSync('qemu-img', ['--version']).status === 0 ? false : 'there is no qemu-img (Debian: qemu-utils)'

/** Runs qemu-img. @returns its output; fails when it does */
export function qemuImg(...words: string[]): string {
  const { status, stdout, stderr } = spawnSync('qemu-img', words, { encoding: 'utf8' })
  assert.equal(status, 0, `qemu-img ${words.join(' ')}: ${stdout}${stderr}`)
  return stdout
}

/** Checks an image by qemu-img, which must find nothing. */
export function qemuCheck(path: string, format: string): void {
  const { status, stdout, stderr } = spawnSync('qemu-img', ['check', '-f', format, path], { encoding: 'utf8' })
  assert.equal(status, 0, `qemu-img check ${path}: ${stdout}${stderr}`)
}

/** What qemu-img reads of an image. */
export function qemuContent(path: string, format: string, folder: string): Uint8Array {
  const raw = join(folder, `content-${Math.random()}.raw`)
  qemuImg('convert', '-f', format, '-O', 'raw', path, raw)
  const content = readFileSync(raw)
  rmSync(raw)
  return content
}

/** Runs qemu-io commands on an image. */
export function qemuIo(path: string, format: string, ...commands: string[]): void {
  const words = commands.flatMap(command => ['-c', command])
  const { status, stdout, stderr } = spawnSync('qemu-io', ['-f', format, ...words, path], { encoding: 'utf8' })
  assert.equal(status, 0, `qemu-io ${path}: ${stdout}${stderr}`)
  assert.doesNotMatch(stdout, /failed|error/i, `qemu-io ${path}`)
}

/** Free bytes of a file system in memory from which on the tests use it. */
const ENOUGH = 2 ** 31

/** A folder of its own for a test file, and what removes it: in memory where there is room, as the tests flush a lot. */
export function scratch(): { folder: string; remove(): void } {
  let base = tmpdir()
  try {
    const { bavail, bsize } = statfsSync('/dev/shm')
    accessSync('/dev/shm', constants.W_OK)
    if (bavail * bsize >= ENOUGH) base = '/dev/shm'
  } catch {}
  const folder = mkdtempSync(join(base, 'typetwo-disk-'))
  return { folder, remove: () => rmSync(folder, { recursive: true, force: true }) }
}
