/** The formats of disk images by name; what they are is in `formats.ts`, which loads all of them. */

/** What file names of a format end with, without the dot, and other names of it, as inside of images. */
const NAMES = {
  raw: {
    endings: ['img', 'raw', 'iso', 'bin', 'dd', 'ima', 'flp', 'vfd', 'dsk'],
    aliases: ['host_device', 'file'],
  },
  qcow2: { endings: ['qcow2', 'qcow'], aliases: [] },
  vmdk: { endings: ['vmdk'], aliases: [] },
  vdi: { endings: ['vdi'], aliases: [] },
  vhd: { endings: ['vhd', 'vpc'], aliases: ['vpc'] },
  vhdx: { endings: ['vhdx'], aliases: [] },
} as const satisfies Record<string, { endings: readonly string[]; aliases: readonly string[] }>

/** Name of a format. */
export type Format = keyof typeof NAMES

/** The formats' names. */
export const FORMATS = Object.keys(NAMES) as readonly Format[]

/** The format that a file's name stands for. */
export function formatOfName(name: string): Format | undefined {
  const ending = /\.([^./\\]+)$/.exec(name)?.[1].toLowerCase() ?? ''
  return FORMATS.find(format => (NAMES[format].endings as readonly string[]).includes(ending))
}

/** The format that a name inside an image means. */
export function formatOfAlias(alias: string): Format | undefined {
  return FORMATS.find(format => format === alias || (NAMES[format].aliases as readonly string[]).includes(alias))
}
