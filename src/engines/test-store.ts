/** A store for tests. */
import type { CodeStore } from './code-store.ts'

/** Keeps everything in this process. */
export class MemoryStore implements CodeStore {
  readonly kept = new Map<string, Uint8Array<ArrayBuffer>>()
  read(name: string): Uint8Array<ArrayBuffer> | undefined {
    return this.kept.get(name)
  }
  write(name: string, bytes: Uint8Array): void {
    this.kept.set(name, new Uint8Array(bytes))
  }
}
