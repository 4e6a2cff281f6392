/** Collects garbage while the guest waits: V8 by itself lets it lie until a thread allocates a good deal more. */
import { getHeapStatistics, setFlagsFromString } from 'node:v8'
import { runInNewContext } from 'node:vm'

/** What {@link collector} asks of V8; tests replace it. */
export interface Heap {
  /** Bytes that objects, alive or not, take in this thread's heap. */
  used(): number
  /** Collects all garbage at once, which takes about a millisecond for each MiB that stays. */
  collect(): void
  /** Milliseconds of a monotonic clock. */
  now(): number
}

/** Bytes of new objects that are worth a collection. */
const WORTH = 16 * 2 ** 20
/** Milliseconds between looks. */
const INTERVAL = 500

/** V8's heap of this thread. */
function threadHeap(): Heap {
  setFlagsFromString('--expose-gc')
  const gc: (options: object) => void = runInNewContext('gc')
  // A plain collection leaves most pages half empty; this one gives them back.
  const collect = () => gc({ type: 'major', execution: 'sync', flavor: 'last-resort' })
  return { used: () => getHeapStatistics().used_heap_size, collect, now: () => performance.now() }
}

/** @returns what is to be called whenever there is time for it; most calls do nothing */
export function collector(heap: Heap = threadHeap()): () => void {
  let kept = 0
  let next = Number.NEGATIVE_INFINITY
  return () => {
    const now = heap.now()
    if (now < next) return
    next = now + INTERVAL
    if (heap.used() < kept + WORTH) return
    heap.collect()
    kept = heap.used()
  }
}
