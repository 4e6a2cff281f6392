/** What a browser needs for a machine, and what is missing where something is. */

const HEADER = [0, 97, 115, 109, 1, 0, 0, 0]

/** The smallest modules that use what the engines' code uses besides WebAssembly's first version. */
const WASM_FEATURES: readonly { name: string; module: readonly number[] }[] = [
  { name: 'threads', module: [...HEADER, 5, 4, 1, 3, 1, 1] },
  { name: 'several memories', module: [...HEADER, 5, 5, 2, 0, 0, 0, 0] },
  {
    name: 'vectors (SIMD)',
    module: [...HEADER, 1, 5, 1, 96, 0, 1, 123, 3, 2, 1, 0, 10, 10, 1, 8, 0, 65, 0, 253, 15, 253, 98, 11],
  },
  { name: 'tail calls', module: [...HEADER, 1, 4, 1, 96, 0, 0, 3, 2, 1, 0, 10, 6, 1, 4, 0, 18, 0, 11] },
]

/** What is looked at; tests give less than the page has. */
export interface BrowserScope {
  isSecureContext?: boolean
  crossOriginIsolated?: boolean
  SharedArrayBuffer?: unknown
  Worker?: unknown
  WebAssembly?: { validate(bytes: Uint8Array<ArrayBuffer>): boolean }
}

/**
 * Why no machine can run in this page: one sentence with what is missing and what to do, or undefined.
 * @param scope default: the page
 */
export function missingForMachines(scope: BrowserScope = globalThis): string | undefined {
  const { WebAssembly: wasm } = scope
  if (!wasm || !scope.Worker)
    return `This browser has no ${wasm ? 'workers' : 'WebAssembly'}, without which no machine can run: use another, as a current Chrome or Edge.`
  const missing = WASM_FEATURES.filter(({ module }) => !wasm.validate(new Uint8Array(module))).map(({ name }) => name)
  if (missing.length > 0)
    return `This browser's WebAssembly lacks ${missing.join(' and ')}, without which no machine can run: use another, as a current Chrome or Edge.`
  if (!scope.isSecureContext)
    return 'Machines need memory that threads share, which browsers give to secure pages only: open this page by https, or as localhost.'
  if (!scope.crossOriginIsolated)
    return 'Machines need memory that threads share, which browsers give to isolated pages only: let the server send the headers “Cross-Origin-Opener-Policy: same-origin” and “Cross-Origin-Embedder-Policy: require-corp” with this page.'
  if (scope.SharedArrayBuffer === undefined)
    return 'This browser has no SharedArrayBuffer, without which no machine can run: use another, as a current Chrome or Edge.'
  return undefined
}

/** Why no disks can be kept in this browser, as {@link missingForMachines}; machines without, or with dropped files, run all the same. */
export async function missingForDisks(): Promise<string | undefined> {
  const { storage } = navigator as { storage?: { getDirectory?(): Promise<unknown> } }
  if (!storage?.getDirectory)
    return 'This browser has no private file system (OPFS), so that no disks can be kept here: use another, as a current Chrome or Edge.'
  try {
    await storage.getDirectory()
    return undefined
  } catch (error) {
    return `This browser keeps no files for this page (${(error as Error).message}), so that no disks can be kept here: leave private browsing, or allow the page to store data.`
  }
}
