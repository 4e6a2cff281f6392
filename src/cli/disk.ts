/** `typetwo disk create`, `info`, `check`, `resize` and `snapshot`. */
import { statSync } from 'node:fs'
import { dirname, join, relative, resolve as resolvePath } from 'node:path'
import type { CheckReport } from '../disk/check.ts'
import type { Disk } from '../disk/disk.ts'
import type { Format } from '../disk/format-names.ts'
import { type ImageInfo, imageInfo, type SnapshotInfo } from '../disk/info.ts'
import { decideFormat, openImage, type ToolOptions } from '../disk/open.ts'
import { changeSnapshot, checkImage, resizeImage } from '../disk/tools.ts'
import { VmdkDisk } from '../disk/vmdk/open.ts'
import { openFile } from '../hosts/node/byte-file.ts'
import { imageHost, openDisk } from '../hosts/node/disks.ts'
import { UserError } from '../hosts/node/user-error.ts'
import { UsageError } from './command.ts'
import { createOptions, formatToMake, type MakeOptions, makeImage, NewFiles } from './disk-make.ts'
import { type CommandHost, print } from './host.ts'
import { formatSize, parseSize } from './size.ts'

/** Exit statuses of `disk check` besides those of every command. */
const CHECK_STATUS = { good: 0, errors: 3, leaks: 4 } as const

/** What every command that opens an image takes. */
interface OpenOptions {
  format?: string
  anywhere?: true
}

/** Opens an image as a tool does. @returns it with its format */
export async function openTool(
  path: string,
  options: OpenOptions,
  mode: { readOnly?: boolean } & ToolOptions,
): Promise<{ disk: Disk; format: Format }> {
  const file = await openFile(path, { readOnly: mode.readOnly })
  let format = options.format as Format | undefined
  try {
    format ??= await decideFormat(file)
  } catch (error) {
    await file.close()
    throw error
  }
  return { disk: await openImage(file, imageHost(path, options.anywhere), { ...mode, format }), format }
}

/** Makes an image. */
export async function create(
  options: MakeOptions & OpenOptions & { size?: string; backing?: string; 'backing-format'?: string },
  host: CommandHost,
): Promise<number> {
  const { file } = options as unknown as { file: string }
  const format = formatToMake(file, options.format)
  let size = options.size === undefined ? undefined : parseSize(options.size, '--size')
  let backing: { file: string; format: Format; cid?: number } | undefined
  if (options.backing !== undefined) {
    const opened = await openTool(options.backing, { format: options['backing-format'] }, { readOnly: true })
    try {
      const name = relative(resolvePath(dirname(file)), resolvePath(options.backing))
      // Refuses it where opening the image would.
      await imageHost(file, options.anywhere).folder.resolve(file, name)
      const cid = opened.disk instanceof VmdkDisk ? opened.disk.descriptor.cid : undefined
      backing = { file: name, format: opened.format, cid }
      size ??= opened.disk.size
    } finally {
      await opened.disk.close()
    }
  }
  if (size === undefined) throw new UsageError('typetwo disk create: --size is missing, as in --size 10G')
  const files = new NewFiles()
  try {
    await makeImage(file, { ...createOptions(options, format, size), backing }, files)
  } catch (error) {
    files.remove()
    throw error
  }
  const below = backing ? ` over ${options.backing}` : ''
  return print(host, `${file}: a disk of ${formatSize(size)}, ${format}${below}\n`)
}

/** Says what an image is. */
export async function info(options: OpenOptions & { json?: true }, host: CommandHost): Promise<number> {
  const { file } = options as unknown as { file: string }
  // Of a file of which nobody says what it is, that is what is asked: nothing is opened that it names.
  const { disk, format } = await openTool(file, options, { readOnly: true, isAlone: true })
  try {
    const about = await imageInfo(disk, format)
    const allocated = allocatedBytes(file, about)
    if (options.json) return print(host, `${JSON.stringify({ file, allocated, ...about }, undefined, 2)}\n`)
    return print(host, describe(file, about, allocated))
  } finally {
    await disk.close()
  }
}

/** Bytes that an image takes on the host, its backing files not counted. */
function allocatedBytes(file: string, { extents = [] }: ImageInfo): number {
  const paths = new Set([file, ...extents.map(name => join(dirname(file), name))].map(path => resolvePath(path)))
  let bytes = 0
  for (const path of paths) bytes += (statSync(path, { throwIfNoEntry: false })?.blocks ?? 0) * 512
  return bytes
}

