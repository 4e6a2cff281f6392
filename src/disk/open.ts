/**
 * Opens disk images of every format.
 *
 * The format of a file that a guest could have written all of is never decided by its content: else a guest with a raw
 * disk could make it an image that names files of the host, and read those after the next start. So a file whose name
 * says raw is raw, whatever it holds; one without a known mark is raw only where someone says so, or nothing is written.
 */
import type { ByteFile, ImageFolder } from './byte-file.ts'
import type { Compression } from './compression.ts'
import { type Disk, DiskError } from './disk.ts'
import { FORMATS, type Format, formatOfAlias, formatOfName } from './format-names.ts'
import { FORMAT_TABLE, type OpenContext, recognize } from './formats.ts'
import { RawDisk } from './raw.ts'

/** Most images in a chain of backing files. */
const LONGEST_CHAIN = 64

/** How an image is opened. */
export interface OpenImageOptions {
  /** Its format; default: by its content and name. */
  format?: Format
  /** Bytes of a disk whose raw image has so many; default: as many as the image, to a whole sector. What the file lacks reads as zeros. */
  rawSize?: (bytes: number) => number
}

/** What the host brings. */
export interface ImageHost {
  folder: ImageFolder
  compression: Compression
}

/** How the tools open an image. */
export interface ToolOptions extends OpenImageOptions {
  /** Without its backing files, to look at its structure; default false. */
  isAlone?: boolean
  /** To repair it; default false. */
  isForRepair?: boolean
}

/**
 * Opens an image.
 * @param file its file, or the one that names the others; it belongs to the disk, and is closed when the image is refused
 * @throws DiskError `format`, `corrupt`, `unsupported` …
 */
export async function openImage(file: ByteFile, host: ImageHost, options: ToolOptions = {}): Promise<Disk> {
  const chain = [await host.folder.resolve(file.name, lastOf(file.name))]
  return openInChain(file, host, options, chain)
}

/** Opens an image that is above those of `chain`. */
async function openInChain(file: ByteFile, host: ImageHost, options: ToolOptions, chain: string[]): Promise<Disk> {
  try {
    const format = options.format ?? (await decideFormat(file))
    if (!Object.hasOwn(FORMAT_TABLE, format))
      throw new DiskError('format', `there is no image format '${format}': choose ${FORMATS.join(', ')}`)
    if (format === 'raw' && options.rawSize) return new RawDisk(file, { size: options.rawSize(file.size) })
    return await FORMAT_TABLE[format].open(file, makeContext(file, host, options, chain))
  } catch (error) {
    await file.close()
    throw error
  }
}

function makeContext(file: ByteFile, host: ImageHost, options: ToolOptions, chain: string[]): OpenContext {
  return {
    compression: host.compression,
    folder: host.folder,
    isAlone: options.isAlone ?? false,
    isForRepair: options.isForRepair ?? false,
    openPart: name => host.folder.open(file.name, name, { readOnly: file.readOnly }),
    async openBacking(name, formatName) {
      const refuse = (text: string) =>
        new DiskError('unsupported', `image '${file.name}' has the backing file '${name}', ${text}`)
      if (/^[a-z][a-z0-9+.-]+:/.test(name)) throw refuse('which is no file: only files are supported')
      const path = await host.folder.resolve(file.name, name)
      if (chain.includes(path)) {
        throw new DiskError(
          'corrupt',
          `image '${file.name}' has the backing file '${name}', whose own backing files lead back to it`,
        )
      }
      if (chain.length >= LONGEST_CHAIN) throw refuse(`and above it are ${LONGEST_CHAIN} images already`)
      const format = formatName === undefined ? undefined : formatOfAlias(formatName)
      if (formatName !== undefined && format === undefined) throw refuse(`whose format '${formatName}' is not known`)
      const backing = await host.folder.open(file.name, name, { readOnly: true })
      return openInChain(backing, host, { format }, [...chain, path])
    },
  }
}

/**
 * The format of a file of which nobody said it.
 * @throws DiskError `format` when name and content do not agree, or when that would be a guess
 */
export async function decideFormat(file: ByteFile): Promise<Format> {
  const [content, name] = [await recognize(file), file.isDevice ? 'raw' : formatOfName(file.name)]
  const refuse = (text: string) => new DiskError('format', `file '${file.name}' ${text}`)
  if (content !== undefined && (name === undefined || name === content)) return content
  if (content === undefined && (name === 'raw' || (name === undefined && file.readOnly))) return 'raw'
  if (content === undefined && name === undefined) {
    throw refuse('is of no known format: if it is a raw disk, say that its format is raw')
  }
  if (content === undefined) throw refuse(`is named as if it were ${name}, but is no ${name} image`)
  const asRaw = file.isDevice ? 'is a device, and so should be raw,' : 'is named as if it were raw,'
  if (name === 'raw') throw refuse(`${asRaw} but begins as ${content} does: say which format it has`)
  throw refuse(`is named as if it were ${name}, but is ${content}: say that its format is ${content}, or rename it`)
}

/** The last part of a path. */
function lastOf(path: string): string {
  return path.slice(Math.max(path.lastIndexOf('/'), path.lastIndexOf('\\')) + 1)
}
