/** Makes the default guest's kernel and initial RAM file system out of unpacked Debian packages. */
import { spawnSync } from 'node:child_process'
import { gunzipSync, zstdDecompressSync } from 'node:zlib'
import { UserError } from '../user-error.ts'
import { type CpioEntry, writeCpio } from './cpio.ts'
import { GUEST_FILES, GUEST_FOLDERS, GUEST_MODULES } from './init.ts'
import {
  describeModule,
  inLoadOrder,
  type KernelModule,
  moduleName,
  modulesAlias,
  modulesDep,
} from './kernel-modules.ts'
import { readTar } from './tar.ts'

/** A kernel and the initial RAM file system that goes with it. */
export interface GuestImages {
  kernel: Uint8Array
  initrd: Uint8Array
}

/** What is taken out of the packages. */
const KERNEL = /^boot\/vmlinuz-/
const BUSYBOX = /^(usr\/)?bin\/busybox$/
const MODULE = /^(?:usr\/)?lib\/modules\/([^/]+)\/(.+\.ko(?:\.(?:xz|zst|gz))?)$/

/**
 * Makes the images. The same packages give the same bytes.
 *
 * The file system is not compressed: it is small, and the guest would take longer to inflate it than to copy it.
 * @param packages the tar streams of the kernel's and busybox's packages
 * @throws Error when a file that the guest needs is in none of them, or a module is damaged.
 */
export async function buildGuest(packages: Iterable<AsyncIterable<Uint8Array>>): Promise<GuestImages> {
  let kernel: Uint8Array | undefined
  let busybox: Uint8Array | undefined
  let version = ''
  const modules = new Map<string, { path: string; image: Uint8Array }>()
  for (const tar of packages) {
    const wanted = (path: string) => KERNEL.test(path) || BUSYBOX.test(path) || MODULE.test(path)
    for await (const { path, kind, content } of readTar(tar, wanted)) {
      if (kind !== 'file') continue
      if (KERNEL.test(path)) kernel = content
      if (BUSYBOX.test(path)) busybox = content
      const [, moduleVersion, modulePath] = MODULE.exec(path) ?? []
      if (modulePath === undefined) continue
      version = moduleVersion
      modules.set(moduleName(modulePath), { path: modulePath, image: content })
    }
  }
  if (kernel === undefined) throw new Error('the packages hold no kernel (boot/vmlinuz-…)')
  if (busybox === undefined) throw new Error('the packages hold no bin/busybox')

  const images = new Map<string, Uint8Array>()
  const descriptions = new Map<string, KernelModule>()
  const load = inLoadOrder(GUEST_MODULES, name => {
    const stored = modules.get(name)
    if (stored === undefined) return undefined
    if (!descriptions.has(name)) {
      const image = inflateModule(stored.path, stored.image)
      const path = stored.path.replace(/\.(xz|zst|gz)$/, '')
      images.set(name, image)
      descriptions.set(name, describeModule(path, image))
    }
    return descriptions.get(name)
  })
  return { kernel, initrd: writeCpio(fileSystem(busybox, version, load, images)) }
}

/** The entries of the file system, each folder before what is in it. */
function* fileSystem(
  busybox: Uint8Array,
  version: string,
  modules: readonly KernelModule[],
  images: ReadonlyMap<string, Uint8Array>,
): Generator<CpioEntry> {
  const text = (string: string) => new TextEncoder().encode(string)
  const folders = new Set<string>()
  function* folder(path: string): Generator<CpioEntry> {
    if (path === '' || folders.has(path)) return
    yield* folder(parent(path))
    folders.add(path)
    yield { kind: 'folder', path, mode: path === 'root' ? 0o700 : path === 'tmp' ? 0o1777 : 0o755 }
  }
  for (const path of GUEST_FOLDERS) yield* folder(path)
  yield { kind: 'link', path: 'sbin', target: 'bin' }
  yield { kind: 'character device', path: 'dev/console', major: 5, minor: 1 }
  yield { kind: 'file', path: 'bin/busybox', mode: 0o755, content: busybox }
  for (const { path, mode, text: content } of GUEST_FILES) {
    yield* folder(parent(path))
    yield { kind: 'file', path, mode, content: text(content) }
  }
  if (modules.length === 0) return
  const base = `lib/modules/${version}`
  for (const module of modules) {
    const path = `${base}/${module.path}`
    yield* folder(parent(path))
    yield { kind: 'file', path, content: images.get(module.name)! }
  }
  yield { kind: 'file', path: `${base}/modules.dep`, content: text(modulesDep(modules)) }
  yield { kind: 'file', path: `${base}/modules.alias`, content: text(modulesAlias(modules)) }
}

/** The folder a path lies in; empty at the root. */
function parent(path: string): string {
  return path.slice(0, Math.max(0, path.lastIndexOf('/')))
}

/** A module as the kernel takes it: newer Debian kernels come with modules compressed. */
function inflateModule(path: string, image: Uint8Array): Uint8Array {
  if (path.endsWith('.zst')) return zstdDecompressSync(image)
  if (path.endsWith('.gz')) return gunzipSync(image)
  if (!path.endsWith('.xz')) return image
  const run = spawnSync('xz', ['-dc'], { input: image, maxBuffer: 256 * 1024 * 1024 })
  if (run.status === 0) return run.stdout
  const reason = run.error ? 'this host has no xz' : run.stderr.toString().trim()
  throw new UserError(`the kernel module ${path} cannot be unpacked (${reason}): install the package xz-utils`)
}
