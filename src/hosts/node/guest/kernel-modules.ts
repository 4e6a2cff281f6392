/**
 * What a Linux kernel module says about itself, and the files by which `modprobe` finds modules.
 *
 * A module is a relocatable ELF file; its section `.modinfo` holds NUL-terminated `key=value` strings, among them
 * `depends=a,b` and one `alias=…` for each kind of device it drives. Debian's packages carry no `modules.dep`, which
 * `depmod` makes of these on the machine where they are installed; here it is made for the guest.
 */
import { basename } from 'node:path'

/** One module file. */
export interface KernelModule {
  /** The name the kernel uses: the file's name without `.ko`, with `_` for `-`. */
  name: string
  /** Where it lies, relative to `/lib/modules/VERSION`. */
  path: string
  /** The names of the modules it needs directly. */
  depends: string[]
  /** The patterns of device and file system names it answers to. */
  aliases: string[]
}

/** The kernel's name of a module, from its path or from the way people write it. */
export function moduleName(path: string): string {
  return basename(path)
    .replace(/\.ko(\.(xz|zst|gz))?$/, '')
    .replaceAll('-', '_')
}

/**
 * Reads a module's own description.
 * @param path relative to `/lib/modules/VERSION`
 * @param image the module, not compressed
 * @throws Error when it is not a little-endian ELF file with a `.modinfo` section inside the file.
 */
export function describeModule(path: string, image: Uint8Array): KernelModule {
  const strings = Buffer.from(elfSection(path, image, '.modinfo'))
    .toString('latin1')
    .split('\0')
  const values = (key: string) => strings.filter(s => s.startsWith(`${key}=`)).map(s => s.slice(key.length + 1))
  const depends = values('depends').flatMap(list => list.split(',').filter(name => name !== ''))
  return { name: moduleName(path), path, depends: depends.map(moduleName), aliases: values('alias') }
}

/** The bytes of a section of an ELF file: ELF64 or ELF32, little-endian. */
function elfSection(path: string, image: Uint8Array, wanted: string): Uint8Array {
  const broken = (what: string) => new Error(`${path} is not a kernel module: ${what}`)
  if (image.length < 64 || image[0] !== 0x7f || image[1] !== 0x45 || image[2] !== 0x4c || image[3] !== 0x46)
    throw broken('it is not an ELF file')
  if (image[5] !== 1) throw broken('it is not little-endian')
  const wide = image[4] === 2
  const view = new DataView(image.buffer, image.byteOffset, image.byteLength)
  const address = (offset: number) => (wide ? Number(view.getBigUint64(offset, true)) : view.getUint32(offset, true))
  const table = address(wide ? 0x28 : 0x20)
  const entrySize = view.getUint16(wide ? 0x3a : 0x2e, true)
  const count = view.getUint16(wide ? 0x3c : 0x30, true)
  const namesIndex = view.getUint16(wide ? 0x3e : 0x32, true)
  if (entrySize < (wide ? 64 : 40) || namesIndex >= count || table + count * entrySize > image.length)
    throw broken('its section table does not lie in the file')
  const section = (index: number) => {
    const header = table + index * entrySize
    const offset = address(header + (wide ? 0x18 : 0x10))
    const size = address(header + (wide ? 0x20 : 0x14))
    return { name: view.getUint32(header, true), offset, size }
  }
  const names = section(namesIndex)
  for (let index = 0; index < count; index++) {
    const { name, offset, size } = section(index)
    const start = names.offset + name
    const label = Buffer.from(image.subarray(start, start + wanted.length + 1)).toString('latin1')
    if (label !== `${wanted}\0`) continue
    if (offset + size > image.length) throw broken(`its section ${wanted} does not lie in the file`)
    return image.subarray(offset, offset + size)
  }
  throw broken(`it has no section ${wanted}`)
}

/**
 * The wanted modules and all they need, each after what it needs.
 * @param find gives the description of a module, undefined when the kernel has it built in or does not have it
 * @throws Error when modules need each other in a circle.
 */
export function inLoadOrder(
  wanted: Iterable<string>,
  find: (name: string) => KernelModule | undefined,
): KernelModule[] {
  const order = new Map<string, KernelModule>()
  const visit = (name: string, path: readonly string[]) => {
    if (order.has(name)) return
    if (path.includes(name)) throw new Error(`the kernel modules ${[...path, name].join(' → ')} need each other`)
    const module = find(name)
    if (module === undefined) return
    for (const needed of module.depends) visit(needed, [...path, name])
    order.set(name, module)
  }
  for (const name of wanted) visit(moduleName(name), [])
  return [...order.values()]
}

/** The text of `modules.dep`: for each module the files it needs, the one to load first at the end of the line. */
export function modulesDep(modules: readonly KernelModule[]): string {
  const byName = new Map(modules.map(module => [module.name, module]))
  return modules
    .map(module => {
      const needed = inLoadOrder([module.name], name => byName.get(name)).slice(0, -1)
      return `${[`${module.path}:`, ...needed.reverse().map(other => other.path)].join(' ')}\n`
    })
    .join('')
}

/** The text of `modules.alias`. */
export function modulesAlias(modules: readonly KernelModule[]): string {
  return modules.flatMap(module => module.aliases.map(alias => `alias ${alias} ${module.name}\n`)).join('')
}
