/** Opens VMDK images of all kinds that VMware's hosted products make. */
import type { ByteFile } from '../byte-file.ts'
import { ConcatDisk } from '../concat.ts'
import { type Disk, DiskError } from '../disk.ts'
import type { OpenContext } from '../formats.ts'
import { MemoryDisk } from '../memory.ts'
import { RawDisk } from '../raw.ts'
import { DESCRIPTOR_LIMIT, type Descriptor, NO_PARENT, parseDescriptor, withNewCid } from './descriptor.ts'
import { readSparseHeader, SparseExtent, VMDK_MAGIC } from './sparse.ts'

const SECTOR = 512

/** A VMDK image: its extents in a row. */
export class VmdkDisk extends ConcatDisk {
  readonly descriptor: Descriptor
  /** The disk below, or undefined. */
  readonly backing: Disk | undefined
  readonly #file: ByteFile

  /** @param file the one with the descriptor, which is open as long as the disk: it locks the image as a whole */
  constructor(file: ByteFile, parts: readonly Disk[], descriptor: Descriptor, backing: Disk | undefined) {
    super(file.name, parts)
    this.#file = file
    this.descriptor = descriptor
    this.backing = backing
  }

  override async close(): Promise<void> {
    try {
      await super.close()
    } finally {
      await this.#file.close()
    }
  }
}

/** Whether a file begins as a descriptor does. */
export function isDescriptor(start: DataView): boolean {
  const text = new TextDecoder('latin1').decode(new Uint8Array(start.buffer, 0, 64))
  return /^\s*# ?Disk DescriptorFile/i.test(text)
}

/**
 * Opens an image: a descriptor with its extents, or an extent with its descriptor in it.
 * @throws DiskError
 */
export async function openVmdk(file: ByteFile, context: OpenContext): Promise<VmdkDisk> {
  const start = new Uint8Array(SECTOR)
  await file.read(0, start)
  const view = new DataView(start.buffer)
  if (view.getUint32(0) === VMDK_MAGIC) return openMonolithic(file, context)
  if (isDescriptor(view)) return openSplit(file, context)
  throw new DiskError('format', `file '${file.name}' is no vmdk image`)
}

async function openMonolithic(file: ByteFile, context: OpenContext): Promise<VmdkDisk> {
  const header = await readSparseHeader(file)
  const offset = header.descriptorOffset * SECTOR
  if (offset === 0) {
    throw new DiskError('format', `file '${file.name}' is an extent of a vmdk image: give the path of its descriptor`)
  }
  if (header.isCompressed && !file.readOnly) throw readOnlyOnly(file.name)
  const text = await readText(file, offset, header.descriptorSize * SECTOR)
  const descriptor = parseDescriptor(new TextDecoder().decode(text), file.name)
  const backing = await openParent(file, descriptor, context)
  const extent = new SparseExtent(file, header, context.compression, backing)
  extent.onFirstWrite = changeCid(file, offset, text, descriptor)
  return new VmdkDisk(file, [extent], descriptor, backing)
}

async function openSplit(file: ByteFile, context: OpenContext): Promise<VmdkDisk> {
  const text = await readText(file, 0, file.size)
  const descriptor = parseDescriptor(new TextDecoder().decode(text), file.name)
  if (descriptor.extents.length === 0) {
    throw new DiskError('corrupt', `vmdk image '${file.name}' is damaged: it has no extents`)
  }
  const backing = await openParent(file, descriptor, context)
  if (backing && descriptor.extents.length > 1) {
    await backing.close()
    throw new DiskError('unsupported', `vmdk image '${file.name}' is split and has a parent, which is not supported`)
  }
  const change = changeCid(file, 0, text, descriptor)
  let changed: Promise<void> | undefined
  const onFirstWrite = () => (changed ??= change())
  const parts: Disk[] = []
  try {
    for (const line of descriptor.extents) {
      const size = line.sectors * SECTOR
      if (line.type === 'ZERO') {
        parts.push(new MemoryDisk(size, { name: file.name, readOnly: true }))
        continue
      }
      if ((line.type !== 'SPARSE' && line.type !== 'FLAT') || line.access === 'NOACCESS' || line.file === undefined) {
        throw new DiskError(
          'unsupported',
          `vmdk image '${file.name}' has an extent of the kind ${line.access} ${line.type}, which is not supported`,
        )
      }
      const part = await context.openPart(line.file)
      try {
        parts.push(
          line.type === 'FLAT'
            ? openFlat(part, line.offset * SECTOR, size)
            : await openSparse(part, size, context, backing, onFirstWrite),
        )
      } catch (error) {
        await part.close()
        throw error
      }
    }
  } catch (error) {
    for (const part of parts) await part.close()
    await backing?.close()
    throw error
  }
  return new VmdkDisk(file, parts, descriptor, backing)
}

