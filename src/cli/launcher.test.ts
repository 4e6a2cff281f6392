import assert from 'node:assert/strict'
import { execFileSync } from 'node:child_process'
import { existsSync, mkdtempSync, readdirSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { test } from 'node:test'

const launcher = new URL('../../bin/typetwo', import.meta.url).pathname

/** Runs `typetwo --version` with that cache folder. @returns everything it wrote to standard error */
function start(cache: string): string {
  const environment: NodeJS.ProcessEnv = { ...process.env, XDG_CACHE_HOME: cache }
  delete environment.NODE_COMPILE_CACHE
  // A start that hangs is a failure too.
  const both = execFileSync('sh', ['-c', `"${launcher}" --version 2>&1 >/dev/null`], {
    env: environment,
    timeout: 60_000,
  })
  return both.toString()
}

test('the compiled sources are kept in the cache folder, and no start needs it', t => {
  const folder = mkdtempSync(join(tmpdir(), 'typetwo-launcher-'))
  t.after(() => rmSync(folder, { recursive: true }))
  assert.equal(start(join(folder, 'cache')), '')
  assert.ok(readdirSync(join(folder, 'cache/typetwo/node')).length > 0)
  const file = join(folder, 'file')
  writeFileSync(file, '')
  assert.equal(start(file), '')
  assert.equal(start('/proc/none'), '')
  assert.ok(!existsSync('/proc/none'))
})

test('the launcher finds a Node new enough without the path that npm sets', () => {
  // What lies in front of everything else is too old, as Debian 12's own.
  const folder = mkdtempSync(join(tmpdir(), 'typetwo-old-node-'))
  try {
    writeFileSync(join(folder, 'node'), '#!/bin/sh\necho v20.0.0\n', { mode: 0o755 })
    const path = (process.env.PATH ?? '').split(':').filter(part => !part.includes('node_modules'))
    const env = { ...process.env, PATH: [folder, ...path].join(':') }
    assert.match(execFileSync(launcher, ['--version'], { env, timeout: 60_000 }).toString(), /^typetwo \d|^\d/)
  } finally {
    rmSync(folder, { recursive: true })
  }
})
