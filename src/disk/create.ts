/** New images of every format. */
import type { ByteFile } from './byte-file.ts'
import { DiskError } from './disk.ts'
import type { Format } from './format-names.ts'
import { createQcow2 } from './qcow2/create.ts'
import type { CompressionType } from './qcow2/header.ts'
import { createVdi } from './vdi.ts'
import { createVhd } from './vhd.ts'
import { createVhdx } from './vhdx/create.ts'
import { createVmdk, type VmdkSubformat } from './vmdk/create.ts'

/** What a new image is to be. Each format has some of the options, and refuses the others. */
export interface CreateImageOptions {
  format: Format
  /** Bytes of the disk; made whole sectors. */
  size: number
  /** vmdk: one of VMware's kinds; vdi: dynamic or static; vhd, vhdx: dynamic or fixed. */
  subformat?: string
  /** Bytes of a cluster (qcow2) or block (vhdx). */
  clusterSize?: number
  /** qcow2: 2 or 3. */
  version?: 2 | 3
  /** qcow2. */
  refcountBits?: number
  /** qcow2. */
  lazyRefcounts?: boolean
  /** qcow2. */
  extendedL2?: boolean
  /** qcow2. */
  compressionType?: CompressionType
  /** What shows where the image has nothing (qcow2, vhd, vmdk): its name as it is to stand in the image, and what it is. */
  backing?: { file: string; format: Format; cid?: number }
}

/** The kinds that formats have; the first is what is made if nobody says another. */
export const SUBFORMATS: Partial<Record<Format, readonly string[]>> = {
  vmdk: ['monolithicSparse', 'monolithicFlat', 'twoGbMaxExtentSparse', 'twoGbMaxExtentFlat', 'streamOptimized'],
  vdi: ['dynamic', 'static'],
  vhd: ['dynamic', 'fixed'],
  vhdx: ['dynamic', 'fixed'],
}

/** The options of formats besides size and kind, for the refusal of others. */
const OPTIONS: Partial<Record<Format, readonly (keyof CreateImageOptions)[]>> = {
  qcow2: ['clusterSize', 'version', 'refcountBits', 'lazyRefcounts', 'extendedL2', 'compressionType', 'backing'],
  vmdk: ['backing'],
  vhd: ['backing'],
  vhdx: ['clusterSize'],
}

/**
 * Makes an empty file an image, and flushes it.
 * @param createPart makes another file beside it, where the image consists of several
 * @param date now, in milliseconds since 1970
 * @throws DiskError `unsupported` when the format has no such image
 */
export async function createImage(
  file: ByteFile,
  options: CreateImageOptions,
  createPart: (name: string) => Promise<ByteFile>,
  date: number,
): Promise<void> {
  checkOptions(options)
  const size = Math.ceil(options.size / 512) * 512
  const { format, backing } = options
  switch (format) {
    case 'raw':
      await file.truncate(size)
      break
    case 'qcow2':
      await createQcow2(file, { ...options, size, backingFile: backing?.file, backingFormat: backing?.format })
      break
    case 'vmdk': {
      const subformat = (options.subformat ?? 'monolithicSparse') as Exclude<VmdkSubformat, 'streamOptimized'>
      if (backing && backing.format !== 'vmdk') throw refusal('vmdk', `a backing file of the format ${backing.format}`)
      const parent = backing && { file: backing.file, cid: backing.cid ?? 0 }
      await createVmdk(file, { size, subformat, parent }, createPart)
      break
    }
    case 'vdi':
      await createVdi(file, { size, subformat: options.subformat as 'dynamic' | 'static' })
      break
    case 'vhd':
      if (backing && backing.format !== 'vhd') throw refusal('vhd', `a backing file of the format ${backing.format}`)
      await createVhd(file, {
        size,
        subformat: options.subformat as 'dynamic' | 'fixed',
        backingFile: backing?.file,
        date,
      })
      break
    case 'vhdx':
      await createVhdx(file, { ...options, size, subformat: options.subformat as 'dynamic' | 'fixed' })
      break
  }
  await file.flush()
}

/** Refuses options that the format does not have. @throws DiskError `unsupported` */
export function checkOptions(options: CreateImageOptions): void {
  const { format, subformat } = options
  if (!Number.isSafeInteger(options.size) || options.size < 0) {
    throw new DiskError('unsupported', `there is no disk of ${options.size} bytes`)
  }
  if (subformat !== undefined && !SUBFORMATS[format]?.includes(subformat)) {
    const kinds = SUBFORMATS[format]
    throw refusal(format, `the kind '${subformat}'${kinds ? `: the kinds are ${kinds.join(', ')}` : ''}`)
  }
  for (const name of Object.values(OPTIONS).flat() as (keyof CreateImageOptions)[]) {
    if (options[name] !== undefined && !OPTIONS[format]?.includes(name)) throw refusal(format, WORDS[name] ?? name)
  }
}

/** How the options are called in sentences. */
const WORDS: Partial<Record<keyof CreateImageOptions, string>> = {
  clusterSize: 'clusters of a size to choose',
  version: 'versions to choose',
  refcountBits: 'refcounts',
  lazyRefcounts: 'refcounts',
  extendedL2: 'extended L2 tables',
  compressionType: 'compression to choose',
  backing: 'backing files',
}

function refusal(format: Format, what: string): DiskError {
  return new DiskError('unsupported', `images of the format ${format} do not have ${what}`)
}
