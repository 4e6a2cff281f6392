/**
 * The tables of an image, cached: pages of its file that are read when somebody looks at them and written when the image
 * is flushed, in an order that never leaves the file inconsistent.
 */
import type { ByteFile, FilePart } from './byte-file.ts'

/** Bytes that are read at once where a page is missing. */
const READ_AHEAD = 32768
/** Most bytes of one part that is written. */
const LARGEST_PART = 2 ** 20

/**
 * When a changed page is written. Pages of {@link FRESH} are of structures that nothing on the medium refers to yet: they
 * are written first, and reach the medium before anything else is written. The others follow in order of their numbers.
 */
export type Stage = number
/** See {@link Stage}. */
export const FRESH: Stage = 0
/** The stage of a page without changes. */
const CLEAN = -1

/** A page. Its bytes may be changed within {@link Metadata.update} only. */
export interface Page {
  readonly offset: number
  readonly bytes: Uint8Array<ArrayBuffer>
  readonly view: DataView
  stage: Stage
  /** Whether somebody looked at it since pages were last dropped. */
  used: boolean
}

/** How much is kept. */
export interface MetadataOptions {
  /** Bytes of a page, a power of two; no page holds parts of two structures that are allocated apart. */
  pageSize: number
  /** Bytes of pages that are kept; default 16 MiB. */
  limit?: number
}

/** The cached pages of a file. */
export class Metadata {
  readonly pageSize: number
  readonly #file: ByteFile
  readonly #pages = new Map<number, Page>()
  readonly #changed = new Set<Page>()
  readonly #loading = new Map<number, Promise<void>>()
  readonly #most: number

  constructor(file: ByteFile, options: MetadataOptions) {
    this.#file = file
    this.pageSize = options.pageSize
    this.#most = Math.max(64, Math.floor((options.limit ?? 2 ** 24) / options.pageSize))
  }

  /** Whether there are changes that are not written. */
  get isChanged(): boolean {
    return this.#changed.size > 0
  }

  /** Whether so many pages are changed that they should be written before more are. */
  get isFull(): boolean {
    return this.#changed.size > this.#most / 2
  }

  /** The page with the byte at `offset`, if it is at hand; to be looked at before anything is awaited. */
  peek(offset: number): Page | undefined {
    const page = this.#pages.get(offset - (offset % this.pageSize))
    if (page) page.used = true
    return page
  }

  /** Calls `look` with the page that has the byte at `offset`, and the byte's place in it. */
  async look<T>(offset: number, look: (page: Page, at: number) => T): Promise<T> {
    for (;;) {
      const page = this.peek(offset)
      if (page) return look(page, offset - page.offset)
      await this.#load(offset)
    }
  }

  /** Calls `change` with the page that has the byte at `offset`, and notes that it is to be written at `stage`. */
  update<T>(offset: number, stage: Stage, change: (page: Page, at: number) => T): Promise<T> {
    return this.look(offset, (page, at) => {
      const result = change(page, at)
      this.#change(page, stage)
      return result
    })
  }

  /** Makes a range of the file, whole pages, a new structure of zeros, whatever was there. */
  fresh(offset: number, length: number): void {
    for (let at = offset; at < offset + length; at += this.pageSize) {
      const old = this.#pages.get(at)
      if (old) this.#changed.delete(old)
      this.#change(this.#insert(at, new Uint8Array(this.pageSize)), FRESH)
    }
  }

  /** Forgets a range that is no structure any more: changes to it are not written. */
  forget(offset: number, length: number): void {
    for (let at = offset - (offset % this.pageSize); at < offset + length; at += this.pageSize) {
      const page = this.#pages.get(at)
      if (page === undefined) continue
      this.#changed.delete(page)
      this.#pages.delete(at)
    }
  }

  /** What is to be written at `stage`, neighbouring pages together. */
  parts(stage: Stage): FilePart[] {
    const pages = [...this.#changed].filter(page => page.stage === stage).sort((a, b) => a.offset - b.offset)
    const parts: FilePart[] = []
    for (let i = 0; i < pages.length; ) {
      let end = i + 1
      while (
        end < pages.length &&
        pages[end].offset === pages[end - 1].offset + this.pageSize &&
        (end - i) * this.pageSize < LARGEST_PART
      )
        end++
      parts.push({ offset: pages[i].offset, bytes: join(pages.slice(i, end)) })
      i = end
    }
    return parts
  }

  /** Notes that the changes of `stage` are written. */
  written(stage: Stage): void {
    for (const page of this.#changed) {
      if (page.stage !== stage) continue
      page.stage = CLEAN
      this.#changed.delete(page)
    }
  }

  #change(page: Page, stage: Stage): void {
    // What is fresh stays so until it is written; of two stages the page has to wait for the later.
    page.stage = page.stage === FRESH ? FRESH : Math.max(page.stage, stage)
    this.#changed.add(page)
  }

  #load(offset: number): Promise<void> {
    const length = Math.max(READ_AHEAD, this.pageSize)
    const start = offset - (offset % length)
    let loading = this.#loading.get(start)
    if (loading === undefined) {
      loading = this.#read(start, length).finally(() => this.#loading.delete(start))
      this.#loading.set(start, loading)
    }
    return loading
  }

  async #read(start: number, length: number): Promise<void> {
    const bytes = new Uint8Array(length)
    await this.#file.read(start, bytes)
    for (let at = 0; at < length; at += this.pageSize) {
      // A page that appeared meanwhile is newer than what was read.
      if (!this.#pages.has(start + at)) this.#insert(start + at, bytes.slice(at, at + this.pageSize))
    }
  }

  #insert(offset: number, bytes: Uint8Array<ArrayBuffer>): Page {
    if (this.#pages.size >= this.#most) this.#drop()
    const page = { offset, bytes, view: new DataView(bytes.buffer), stage: CLEAN, used: true }
    this.#pages.set(offset, page)
    return page
  }

  /** Drops a quarter of the pages, of those that nobody looked at lately. */
  #drop(): void {
    let toDrop = this.#pages.size - Math.floor(this.#most * 0.75)
    for (const page of this.#pages.values()) {
      if (toDrop <= 0) break
      if (page.used || page.stage !== CLEAN) {
        page.used = false
        continue
      }
      this.#pages.delete(page.offset)
      toDrop--
    }
  }
}

/** A copy: the pages may change before it is written. */
function join(pages: readonly Page[]): Uint8Array {
  const bytes = new Uint8Array(pages.length * pages[0].bytes.length)
  for (const [i, page] of pages.entries()) bytes.set(page.bytes, i * page.bytes.length)
  return bytes
}
