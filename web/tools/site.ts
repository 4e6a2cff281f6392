/** The page in which machines run, as a site: what it consists of, and what its guests start from. */
import { readdir, readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { ensureDefaultGuest, ensureFirmware, readWhole } from '../../src/hosts/node/index.ts'
import { bundle, type Site } from './bundle.ts'

const FOLDER = new URL('../machine/', import.meta.url).pathname

/** Hears what is being done. */
export type Report = (text: string) => void

/** Files that are as they stand in the folder of the page. */
const STATIC = /\.(html|svg|png|webmanifest)$/

/** The page, its code and its looks; about half a second's work. @throws Error of esbuild where the code is wrong */
export async function pageSite(): Promise<Site> {
  const entries = ['main.ts', 'isolation.ts', 'style.css', 'example.ts'].map(name => join(FOLDER, name))
  const site = await bundle(entries)
  for (const name of await readdir(FOLDER)) if (STATIC.test(name)) site.set(name, await readFile(join(FOLDER, name)))
  return site
}

/** What one click boots. */
export interface GuestDescription {
  /** The kernel's command line. */
  append: string
}

/** Makes the files of one folder of {@link GUEST_FOLDERS}. */
type Maker = (report: Report) => Promise<Site>

async function defaultGuest(report: Report): Promise<Site> {
  const guest = await ensureDefaultGuest({ report })
  const description: GuestDescription = { append: guest.append }
  return new Map([
    ['guest/vmlinuz', await readWhole(guest.kernel, 'the kernel')],
    ['guest/initrd', await readWhole(guest.initrd, 'the initrd')],
    ['guest/guest.json', new TextEncoder().encode(JSON.stringify(description))],
  ])
}

async function firmware(report: Report): Promise<Site> {
  const site: Site = new Map()
  for (const path of await ensureFirmware('seabios', { report }))
    site.set(`firmware/${path.slice(path.lastIndexOf('/') + 1)}`, await readWhole(path, 'the firmware'))
  return site
}

/** What guests start from, by the folder of the site that it is in. Getting it may need Debian's packages. */
export const GUEST_FOLDERS: Readonly<Record<string, Maker>> = { guest: defaultGuest, firmware }
