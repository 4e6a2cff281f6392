import assert from 'node:assert/strict'
import { spawnSync } from 'node:child_process'
import { test } from 'node:test'
import { writeCpio } from './cpio.ts'

const text = (string: string) => new TextEncoder().encode(string)

test('an archive has the layout of the manual', () => {
  const archive = Buffer.from(writeCpio([{ kind: 'file', path: 'abc', content: text('hello'), mode: 0o755 }]))
  assert.equal(archive.length % 4, 0)
  assert.equal(archive.toString('latin1', 0, 6), '070701')
  assert.equal(archive.toString('latin1', 14, 22), '000081ed')
  assert.equal(archive.toString('latin1', 54, 62), '00000005')
  assert.equal(archive.toString('latin1', 110, 114), 'abc\0')
  assert.equal(archive.toString('latin1', 116, 121), 'hello')
  assert.equal(archive.toString('latin1', 124, 130), '070701')
  assert.equal(archive.toString('latin1', 124 + 110, 124 + 120), 'TRAILER!!!')
})

test('the same entries give the same bytes', () => {
  const make = () => writeCpio([{ kind: 'folder', path: 'dev' }])
  assert.deepEqual(make(), make())
})

test('what cpio would misread is refused', () => {
  assert.throws(() => writeCpio([{ kind: 'folder', path: '/dev' }]), /not a relative path/)
  const twice = { kind: 'folder', path: 'dev' } as const
  assert.throws(() => writeCpio([twice, twice]), /twice/)
})

const hostCpio = spawnSync('cpio', ['--version']).status === 0

test("the host's own cpio reads it", { skip: hostCpio ? false : 'there is no cpio on this host' }, () => {
  const archive = writeCpio([
    { kind: 'folder', path: 'dev' },
    { kind: 'character device', path: 'dev/console', major: 5, minor: 1 },
    { kind: 'file', path: 'init', content: text('#!/bin/sh\n'), mode: 0o755 },
    { kind: 'link', path: 'sbin', target: 'bin' },
  ])
  const run = spawnSync('cpio', ['-itv', '--numeric-uid-gid'], { input: archive, encoding: 'utf8' })
  assert.equal(run.status, 0, run.stderr)
  const lines = run.stdout.trimEnd().split('\n')
  assert.match(lines[0], /^drwxr-xr-x +2 0 +0 +0 .* dev$/)
  assert.match(lines[1], /^crw------- +1 0 +0 +5, +1 .* dev\/console$/)
  assert.match(lines[2], /^-rwxr-xr-x +1 0 +0 +10 .* init$/)
  assert.match(lines[3], /^lrwxrwxrwx .* sbin -> bin$/)
  assert.equal(lines.length, 4)
})
