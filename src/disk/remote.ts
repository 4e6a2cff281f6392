/** A disk on the other side of a channel: a program serves its disk in one thread, the machine in another uses it. */
import { type Disk, DiskError, type DiskErrorCode } from './disk.ts'

/** One end of a channel of structured-cloneable messages: a worker, or a `MessagePort` seen so. */
export interface Channel {
  postMessage(message: unknown, transfer?: ArrayBuffer[]): void
  onMessage(listener: (message: unknown) => void): void
}

/** The first message: what is served. */
interface Hello {
  disk: Pick<Disk, 'name' | 'size' | 'sectorSize' | 'readOnly'>
}

type Request = { id: number } & (
  | { kind: 'read' | 'writeZeroes' | 'discard'; offset: number; length: number }
  | { kind: 'write'; offset: number; bytes: Uint8Array }
  | { kind: 'flush' | 'close' }
)

type Answer = { id: number } & ({ bytes?: Uint8Array } | { error: string; code: DiskErrorCode })

/** Answers the requests that {@link remoteDisk} makes at the channel's other end, until the disk is closed from there. */
export function serveDisk(disk: Disk, channel: Channel): void {
  channel.onMessage(async message => {
    const request = message as Request
    try {
      const bytes = await perform(disk, request)
      channel.postMessage({ id: request.id, bytes } satisfies Answer, bytes && [bytes.buffer as ArrayBuffer])
    } catch (error) {
      const code = error instanceof DiskError ? error.code : 'input-output'
      channel.postMessage({ id: request.id, error: String((error as Error)?.message ?? error), code } satisfies Answer)
    }
  })
  const { name, size, sectorSize, readOnly } = disk
  channel.postMessage({ disk: { name, size, sectorSize, readOnly } } satisfies Hello)
}

async function perform(disk: Disk, request: Request): Promise<Uint8Array | undefined> {
  switch (request.kind) {
    case 'read': {
      const bytes = new Uint8Array(request.length)
      await disk.read(request.offset, bytes)
      return bytes
    }
    case 'write':
      await disk.write(request.offset, request.bytes)
      return
    case 'writeZeroes':
    case 'discard':
      await disk[request.kind](request.offset, request.length)
      return
    case 'flush':
    case 'close':
      await disk[request.kind]()
  }
}

/**
 * The disk that {@link serveDisk} serves at the channel's other end. Its errors have the codes and sentences of there.
 * @returns it, when the other end has said what it is
 */
export async function remoteDisk(channel: Channel): Promise<Disk> {
  const waiting = new Map<number, { resolve(bytes: Uint8Array | undefined): void; reject(error: Error): void }>()
  let next = 0
  const hello = Promise.withResolvers<Hello['disk']>()
  channel.onMessage(message => {
    if ('disk' in (message as Hello)) return hello.resolve((message as Hello).disk)
    const answer = message as Answer
    const request = waiting.get(answer.id)
    waiting.delete(answer.id)
    if ('error' in answer) request?.reject(new DiskError(answer.code, answer.error))
    else request?.resolve(answer.bytes)
  })
  const ask = (request: object, transfer?: ArrayBuffer[]) =>
    new Promise<Uint8Array | undefined>((resolve, reject) => {
      waiting.set(next, { resolve, reject })
      channel.postMessage({ id: next++, ...request }, transfer)
    })
  let closed: Promise<void> | undefined
  const told = await hello.promise
  return {
    ...told,
    async read(offset, buffer) {
      buffer.set((await ask({ kind: 'read', offset, length: buffer.length }))!)
    },
    async write(offset, buffer) {
      // A copy: memory that is shared would travel as it is and could change on the way.
      const bytes = new Uint8Array(buffer)
      await ask({ kind: 'write', offset, bytes }, [bytes.buffer])
    },
    async writeZeroes(offset, length) {
      await ask({ kind: 'writeZeroes', offset, length })
    },
    async discard(offset, length) {
      await ask({ kind: 'discard', offset, length })
    },
    async flush() {
      await ask({ kind: 'flush' })
    },
    close() {
      return (closed ??= ask({ kind: 'close' }).then(() => {}))
    },
  }
}
