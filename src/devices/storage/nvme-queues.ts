/** Submission and completion queues of an NVMe controller (NVM Express 1.4, chapter 4), and lists of memory by PRPs. */
import type { GuestMemory } from '../bus.ts'
import { dwordAt, qwordAt, setDword, setWord, wordAt } from '../little-endian.ts'
import type { Segment } from './block.ts'

/** Bytes of an entry. */
export const SUBMISSION_BYTES = 64
const COMPLETION_BYTES = 16

/** A submission queue; plain for snapshots. */
export interface SubmissionQueue {
  id: number
  address: number
  size: number
  head: number
  tail: number
  completion: number
}

/** A completion queue. */
export interface CompletionQueue {
  id: number
  address: number
  size: number
  head: number
  tail: number
  phase: number
  vector: number
  interrupts: boolean
  /** Entries that found the queue full, in order: they are posted when the host has made room. */
  waiting: CompletionEntry[]
}

/** What the host is told of a command. */
export interface CompletionEntry {
  command: number
  submission: number
  head: number
  status: number
  result: number
}

/** A command as it lies in a submission queue. */
export interface NvmeCommand {
  opcode: number
  flags: number
  id: number
  namespace: number
  prp1: number
  prp2: number
  /** Command dwords 10 to 15. */
  dwords: readonly number[]
}

/** Reads a command. */
export function readCommand(memory: GuestMemory, at: number): NvmeCommand {
  const bytes = memory.read(at, SUBMISSION_BYTES)
  return {
    opcode: bytes[0],
    flags: bytes[1],
    id: wordAt(bytes, 2),
    namespace: dwordAt(bytes, 4),
    prp1: qwordAt(bytes, 24),
    prp2: qwordAt(bytes, 32),
    dwords: [40, 44, 48, 52, 56, 60].map(offset => dwordAt(bytes, offset)),
  }
}

/** Whether a completion queue has no room. */
export function isFull(queue: CompletionQueue): boolean {
  return (queue.tail + 1) % queue.size === queue.head
}

/** Posts an entry; the queue has room. */
export function post(memory: GuestMemory, queue: CompletionQueue, entry: CompletionEntry): void {
  const bytes = new Uint8Array(COMPLETION_BYTES)
  setDword(bytes, 0, entry.result)
  setWord(bytes, 8, entry.head)
  setWord(bytes, 10, entry.submission)
  setWord(bytes, 12, entry.command)
  setWord(bytes, 14, (entry.status << 1) | queue.phase)
  memory.write(queue.address + COMPLETION_BYTES * queue.tail, bytes)
  queue.tail++
  if (queue.tail === queue.size) {
    queue.tail = 0
    queue.phase ^= 1
  }
}

/**
 * The memory of a transfer of `length` bytes (4.3): the first page from its offset on, the second page or a list of pages, lists
 * chained by their last entry.
 * @returns undefined where an entry is not the start of a page as it must be
 */
export function prpSegments(
  memory: GuestMemory,
  { prp1, prp2, length, page }: { prp1: number; prp2: number; length: number; page: number },
): Segment[] | undefined {
  const segments: Segment[] = []
  if (length === 0) return segments
  if (prp1 % 4 !== 0) return undefined
  const first = Math.min(length, page - (prp1 % page))
  segments.push({ address: prp1, length: first })
  let left = length - first
  if (left === 0) return segments
  if (left <= page) {
    if (prp2 % page !== 0) return undefined
    segments.push({ address: prp2, length: left })
    return segments
  }
  let list = prp2
  if (list % 8 !== 0) return undefined
  while (left > 0) {
    const room = (page - (list % page)) / 8
    const needed = Math.ceil(left / page)
    const bytes = memory.read(list, 8 * Math.min(room, needed))
    const entries = bytes.length / 8
    for (let i = 0; i < entries; i++) {
      const at = qwordAt(bytes, 8 * i)
      if (i === room - 1 && needed > room) {
        // A page of the list is never as good as nothing: each but the last brings it forward.
        if (at % page !== 0) return undefined
        list = at
        break
      }
      if (at % page !== 0) return undefined
      const last = segments[segments.length - 1]
      const count = Math.min(page, left)
      if (last.address + last.length === at) last.length += count
      else segments.push({ address: at, length: count })
      left -= count
    }
  }
  return segments
}
