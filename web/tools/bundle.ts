/** Bundles TypeScript for a page: modules become a few files, workers entries of their own. */
import { readFile } from 'node:fs/promises'
import { basename, dirname, resolve } from 'node:path'
import { build, type Plugin } from 'esbuild'

/** A file of a site: its path below the root, without a leading slash, and its bytes. */
export type Site = Map<string, Uint8Array>

/** How the page and the library say where a worker's module is, as every bundler understands it. */
const WORKER_URL = /new URL\('([^']+\/([^'/]+))\.ts', import\.meta\.url\)/g

/** Makes workers entries, and has the modules that start them name what becomes of them. */
function workers(found: Set<string>): Plugin {
  return {
    name: 'workers',
    setup(builder) {
      builder.onLoad({ filter: /\.ts$/ }, async ({ path }) => {
        const text = await readFile(path, 'utf8')
        if (!text.includes('new URL(')) return undefined
        const contents = text.replaceAll(WORKER_URL, (_, module: string, name: string) => {
          found.add(resolve(dirname(path), `${module}.ts`))
          return `new URL('./${name}.js', import.meta.url)`
        })
        return { contents, loader: 'ts' }
      })
    },
  }
}

/** How {@link bundle} goes about it. */
export interface BundleOptions {
  /** Makes the code small; default true. */
  minify?: boolean
}

/**
 * Bundles entries and the workers that they start, into files beside each other.
 * @param entries paths of modules and style sheets
 * @returns the files by name
 * @throws Error of esbuild with what is wrong in which file
 */
export async function bundle(entries: readonly string[], { minify = true }: BundleOptions = {}): Promise<Site> {
  const all = new Set(entries)
  for (;;) {
    const found = new Set<string>()
    const { outputFiles } = await build({
      entryPoints: [...all],
      bundle: true,
      splitting: true,
      format: 'esm',
      target: 'es2024',
      minify,
      sourcemap: 'linked',
      write: false,
      outdir: '/bundle',
      entryNames: '[name]',
      chunkNames: 'chunk-[hash]',
      logLevel: 'silent',
      // The library's main entry is that of a page.
      conditions: ['browser'],
      plugins: [workers(found)],
    })
    const more = [...found].filter(path => !all.has(path))
    if (more.length === 0) return new Map(outputFiles.map(({ path, contents }) => [basename(path), contents]))
    for (const path of more) all.add(path)
  }
}
