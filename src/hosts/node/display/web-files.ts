/** The files of the console's page: our own as they are, TypeScript without its types, and those of libraries. */
import { createHash } from 'node:crypto'
import { readFile } from 'node:fs/promises'
import { stripTypeScriptTypes } from 'node:module'
import { extname } from 'node:path'

/** A file to send. */
export interface PageFile {
  readonly type: string
  readonly bytes: Buffer
  /** Content-Security-Policy, of a page. */
  readonly policy?: string
}

const TYPES: Readonly<Record<string, string>> = {
  '.html': 'text/html; charset=utf-8',
  '.css': 'text/css; charset=utf-8',
  '.ts': 'text/javascript; charset=utf-8',
  '.js': 'text/javascript; charset=utf-8',
  '.mjs': 'text/javascript; charset=utf-8',
  '.svg': 'image/svg+xml',
}

/** Where paths that begin so come from. */
const FOLDERS: Readonly<Record<string, URL>> = {
  '/console/': new URL('../../../../web/console/', import.meta.url),
  '/shared/': new URL('../../../../web/shared/', import.meta.url),
  '/vendor/novnc/': new URL('../', import.meta.resolve('@novnc/novnc')),
  '/vendor/xterm/lib/': new URL('./', import.meta.resolve('@xterm/xterm')),
  '/vendor/xterm/css/': new URL('../css/', import.meta.resolve('@xterm/xterm')),
  '/vendor/addon-fit/': new URL('./', import.meta.resolve('@xterm/addon-fit')),
}

/** What the page may do, and who may have it in a frame. The terminal and noVNC set styles of their own. */
function policyOf(html: string): string {
  const [, imports] = /<script type="importmap">([\s\S]*?)<\/script>/.exec(html) ?? []
  return [
    "default-src 'none'",
    `script-src 'self' 'sha256-${createHash('sha256').update(imports).digest('base64')}'`,
    "style-src 'self' 'unsafe-inline'",
    "img-src 'self' data: blob:",
    "connect-src 'self'",
    "base-uri 'none'",
    "form-action 'none'",
    "frame-ancestors 'none'",
  ].join('; ')
}

/** The files, each read once. */
export class PageFiles {
  readonly #kept = new Map<string, Promise<PageFile | undefined>>()

  /** The file of a path, or undefined where there is none. */
  get(path: string): Promise<PageFile | undefined> {
    if (path === '/') path = '/console/index.html'
    const folder = Object.keys(FOLDERS).find(folder => path.startsWith(folder))
    const rest = path.slice(folder?.length ?? 0)
    // Nothing that leads out of the folder, and no file that a page has no use for.
    if (folder === undefined || !/^(?:[\w-]+\/)*[\w-]+(?:\.[\w-]+)+$/.test(rest) || !(extname(rest) in TYPES))
      return Promise.resolve(undefined)
    let file = this.#kept.get(path)
    if (!file) {
      file = read(new URL(rest, FOLDERS[folder]))
      this.#kept.set(path, file)
      // A path that leads nowhere is not remembered: there are as many as anybody cares to make up.
      file.then(found => {
        if (!found) this.#kept.delete(path)
      })
    }
    return file
  }
}

async function read(url: URL): Promise<PageFile | undefined> {
  const type = TYPES[extname(url.pathname)]
  let bytes: Buffer
  try {
    bytes = await readFile(url)
  } catch {
    return undefined
  }
  if (url.pathname.endsWith('.ts')) bytes = Buffer.from(stripTypeScriptTypes(bytes.toString()))
  if (url.pathname.endsWith('.html')) return { type, bytes, policy: policyOf(bytes.toString()) }
  return { type, bytes }
}
