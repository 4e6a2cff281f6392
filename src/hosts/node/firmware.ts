/**
 * Firmware of Debian's packages, got on first use and kept in the user's cache, as the default guest is: a folder for each
 * package with its files and a manifest of their hashes. What the host has installed is used as it is.
 */
import { createHash, randomBytes } from 'node:crypto'
import { readFile, rename, rm, writeFile } from 'node:fs/promises'
import { basename, join } from 'node:path'
import { cacheFolder, makeFolder } from './files.ts'
import { PrivateApt, packageTar, type Report } from './guest/apt.ts'
import { readTar } from './guest/tar.ts'
import { reasonOf, UserError } from './user-error.ts'

/** A package of firmware, and which of its files are wanted. */
interface FirmwarePackage {
  package: string
  /** Paths within the package, without the leading slash. */
  files: readonly string[]
}

/** The firmware that has a name of its own. */
export const FIRMWARE = {
  /** A PC's BIOS, and those of its display adapters. */
  seabios: {
    package: 'seabios',
    files: [
      'usr/share/seabios/bios-256k.bin',
      'usr/share/seabios/vgabios-stdvga.bin',
      'usr/share/seabios/vgabios-virtio.bin',
    ],
  },
  /** UEFI: the code, and what its variables are when the machine is new. */
  ovmf: { package: 'ovmf', files: ['usr/share/OVMF/OVMF_CODE_4M.fd', 'usr/share/OVMF/OVMF_VARS_4M.fd'] },
} as const satisfies Record<string, FirmwarePackage>

/** A name of {@link FIRMWARE}. */
export type FirmwareName = keyof typeof FIRMWARE

/** Where the package comes from; tests give their own. */
export interface FirmwareSource {
  /** Gets the package into `folder`; returns its path. */
  download(folder: string, name: string, report: Report): Promise<string>
  /** The unpacked files of a package as a tar stream. */
  tar(file: string): AsyncIterable<Uint8Array>
}

/** What to get, and where to keep it. */
export interface FirmwareOptions {
  /** Hears what is being done when the firmware must be got. */
  report?: Report
  /** typetwo's cache folder; default by the XDG specification. */
  cache?: string
  /** The root of the file system in which the host may have it installed. */
  root?: string
  /** Default: the host's apt. */
  source?: FirmwareSource
}

const APT: FirmwareSource = {
  async download(folder, name, report) {
    const apt = await PrivateApt.open(folder, 'amd64', report, 'give firmware of your own with --bios FILE')
    return (await apt.download([name], report))[0]
  },
  tar: packageTar,
}

const MANIFEST = 'manifest.json'

/**
 * Paths of the files of a firmware, in the order of {@link FIRMWARE}.
 * @throws UserError when the package cannot be had or the cache cannot be written
 */
export async function ensureFirmware(name: FirmwareName, options: FirmwareOptions = {}): Promise<string[]> {
  const { report = () => {}, cache = cacheFolder(), root = '/', source = APT } = options
  const { package: packageName, files } = FIRMWARE[name] as FirmwarePackage
  const installed = files.map(file => join(root, file))
  if ((await Promise.all(installed.map(isThere))).every(Boolean)) return installed
  const folder = join(cache, `firmware-${packageName}`)
  const kept = files.map(file => join(folder, basename(file)))
  if (await intact(folder, kept)) return kept
  const making = join(cache, `making-${process.pid}-${randomBytes(6).toString('hex')}`)
  try {
    const made = join(making, 'made')
    await makeFolder(made).catch(error => {
      throw new UserError(
        `the cache folder '${cache}' cannot be written (${reasonOf(error)}): make it writable, or set XDG_CACHE_HOME to a folder that is`,
      )
    })
    const deb = await source.download(making, packageName, report)
    const hashes: Record<string, string> = {}
    for await (const entry of readTar(source.tar(deb), path => files.includes(path))) {
      if (entry.kind !== 'file' || !files.includes(entry.path)) continue
      await writeFile(join(made, basename(entry.path)), entry.content)
      hashes[basename(entry.path)] = sha256(entry.content)
    }
    const missing = files.find(file => hashes[basename(file)] === undefined)
    if (missing)
      throw new UserError(`Debian's package ${packageName} has no ${missing}: give firmware with --bios FILE`)
    await writeFile(join(made, MANIFEST), `${JSON.stringify(hashes, undefined, 2)}\n`)
    // Whoever else got it at the same time has the same.
    await rm(folder, { recursive: true, force: true })
    await rename(made, folder).catch(async error => {
      if (!(await intact(folder, kept))) throw error
    })
  } finally {
    await rm(making, { recursive: true, force: true }).catch(() => {})
  }
  return kept
}

/** Whether the folder has the files as its manifest says. */
async function intact(folder: string, files: readonly string[]): Promise<boolean> {
  try {
    const hashes = JSON.parse(await readFile(join(folder, MANIFEST), 'utf8')) as Record<string, string>
    for (const file of files) if (hashes[basename(file)] !== sha256(await readFile(file))) return false
    return true
  } catch {
    return false
  }
}

function isThere(file: string): Promise<boolean> {
  return readFile(file).then(
    bytes => bytes.length > 0,
    () => false,
  )
}

function sha256(bytes: Uint8Array): string {
  return createHash('sha256').update(bytes).digest('hex')
}
