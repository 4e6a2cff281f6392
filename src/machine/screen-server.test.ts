import assert from 'node:assert/strict'
import { test } from 'node:test'
import { randomBelow } from '../devices/test-random.ts'
import type { FromWorker } from './messages.ts'
import { ScreenServer } from './screen-server.ts'

/** A host whose time passes when the test says so, and whose timers are late by what the test says. */
class TestHost {
  time = 0
  late = () => 0
  readonly #timers: { at: number; callback: () => void }[] = []

  now = () => this.time

  after = (milliseconds: number, callback: () => void) => {
    const timer = { at: this.time + milliseconds + this.late(), callback }
    this.#timers.push(timer)
    return () => void (this.#timers.includes(timer) && this.#timers.splice(this.#timers.indexOf(timer), 1))
  }

  /** Lets time pass, and what is due happen. */
  run(until: number): void {
    for (;;) {
      this.#timers.sort((a, b) => a.at - b.at)
      if (this.#timers.length === 0 || this.#timers[0].at > until) break
      const { at, callback } = this.#timers.shift()!
      this.time = Math.max(this.time, at)
      callback()
    }
    this.time = Math.max(this.time, until)
  }
}

/** A screen that is watched by somebody who takes each picture after a while. */
function watch(host: TestHost, { cost, changed }: { cost(): number; changed(): boolean }) {
  const counts = { looked: 0, told: 0, drawing: 0 }
  const display = {
    picture: { width: 8, height: 8 },
    cells: () => undefined,
    update() {
      counts.looked++
      const spent = cost()
      counts.drawing += spent
      host.time += spent
      return changed() ? [[0, 0, 8, 8] as const] : []
    },
  }
  const server = new ScreenServer(
    display,
    (message: FromWorker) => {
      if (message.type !== 'screen-changed') return
      counts.told++
      host.after(3, () => server.taken())
    },
    host,
  )
  server.watch(true)
  return counts
}

test('60 pictures a second are told although every timer is late', () => {
  const host = new TestHost()
  const random = randomBelow(7)
  host.late = () => random(9)
  const counts = watch(host, { cost: () => 1, changed: () => true })
  host.run(10_000)
  assert.ok(counts.told >= 590 && counts.told <= 602, `${counts.told} in ten seconds`)
})

test('a guest that draws 60 times a second is seen 60 times', () => {
  const host = new TestHost()
  const random = randomBelow(3)
  host.late = () => random(3)
  let seen = -1
  // Its own timer is late by up to two milliseconds, and then it draws for two.
  const late = Array.from({ length: 601 }, () => random(3) + 2)
  const counts = watch(host, {
    cost: () => 0.5,
    changed() {
      let frame = Math.floor((host.time * 60) / 1000)
      if ((frame * 1000) / 60 + late[frame] > host.time) frame--
      const isNew = frame > seen
      seen = frame
      return isNew
    },
  })
  host.run(10_000)
  assert.ok(counts.told >= 580 && counts.told <= 602, `${counts.told} of 600`)
})

test('a screen on which nothing happens is looked at 60 times a second', () => {
  const host = new TestHost()
  const counts = watch(host, { cost: () => 0.1, changed: () => false })
  host.run(10_000)
  assert.equal(counts.told, 1)
  assert.ok(counts.looked <= 640, `${counts.looked} looks`)
})

test('drawing takes a fifth of the time at most, and once that the host stood still changes nothing', () => {
  const host = new TestHost()
  const costly = watch(host, { cost: () => 20, changed: () => true })
  // It takes a while until that is no chance any more.
  host.run(5000)
  costly.drawing = 0
  host.run(10_000)
  assert.ok(costly.drawing <= 1040, `${costly.drawing} ms of 5000`)
  const other = new TestHost()
  const cheap: ReturnType<typeof watch> = watch(other, {
    cost: () => (cheap.looked % 20 === 0 ? 40 : 1),
    changed: () => true,
  })
  other.run(10_000)
  assert.ok(cheap.told > 560, `${cheap.told} in ten seconds`)
})
