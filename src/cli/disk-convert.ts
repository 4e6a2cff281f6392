/** `typetwo disk convert`. */
import { copyDisk } from '../disk/copy.ts'
import type { Disk } from '../disk/disk.ts'
import { writeStreamOptimized } from '../disk/vmdk/create.ts'
import { nodeCompression } from '../hosts/node/compression.ts'
import { openDisk } from '../hosts/node/disks.ts'
import { UserError } from '../hosts/node/user-error.ts'
import { openTool } from './disk.ts'
import { createOptions, formatToMake, type MakeOptions, makeImage, NewFiles } from './disk-make.ts'
import { type CommandHost, print } from './host.ts'
import { Progress } from './progress.ts'
import { formatSize } from './size.ts'

/** Converts an image. */
export async function convert(
  options: MakeOptions & { format?: string; anywhere?: true; to?: string; compress?: true; quiet?: true },
  host: CommandHost,
): Promise<number> {
  const { source: from, target } = options as unknown as { source: string; target: string }
  const format = formatToMake(target, options.to)
  const isStream = format === 'vmdk' && options.kind === 'streamOptimized'
  if (options.compress && format !== 'qcow2' && !isStream) {
    throw new UserError(
      `images of the format ${format} are not compressed: only qcow2, and vmdk of the kind streamOptimized, are`,
    )
  }
  const { disk: source } = await openTool(from, options, { readOnly: true })
  const files = new NewFiles()
  const progress = new Progress(host.stderr)
  let signal: string | undefined
  const signals = ['SIGINT', 'SIGTERM', 'SIGHUP'].map(name => ({ name, stop: () => (signal = name) }))
  for (const { name, stop } of signals) host.events.on(name, stop)
  const onProgress = (done: number) => {
    if (signal) throw new UserError(`converting to '${target}' was ended by ${signal}: nothing of it is left`)
    if (!options.quiet) progress.show(`Converting to ${target}`, source.size === 0 ? 1 : done / source.size)
  }
  try {
    if (isStream) {
      const file = await files.create(target)
      await writeStreamOptimized(file, source, nodeCompression, onProgress)
        .then(() => file.flush())
        .finally(() => file.close())
    } else {
      await makeImage(target, createOptions(options, format, source.size), files)
      await copy(source, target, { format, isCompressed: options.compress, onProgress })
    }
  } catch (error) {
    files.remove()
    throw error
  } finally {
    progress.done()
    for (const { name, stop } of signals) host.events.off(name, stop)
    await source.close()
  }
  const [size, taken] = [formatSize(source.size), formatSize(files.allocated())]
  return print(host, `${target}: a disk of ${size}, ${format}, takes ${taken}\n`)
}

async function copy(
  source: Disk,
  path: string,
  options: { format: ReturnType<typeof formatToMake>; isCompressed?: boolean; onProgress(done: number): void },
): Promise<void> {
  const target = await openDisk(path, { format: options.format })
  try {
    await copyDisk(source, target, options)
  } finally {
    await target.close()
  }
}