function describe(file: string, about: ImageInfo, allocated: number): string {
  const lines: [string, string][] = [
    ['image', file],
    ['format', about.format],
    ['disk size', `${formatSize(about.size)} (${about.size} bytes)`],
    ['space taken', formatSize(allocated)],
  ]
  if (about.clusterSize) lines.push(['cluster size', formatSize(about.clusterSize)])
  if (about.backingFile) {
    lines.push(['backing file', about.backingFile + (about.backingFormat ? ` (${about.backingFormat})` : '')])
  }
  for (const extent of about.extents ?? []) lines.push(['extent', extent])
  for (const [name, value] of Object.entries(about.details)) {
    lines.push([name, value === true ? 'yes' : value === false ? 'no' : `${value}`])
  }
  const text = lines.map(([name, value]) => `${`${name}:`.padEnd(16)}${value}`)
  if (about.snapshots?.length) text.push('snapshots:', ...snapshotLines(about.snapshots))
  return `${text.join('\n')}\n`
}

function snapshotLines(snapshots: readonly SnapshotInfo[]): string[] {
  return snapshots.map(({ id, name, date, size }) => {
    const time = new Date(date).toISOString().slice(0, 19).replace('T', ' ')
    return `  ${id.padEnd(4)}${time} UTC  ${formatSize(size).padEnd(8)}${name}`
  })
}

/** Checks an image. */
export async function check(options: OpenOptions & { repair?: true; json?: true }, host: CommandHost): Promise<number> {
  const { file } = options as unknown as { file: string }
  const repair = options.repair ?? false
  const { disk, format } = await openTool(file, options, { readOnly: !repair, isAlone: true, isForRepair: repair })
  let report: CheckReport | undefined
  try {
    report = await checkImage(disk, repair)
  } finally {
    await disk.close()
  }
  if (report === undefined) {
    throw new UserError(`image '${file}' is ${format}, of a kind that has nothing to check`)
  }
  const { errors, leaks, repaired, allocated, total, findings } = report
  if (options.json) {
    await print(
      host,
      `${JSON.stringify({ file, format, errors, leaks, repaired, allocated, total, findings }, undefined, 2)}\n`,
    )
  } else {
    const lines = findings.map(finding => `${finding}\n`)
    if (errors + leaks > findings.length) lines.push(`and ${errors + leaks - findings.length} more\n`)
    if (errors + leaks === 0) lines.push(`${file}: nothing is wrong; ${allocated} of ${total} clusters are in use\n`)
    else lines.push(`${file}: ${errors} errors, ${leaks} lost clusters; ${repaired} were repaired\n`)
    await print(host, lines.join(''))
  }
  if (report.isGood) return CHECK_STATUS.good
  return errors > 0 ? CHECK_STATUS.errors : CHECK_STATUS.leaks
}

/** Changes an image's size. */
export async function resize(options: OpenOptions & { shrink?: true }, host: CommandHost): Promise<number> {
  const { file, size: text } = options as unknown as { file: string; size: string }
  const { disk, format } = await openTool(file, options, {})
  let size: number
  let finish: (disk: Disk) => Promise<void>
  try {
    const bytes = parseSize(text.replace(/^\+/, ''), 'the size')
    size = Math.ceil((text.startsWith('+') ? disk.size + bytes : bytes) / 512) * 512
    if (size < disk.size && !options.shrink) {
      throw new UserError(
        `'${file}' is larger (${formatSize(disk.size)}): what lies behind ${formatSize(size)} would be gone, which --shrink allows`,
      )
    }
    let truncateTo: number | undefined
    finish = await resizeImage(disk, format, size, async to => {
      truncateTo = to
    })
    if (truncateTo !== undefined) {
      await disk.close()
      const raw = await openFile(file)
      await raw.truncate(truncateTo).finally(() => raw.close())
    }
  } finally {
    await disk.close()
  }
  const reopened = await openDisk(file, { format, anywhere: options.anywhere })
  await finish(reopened).finally(() => reopened.close())
  return print(host, `${file}: a disk of ${formatSize(size)}\n`)
}

/** Does something with the snapshots of an image. */
export async function snapshot(options: OpenOptions & { json?: true }, host: CommandHost): Promise<number> {
  const { action, file, name } = options as unknown as { action: string; file: string; name?: string }
  if (action === 'list') {
    if (name !== undefined) throw new UsageError(`typetwo disk snapshot: list takes no name, but has '${name}'`)
    const { disk, format } = await openTool(file, options, { readOnly: true, isAlone: true })
    try {
      const { snapshots = [] } = await imageInfo(disk, format)
      if (options.json) {
        const all = snapshots.map(snapshot => ({ ...snapshot, date: new Date(snapshot.date).toISOString() }))
        return await print(host, `${JSON.stringify(all, undefined, 2)}\n`)
      }
      return await print(
        host,
        snapshotLines(snapshots)
          .map(line => `${line}\n`)
          .join(''),
      )
    } finally {
      await disk.close()
    }
  }
  if (name === undefined) throw new UsageError(`typetwo disk snapshot: ${action} needs the name of a snapshot`)
  const { disk } = await openTool(file, options, { isAlone: true })
  try {
    await changeSnapshot(disk, action as 'create' | 'apply' | 'delete', name, Date.now())
  } finally {
    await disk.close()
  }
  return print(host, `${file}: snapshot ${name} ${{ create: 'made', apply: 'applied', delete: 'deleted' }[action]}\n`)
}
