/** Debian's packages for the tests of whole systems, downloaded once into typetwo's cache: trees of unpacked ones, and pools. */
import { spawn } from 'node:child_process'
import { mkdir, mkdtemp, readdir, readFile, rename, rm, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { type GuestArchitecture, PrivateApt } from '../../src/hosts/node/guest/apt.ts'
import { cacheFolder, UserError } from '../../src/hosts/node/index.ts'

/** Says what is being done. */
export type Say = (text: string) => void

/** Most letters of what is said of a step. */
const LONGEST = 200

/** Says each thing once, though apt tells again and again how far it is, and no longer than {@link LONGEST}. */
export function sayOnce(say: Say): Say {
  let last = ''
  return text => {
    if (text === last) return
    last = text
    say(text.length > LONGEST ? `${text.slice(0, LONGEST)} …` : text)
  }
}

/** The end of every sentence about packages that are not to be had. */
const INSTEAD = 'start the test again when the packages can be had'

/** Where what the tests got and made is kept. Whoever removes it has it made again. */
export function testCache(): string {
  return join(cacheFolder(), 'test')
}

/** Runs a program to its end. @throws UserError with what it complained of; a program that is missing is named */
export async function execute(
  program: string,
  words: readonly string[],
  options: { cwd?: string; env?: NodeJS.ProcessEnv; input?: string } = {},
): Promise<string> {
  const { cwd, env = process.env, input } = options
  const child = spawn(program, words, { cwd, env, stdio: ['pipe', 'pipe', 'pipe'] })
  let output = ''
  let errors = ''
  child.stdout.setEncoding('utf8').on('data', text => {
    output += text
  })
  child.stderr.setEncoding('utf8').on('data', text => {
    errors += text
  })
  child.stdin.on('error', () => {})
  child.stdin.end(input ?? '')
  const status = await new Promise((resolve, reject) => {
    child.on('error', (error: NodeJS.ErrnoException) =>
      reject(error.code === 'ENOENT' ? new UserError(`this host has no ${program}: install it`) : error),
    )
    child.on('close', resolve)
  })
  if (status !== 0)
    throw new UserError(
      `${program} ${words.slice(0, 3).join(' ')} … ended with status ${status}: ${errors.slice(-600)}`,
    )
  return output
}

/** Makes a folder of the cache, whole or not at all, unless it is there. @returns its path */
export async function makeOnce(name: string, make: (folder: string) => Promise<void>): Promise<string> {
  const cache = testCache()
  const folder = join(cache, name)
  if ((await readdir(folder).catch(() => [])).length > 0) return folder
  await mkdir(cache, { recursive: true })
  const making = await mkdtemp(join(cache, 'making-'))
  try {
    await make(making)
    await rename(making, folder).catch(async error => {
      // Somebody else was first.
      if ((await readdir(folder).catch(() => [])).length === 0) throw error
    })
  } finally {
    await rm(making, { recursive: true, force: true })
  }
  return folder
}

/** Unpacks a package into a tree whose links to folders (`lib` to `usr/lib`) stay. */
async function unpack(deb: string, into: string): Promise<void> {
  await execute('sh', [
    '-c',
    'dpkg-deb --fsys-tarfile "$1" | tar -x --no-same-owner --keep-directory-symlink -C "$2"',
    'sh',
    deb,
    into,
  ])
}

/**
 * Packages unpacked into one tree, without what they depend on and without what their installation would do.
 * @param name of the folder in the cache
 */
export function unpackedPackages(
  name: string,
  packages: readonly string[],
  { architecture = 'amd64' as GuestArchitecture, say = (() => {}) as Say } = {},
): Promise<string> {
  return makeOnce(name, async folder => {
    await withApt(architecture, say, async apt => {
      for (const deb of await apt.download(packages, say)) await unpack(deb, folder)
    })
  })
}

/**
 * A kernel of Debian's, unpacked.
 * @param metapackage as `linux-image-amd64`
 */
export function unpackedKernel(
  metapackage: string,
  { architecture = 'amd64' as GuestArchitecture, say = (() => {}) as Say } = {},
): Promise<string> {
  return makeOnce(metapackage, async folder => {
    await withApt(architecture, say, async apt => {
      const name = await apt.resolve(metapackage, /^linux-image-\d/)
      for (const deb of await apt.download([name], say)) await unpack(deb, folder)
    })
  })
}

/** A private apt, for as long as it is used. */
async function withApt(
  architecture: GuestArchitecture,
  say: Say,
  use: (apt: PrivateApt) => Promise<void>,
): Promise<void> {
  await mkdir(testCache(), { recursive: true })
  const state = await mkdtemp(join(testCache(), 'making-apt-'))
  try {
    await use(await PrivateApt.open(state, architecture, say, INSTEAD))
  } finally {
    await rm(state, { recursive: true, force: true })
  }
}

/**
 * A pool of packages that a Debian can be installed from: those named, all they depend on, and what every Debian has; with the
 * lists that debootstrap and apt read.
 * @returns its folder, an archive with `dists` and `pool`
 */
export function packagePool(name: string, suite: string, packages: readonly string[], say: Say): Promise<string> {
  return makeOnce(name, async folder => {
    const pool = join(folder, 'pool')
    await mkdir(pool)
    await withApt('amd64', say, async apt => {
      const names = await apt.closure([...(await apt.required()), ...packages])
      for (const deb of await apt.download(names, say))
        await rename(deb, join(pool, deb.split('/').pop()!.replaceAll('%3a', ':').replace(/_\d+:/, '_')))
    })
    say('Writing the lists of packages')
    await writeLists(folder, suite)
  })
}

/** What dpkg-deb and the hashes say of the packages in `pool`: the archive's `Packages` and `Release`. */
async function writeLists(folder: string, suite: string): Promise<void> {
  const { createHash } = await import('node:crypto')
  const sha256 = (bytes: Uint8Array | string) => createHash('sha256').update(bytes).digest('hex')
  let list = ''
  for (const file of (await readdir(join(folder, 'pool'))).sort()) {
    const path = join(folder, 'pool', file)
    const bytes = await readFile(path)
    const control = (await execute('dpkg-deb', ['--field', path])).trimEnd()
    list += `${control}\nFilename: pool/${file}\nSize: ${bytes.length}\nSHA256: ${sha256(bytes)}\n\n`
  }
  const architecture = 'main/binary-amd64'
  const dists = join(folder, 'dists', suite)
  await mkdir(join(dists, architecture), { recursive: true })
  await writeFile(join(dists, architecture, 'Packages'), list)
  const release = [
    'Origin: Debian',
    `Suite: ${suite}`,
    `Codename: ${suite}`,
    'Architectures: amd64',
    'Components: main',
    'Date: Thu, 01 Jan 2026 00:00:00 UTC',
    'SHA256:',
    ` ${sha256(list)} ${Buffer.byteLength(list)} ${architecture}/Packages`,
  ]
  await writeFile(join(dists, 'Release'), `${release.join('\n')}\n`)
}

/** Programs of the host by name, with the environment that they run in: installed, or unpacked from their packages. */
export async function hostTool(program: string, packages: readonly string[], say: Say): Promise<HostTool> {
  const found = await execute('sh', ['-c', 'command -v "$1"', 'sh', program]).catch(() => '')
  if (found) return (words, options) => execute(program, words, options)
  const root = await makeOnce(`tools-${packages.join('-')}`, async folder => {
    await withApt('amd64', say, async apt => {
      // The C library is the host's, which the host's loader belongs to.
      const names = (await apt.closure(packages)).filter(name => !/^(libc6|libc-bin|gcc-\d+-base)$/.test(name))
      for (const deb of await apt.download(names, say)) await unpack(deb, folder)
    })
  })
  const libraries = ['usr/lib/x86_64-linux-gnu', 'lib/x86_64-linux-gnu'].map(path => join(root, path)).join(':')
  const env = { ...process.env, LD_LIBRARY_PATH: libraries }
  return (words, options) => execute(join(root, 'usr/bin', program), words, { env, ...options })
}

/** Runs a program with words. @throws UserError */
export type HostTool = (words: readonly string[], options?: { cwd?: string; input?: string }) => Promise<string>
