/**
 * The default guest: Debian's own kernel and busybox, made on first use and kept in the user's cache.
 *
 * The cache holds a folder for each architecture, with the two images, the packages they were made of, and a manifest
 * with sizes and hashes. A folder appears whole or not at all, by renaming, so that first runs at the same time do not
 * meet; every start verifies the images against the manifest. When they are damaged, or were made by another version
 * of typetwo, they are made anew from the packages, and only when those are damaged too is the network needed.
 */
import { createHash, randomBytes } from 'node:crypto'
import { rmSync } from 'node:fs'
import { copyFile, readdir, readFile, rename, rm, stat, writeFile } from 'node:fs/promises'
import { basename, join } from 'node:path'
import { cacheFolder, makeFolder } from './files.ts'
import { type GuestArchitecture, PrivateApt, packageTar, type Report } from './guest/apt.ts'
import { GUEST_COMMAND_LINE, GUEST_FILES, GUEST_FOLDERS, GUEST_MODULES } from './guest/init.ts'
import { buildGuest } from './guest/initramfs.ts'
import { reasonOf, UserError } from './user-error.ts'

export type { GuestArchitecture, Report }

/** A guest ready to boot. */
export interface DefaultGuest {
  /** Path of the kernel, a bzImage. */
  kernel: string
  /** Path of the initial RAM file system. */
  initrd: string
  /** The kernel command line it wants. */
  append: string
}

/** Where packages come from; tests give their own. */
export interface PackageSource {
  /** Gets the packages into `folder`; returns their paths. */
  download(folder: string, architecture: GuestArchitecture, report: Report): Promise<string[]>
  /** The unpacked files of a package as a tar stream. */
  tar(file: string): AsyncIterable<Uint8Array>
}

/** What to make, and where. */
export interface DefaultGuestOptions {
  /** Debian's name of the guest's architecture; default `amd64`. */
  arch?: GuestArchitecture
  /** Hears what is being done when the guest must be made. */
  report?: Report
  /** typetwo's cache folder; default by the XDG specification. */
  cache?: string
  /** Default: the host's apt. */
  source?: PackageSource
}

/** Debian's metapackage of the kernel, and the name of the package it stands for. */
const KERNELS: Record<GuestArchitecture, { metapackage: string; pattern: RegExp }> = {
  amd64: { metapackage: 'linux-image-cloud-amd64', pattern: /^linux-image-\d.*-cloud-amd64$/ },
  i386: { metapackage: 'linux-image-686', pattern: /^linux-image-\d.*-686$/ },
}

const APT: PackageSource = {
  async download(folder, architecture, report) {
    const apt = await PrivateApt.open(folder, architecture, report)
    const { metapackage, pattern } = KERNELS[architecture]
    return apt.download([await apt.resolve(metapackage, pattern), 'busybox-static'], report)
  },
  tar: packageTar,
}

const KERNEL = 'vmlinuz'
const INITRD = 'initrd'
const MANIFEST = 'manifest.json'

/** What the images depend on besides the packages; another recipe means that they are made anew. */
const RECIPE = sha256(JSON.stringify({ format: 1, GUEST_FILES, GUEST_FOLDERS, GUEST_MODULES }))

/** What {@link MANIFEST} holds. */
interface Manifest {
  recipe: string
  /** Name, size in bytes and SHA-256 of the two images. */
  images: Record<string, { size: number; sha256: string }>
  /** The same of the packages they were made of. */
  packages: Record<string, { size: number; sha256: string }>
}

/**
 * Gives the default guest, making it when it is not in the cache or is damaged there.
 * @throws UserError when the cache cannot be written or the packages cannot be had.
 */
export async function ensureDefaultGuest(options: DefaultGuestOptions = {}): Promise<DefaultGuest> {
  const { arch = 'amd64', report = () => {}, cache = cacheFolder(), source = APT } = options
  const folder = join(cache, `debian-${arch}`)
  const guest = { kernel: join(folder, KERNEL), initrd: join(folder, INITRD), append: GUEST_COMMAND_LINE }
  const manifest = await readManifest(folder)
  const damaged = manifest && (await damagedFile(folder, manifest.images))
  if (manifest?.recipe === RECIPE && damaged === undefined) return guest
  if (damaged !== undefined) report(`${join(folder, damaged)} is damaged and is made anew`)
  else if (manifest === undefined && (await exists(folder))) report(`${folder} is damaged and is made anew`)

  await removeLeftovers(cache)
  const making = join(cache, `making-${process.pid}-${randomBytes(6).toString('hex')}`)
  const remove = () => rmSync(making, { recursive: true, force: true })
  process.once('exit', remove)
  try {
    const made = join(making, 'guest')
    await writable(cache, () => makeFolder(made))
    const kept = manifest && (await damagedFile(folder, manifest.packages)) === undefined
    const packages = kept
      ? Object.keys(manifest.packages).map(name => join(folder, name))
      : await source.download(making, arch, report)
    report('Making the initial RAM file system')
    const images = await buildGuest(packages.map(file => source.tar(file)))
    await writable(cache, () => fill(made, images.kernel, images.initrd, packages))
    await writable(cache, () => replace(made, folder, join(making, 'old')))
  } finally {
    await rm(making, { recursive: true, force: true }).catch(() => {})
    process.off('exit', remove)
  }
  return guest
}

