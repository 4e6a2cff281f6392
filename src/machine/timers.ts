/** One-shot timers in order of deadline: a binary heap whose entries know their place. */
import type { Timer } from '../devices/bus.ts'

/** A timer of a {@link TimerHeap}. */
export class HeapTimer implements Timer {
  /** Nanoseconds of the clock; meaningful while armed. */
  deadline = Number.POSITIVE_INFINITY
  /** The order of arming, which decides between equal deadlines. */
  order = 0
  /** The place in the heap's array, or -1 while not armed. */
  place = -1
  readonly #heap: TimerHeap
  readonly #callback: () => void
  readonly #onEarliest: () => void

  /**
   * @param heap where it waits
   * @param callback what it does when it fires
   * @param onEarliest called when arming made this the earliest of all
   */
  constructor(heap: TimerHeap, callback: () => void, onEarliest: () => void) {
    this.#heap = heap
    this.#callback = callback
    this.#onEarliest = onEarliest
  }

  arm(deadline: number): void {
    if (Number.isNaN(deadline)) throw new Error('a timer needs a number as its deadline')
    const before = this.#heap.earliest()
    this.#heap.remove(this)
    if (deadline === Number.POSITIVE_INFINITY) return
    this.#heap.add(this, deadline)
    if (deadline < before) this.#onEarliest()
  }

  cancel(): void {
    this.#heap.remove(this)
  }

  /** Runs the callback. The heap has let go of the timer before, so the callback may arm it again. */
  fire(): void {
    this.#callback()
  }
}

/** A binary min-heap of timers by deadline, then by order of arming. */
export class TimerHeap {
  readonly #heap: HeapTimer[] = []
  #orders = 0

  /** The earliest deadline, or Infinity. */
  earliest(): number {
    return this.#heap.length > 0 ? this.#heap[0].deadline : Number.POSITIVE_INFINITY
  }

  /** Takes out the timer with the earliest deadline. */
  takeEarliest(): HeapTimer | undefined {
    const timer = this.#heap[0]
    if (timer) this.remove(timer)
    return timer
  }

  /** Puts `timer`, which is not in the heap, at its place. */
  add(timer: HeapTimer, deadline: number): void {
    timer.deadline = deadline
    timer.order = this.#orders++
    this.#heap.push(timer)
    timer.place = this.#heap.length - 1
    this.#up(timer.place)
  }

  /** Takes `timer` out if it is in. */
  remove(timer: HeapTimer): void {
    const place = timer.place
    if (place < 0) return
    timer.place = -1
    const last = this.#heap.pop()!
    if (last === timer) return
    this.#heap[place] = last
    last.place = place
    this.#up(place)
    this.#down(last.place)
  }

  #before(a: HeapTimer, b: HeapTimer): boolean {
    return a.deadline < b.deadline || (a.deadline === b.deadline && a.order < b.order)
  }

  #swap(i: number, j: number): void {
    const a = this.#heap[i]
    const b = this.#heap[j]
    this.#heap[i] = b
    this.#heap[j] = a
    a.place = j
    b.place = i
  }

  #up(place: number): void {
    while (place > 0) {
      const parent = (place - 1) >> 1
      if (!this.#before(this.#heap[place], this.#heap[parent])) return
      this.#swap(place, parent)
      place = parent
    }
  }

  #down(place: number): void {
    for (;;) {
      let least = place
      for (const child of [2 * place + 1, 2 * place + 2])
        if (child < this.#heap.length && this.#before(this.#heap[child], this.#heap[least])) least = child
      if (least === place) return
      this.#swap(place, least)
      place = least
    }
  }
}
