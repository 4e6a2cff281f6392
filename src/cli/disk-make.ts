/** What `typetwo disk create` and `disk convert` have in common: making an image, or nothing at all. */
import { rmSync, statSync } from 'node:fs'
import { dirname, join } from 'node:path'
import type { ByteFile } from '../disk/byte-file.ts'
import { type CreateImageOptions, checkOptions, createImage } from '../disk/create.ts'
import { type Format, formatOfName } from '../disk/format-names.ts'
import { openFile } from '../hosts/node/byte-file.ts'
import { parseSize } from './size.ts'

/** The options that say what an image is to be. */
export interface MakeOptions {
  kind?: string
  'cluster-size'?: string
  'qcow2-version'?: string
  'refcount-bits'?: string
  'lazy-refcounts'?: true
  'extended-l2'?: true
  compression?: string
}

/** The format that was asked for, or that the name says. */
export function formatToMake(path: string, format: string | undefined): Format {
  return (format as Format | undefined) ?? formatOfName(path) ?? 'qcow2'
}

/** The library's options for those of the command line. */
export function createOptions(options: MakeOptions, format: Format, size: number): CreateImageOptions {
  const number = (text: string | undefined) => (text === undefined ? undefined : Number(text))
  const clusterSize = options['cluster-size']
  return {
    format,
    size,
    subformat: options.kind,
    clusterSize: clusterSize === undefined ? undefined : parseSize(clusterSize, '--cluster-size'),
    version: number(options['qcow2-version']) as 2 | 3 | undefined,
    refcountBits: number(options['refcount-bits']),
    lazyRefcounts: options['lazy-refcounts'],
    extendedL2: options['extended-l2'],
    compressionType: options.compression as 'zlib' | 'zstd' | undefined,
  }
}

/** Files that are being made; those that are not kept are removed. */
export class NewFiles {
  readonly #paths: string[] = []

  /** Makes a file. @throws DiskError when something of that name is there */
  async create(path: string): Promise<ByteFile> {
    const file = await openFile(path, { create: true })
    this.#paths.push(path)
    return file
  }

  /** Removes all of them. */
  remove(): void {
    for (const path of this.#paths) rmSync(path, { force: true })
  }

  /** Bytes that they take on the host. */
  allocated(): number {
    return this.#paths.reduce((sum, path) => sum + statSync(path).blocks * 512, 0)
  }
}

/** Makes an image; where that fails, nothing of it is left. */
export async function makeImage(path: string, options: CreateImageOptions, files: NewFiles): Promise<void> {
  checkOptions(options)
  const file = await files.create(path)
  try {
    await createImage(file, options, name => files.create(join(dirname(path), name)), Date.now())
  } finally {
    await file.close()
  }
}