/** Writes the images, the packages and, last, the manifest. */
async function fill(folder: string, kernel: Uint8Array, initrd: Uint8Array, packages: string[]): Promise<void> {
  const manifest: Manifest = { recipe: RECIPE, images: {}, packages: {} }
  for (const [name, content] of Object.entries({ [KERNEL]: kernel, [INITRD]: initrd })) {
    await writeFile(join(folder, name), content)
    manifest.images[name] = { size: content.length, sha256: sha256(content) }
  }
  for (const path of packages) {
    const content = await readFile(path)
    await copyFile(path, join(folder, basename(path)))
    manifest.packages[basename(path)] = { size: content.length, sha256: sha256(content) }
  }
  await writeFile(join(folder, MANIFEST), `${JSON.stringify(manifest, undefined, 2)}\n`)
}

/** Puts a finished folder in place. Where another process was first with a good one, that one stays. */
async function replace(made: string, folder: string, old: string): Promise<void> {
  for (let attempt = 0; ; attempt++) {
    try {
      return await rename(made, folder)
    } catch (error) {
      const code = (error as NodeJS.ErrnoException).code
      if ((code !== 'ENOTEMPTY' && code !== 'EEXIST' && code !== 'ENOTDIR') || attempt === 3) throw error
    }
    const present = await readManifest(folder)
    if (present?.recipe === RECIPE && (await damagedFile(folder, present.images)) === undefined) return
    await rename(folder, `${old}${attempt}`).catch(error => {
      if (error.code !== 'ENOENT') throw error
    })
  }
}

/** The manifest, or undefined when there is none that can be understood. */
async function readManifest(folder: string): Promise<Manifest | undefined> {
  try {
    const manifest = JSON.parse(await readFile(join(folder, MANIFEST), 'utf8')) as Manifest
    const known = [KERNEL, INITRD].every(name => typeof manifest.images[name]?.sha256 === 'string')
    const names = [...Object.keys(manifest.images), ...Object.keys(manifest.packages)]
    return known && names.every(name => name === basename(name)) ? manifest : undefined
  } catch {
    return undefined
  }
}

/** The first of the files that is not as the manifest says. */
async function damagedFile(folder: string, files: Manifest['images']): Promise<string | undefined> {
  for (const [name, { size, sha256: wanted }] of Object.entries(files)) {
    const content = await readFile(join(folder, name)).catch(() => undefined)
    if (content === undefined || content.length !== size || sha256(content) !== wanted) return name
  }
  return undefined
}

/** Removes what a process that was killed left behind: folders of processes that are gone, an hour old or more. */
async function removeLeftovers(cache: string): Promise<void> {
  for (const name of await readdir(cache).catch(() => [])) {
    const pid = /^making-(\d+)-/.exec(name)?.[1]
    if (pid === undefined) continue
    const age = await stat(join(cache, name)).then(
      ({ mtimeMs }) => Date.now() - mtimeMs,
      () => 0,
    )
    if (age > 3600_000 && !isRunning(Number(pid))) await rm(join(cache, name), { recursive: true, force: true })
  }
}

function isRunning(pid: number): boolean {
  try {
    return process.kill(pid, 0)
  } catch (error) {
    return (error as NodeJS.ErrnoException).code === 'EPERM'
  }
}

/** Runs a step that writes to the cache; says which folder it was when it cannot. */
async function writable<T>(cache: string, step: () => Promise<T>): Promise<T> {
  try {
    return await step()
  } catch (error) {
    throw new UserError(
      `the cache folder '${cache}' cannot be written (${reasonOf(error)}): ` +
        'make it writable, or set XDG_CACHE_HOME to a folder that is',
    )
  }
}

function exists(path: string): Promise<boolean> {
  return stat(path).then(
    () => true,
    () => false,
  )
}

function sha256(content: string | Uint8Array): string {
  return createHash('sha256').update(content).digest('hex')
}