function openFlat(file: ByteFile, offset: number, size: number): Disk {
  if (file.size < offset + size) {
    throw new DiskError(
      'corrupt',
      `the vmdk extent '${file.name}' has ${file.size} bytes, but should have ${offset + size}`,
    )
  }
  return new RawDisk(file, { offset, size })
}

async function openSparse(
  file: ByteFile,
  size: number,
  context: OpenContext,
  backing: Disk | undefined,
  onFirstWrite: () => Promise<void>,
): Promise<Disk> {
  const header = await readSparseHeader(file)
  if (header.capacity * SECTOR !== size) {
    throw new DiskError(
      'corrupt',
      `the vmdk extent '${file.name}' is of ${header.capacity} sectors, but should be of ${size / SECTOR}`,
    )
  }
  if (header.isCompressed && !file.readOnly) throw readOnlyOnly(file.name)
  const extent = new SparseExtent(file, header, context.compression, backing)
  extent.onFirstWrite = onFirstWrite
  return extent
}

function readOnlyOnly(name: string): DiskError {
  return new DiskError(
    'unsupported',
    `vmdk image '${name}' is stream-optimized, which is for transport: open it read-only, or convert it to another kind`,
  )
}

async function readText(file: ByteFile, offset: number, length: number): Promise<Uint8Array> {
  if (length > DESCRIPTOR_LIMIT) {
    throw new DiskError('corrupt', `vmdk image '${file.name}' is damaged: its descriptor has ${length} bytes`)
  }
  const bytes = new Uint8Array(length)
  await file.read(offset, bytes)
  return bytes
}

async function openParent(file: ByteFile, descriptor: Descriptor, context: OpenContext): Promise<Disk | undefined> {
  if (descriptor.parentCid === NO_PARENT || context.isAlone) return undefined
  if (descriptor.parentFile === undefined) {
    throw new DiskError('corrupt', `vmdk image '${file.name}' is damaged: it does not say which its parent is`)
  }
  const backing = await context.openBacking(descriptor.parentFile, 'vmdk')
  if (backing instanceof VmdkDisk && backing.descriptor.cid === descriptor.parentCid) return backing
  await backing.close()
  throw new DiskError(
    'corrupt',
    `vmdk image '${file.name}' does not fit its parent '${descriptor.parentFile}' any more: that was written since`,
  )
}

/** Gives an image another content identification before it is first written. */
function changeCid(file: ByteFile, offset: number, bytes: Uint8Array, descriptor: Descriptor): () => Promise<void> {
  return async () => {
    // A letter for a byte, whatever it means.
    const text = new TextDecoder('latin1').decode(bytes)
    // Any other one does, but the two highest have meanings.
    const cid = (descriptor.cid * 1664525 + 1013904223) % 0xfffffffe
    const changed = withNewCid(text, cid)
    if (changed === undefined) return
    const at = changed.search(/^\s*CID\s*=/m)
    const end = changed.indexOf('\n', at)
    await file.write(
      offset + at,
      Uint8Array.from(changed.slice(at, end), letter => letter.charCodeAt(0)),
    )
    descriptor.cid = cid
  }
}
