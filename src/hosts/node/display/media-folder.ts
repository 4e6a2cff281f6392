/** A folder with images that the user lets people put into a machine's drives. */
import { createWriteStream } from 'node:fs'
import { link, lstat, readdir, realpath, rm, stat } from 'node:fs/promises'
import { basename, join } from 'node:path'
import type { Readable } from 'node:stream'
import { pipeline } from 'node:stream/promises'
import { reasonOf, UserError } from '../user-error.ts'

/** An image that can be put into a drive. */
export interface Medium {
  readonly name: string
  /** Bytes. */
  readonly size: number
}

/** Names of what may go into a drive. */
const IMAGE = /\.(?:iso|img|ima|flp|vfd|dsk|raw|bin|cdr|qcow2|vdi|vhd|vhdx|vmdk)$/i

/** Images that are listed. */
const MOST_LISTED = 1000

/** Uploads at once. */
const MOST_UPLOADS = 4

/** The folder. */
export class MediaFolder {
  readonly #path: string
  #uploads = 0

  /**
   * Opens it.
   * @throws UserError where it is none
   */
  static async open(path: string, what: string): Promise<MediaFolder> {
    try {
      const real = await realpath(path)
      if (!(await stat(real)).isDirectory()) throw new UserError(`${what}: '${path}' is no folder`)
      return new MediaFolder(real)
    } catch (error) {
      if (error instanceof UserError) throw error
      throw new UserError(`${what}: the folder of media '${path}' cannot be used: ${reasonOf(error)}`)
    }
  }

  private constructor(path: string) {
    this.#path = path
  }

  /** The images in it, by name. Links that lead out of it are none of them. */
  async list(): Promise<Medium[]> {
    const names = (await readdir(this.#path)).filter(name => IMAGE.test(name) && !name.startsWith('.'))
    const found: Medium[] = []
    for (const name of names.sort((a, b) => a.localeCompare(b)).slice(0, MOST_LISTED)) {
      const path = await this.#find(name)
      if (path !== undefined) found.push({ name, size: (await stat(path)).size })
    }
    return found
  }

  /**
   * The path of an image.
   * @throws UserError where there is none of that name
   */
  async path(name: string): Promise<string> {
    const path = IMAGE.test(name) ? await this.#find(name) : undefined
    if (path === undefined) throw new UserError(`there is no image '${name}' in the folder any more`)
    return path
  }

  /** A file of the folder itself, by its name. */
  async #find(name: string): Promise<string | undefined> {
    if (name !== basename(name) || name.startsWith('.') || name.includes('\0')) return undefined
    try {
      const path = await realpath(join(this.#path, name))
      const isInside = path.startsWith(`${this.#path}/`)
      return isInside && (await stat(path)).isFile() ? path : undefined
    } catch {
      return undefined
    }
  }

  /**
   * Takes a new image. It has its name when all of it is there, and never that of another.
   * @param length bytes that are announced; fewer or more are refused
   * @throws UserError with one sentence
   */
  async add(name: string, bytes: Readable, length: number): Promise<void> {
    if (!IMAGE.test(name) || name !== basename(name) || name.startsWith('.') || !isPlain(name))
      throw new UserError(`'${name.slice(0, 100)}' is no name for an image: it ends in .iso or .img, and has no slash`)
    if (this.#uploads >= MOST_UPLOADS)
      throw new UserError(`${MOST_UPLOADS} files are being uploaded already: try again when one is there`)
    const path = join(this.#path, name)
    const part = join(this.#path, `.${name}.part`)
    this.#uploads++
    try {
      if (await exists(path)) throw new UserError(`'${name}' is in the folder already`)
      let taken = 0
      const counted = async function* (source: AsyncIterable<Buffer>) {
        for await (const chunk of source) {
          taken += chunk.length
          if (taken > length) throw new UserError('more came than was announced')
          yield chunk
        }
        if (taken < length) throw new UserError('the upload broke off')
      }
      await pipeline(bytes, counted, createWriteStream(part, { flags: 'wx' })).catch(async error => {
        // Somebody else's upload of that name stays.
        if ((error as NodeJS.ErrnoException).code === 'EEXIST')
          throw new UserError(`'${name}' is being uploaded already`)
        await rm(part, { force: true })
        throw error
      })
      await link(part, path).finally(() => rm(part, { force: true }))
    } catch (error) {
      if (error instanceof UserError) throw error
      throw new UserError(`'${name}' could not be kept: ${reasonOf(error)}`)
    } finally {
      this.#uploads--
    }
  }
}

/** Whether a name has no control characters and is not too long. */
function isPlain(name: string): boolean {
  return name.length <= 200 && [...name].every(character => character >= ' ' && character !== '\x7f')
}

async function exists(path: string): Promise<boolean> {
  return lstat(path).then(
    () => true,
    () => false,
  )
}
