import assert from 'node:assert/strict'
import { test } from 'node:test'
import { MachineClock, NANOSECONDS_PER_INSTRUCTION, SIMULATED_EPOCH } from './clock.ts'

function hostClock() {
  const host = { time: 1000, wall: 5_000_000 }
  const clock = new MachineClock('host', { hostTime: () => host.time, hostWallTime: () => host.wall })
  return { host, clock }
}

test('host time passes only while the clock is started', () => {
  const { host, clock } = hostClock()
  host.time += 50
  assert.equal(clock.now(), 0)
  clock.start()
  host.time += 2.5
  assert.equal(clock.now(), 2_500_000)
  clock.stop()
  host.time += 1000
  assert.equal(clock.now(), 2_500_000)
  clock.start()
  host.time += 1
  assert.equal(clock.now(), 3_500_000)
  assert.equal(clock.wallTime(), 5_000_000)
})

test('a suspended host process loses no time and a host clock that steps back is ignored', () => {
  const { host, clock } = hostClock()
  clock.start()
  host.time += 3_600_000
  assert.equal(clock.now(), 3_600_000e6)
  host.time -= 10
  assert.equal(clock.now(), 3_600_000e6)
})

test('counted time follows the instructions and skips halts', () => {
  let instructions = 0
  const clock = new MachineClock('instructions')
  clock.countInstructions(() => instructions)
  instructions = 100
  assert.equal(clock.now(), 100 * NANOSECONDS_PER_INSTRUCTION)
  clock.skipTo(50_000_000)
  assert.equal(clock.now(), 50_000_000)
  clock.skipTo(1)
  instructions++
  assert.equal(clock.now(), 50_000_000 + NANOSECONDS_PER_INSTRUCTION)
  assert.equal(clock.wallTime(), SIMULATED_EPOCH + 50)
  assert.equal(clock.timestamp(), clock.now())
})

test('an engine gets exactly the instructions that fit', () => {
  const clock = new MachineClock('instructions')
  assert.equal(clock.instructionsWithin(10 * NANOSECONDS_PER_INSTRUCTION, 99), 10)
  assert.equal(clock.instructionsWithin(10 * NANOSECONDS_PER_INSTRUCTION + 1, 99), 11)
  assert.equal(clock.instructionsWithin(0, 99), 1)
  assert.equal(hostClock().clock.instructionsWithin(1000, 0.25), 250)
})

test('timers fire in order of deadline, and one armed by a callback is seen at once', () => {
  const clock = new MachineClock('instructions')
  const fired: string[] = []
  const late = clock.timer(() => fired.push('late'))
  const early = clock.timer(() => {
    fired.push('early')
    chained.arm(15)
  })
  const chained = clock.timer(() => fired.push('chained'))
  const cancelled = clock.timer(() => fired.push('cancelled'))
  late.arm(20)
  cancelled.arm(12)
  early.arm(10)
  cancelled.cancel()
  assert.equal(clock.nextDeadline(), 10)
  clock.skipTo(30)
  clock.runTimers()
  assert.deepEqual(fired, ['early', 'chained', 'late'])
  assert.equal(clock.nextDeadline(), Number.POSITIVE_INFINITY)
})

test('many timers leave the heap in order, whatever was armed again or cancelled', () => {
  const clock = new MachineClock('instructions')
  const fired: number[] = []
  let seed = 1
  const random = (n: number) => (seed = (seed * 48271) % 2147483647) % n
  const deadlines: (number | undefined)[] = []
  const timers = Array.from({ length: 200 }, (_, i) => clock.timer(() => fired.push(deadlines[i]!)))
  for (let i = 0; i < 2000; i++) {
    const which = random(timers.length)
    if (random(4) === 0) {
      timers[which].cancel()
      deadlines[which] = undefined
    } else {
      deadlines[which] = random(1000)
      timers[which].arm(deadlines[which]!)
    }
  }
  clock.skipTo(1000)
  clock.runTimers()
  assert.deepEqual(
    fired,
    deadlines.filter(deadline => deadline !== undefined).sort((a, b) => a - b),
  )
})

test('arming before every other deadline is told at once', () => {
  const clock = new MachineClock('host')
  let told = 0
  clock.onEarlierDeadline = () => told++
  const a = clock.timer(() => {})
  const b = clock.timer(() => {})
  a.arm(100)
  b.arm(200)
  assert.equal(told, 1)
  b.arm(50)
  assert.equal(told, 2)
})

test('a timer that is always due does not hold the machine up', () => {
  const clock = new MachineClock('instructions')
  let calls = 0
  const timer = clock.timer(() => {
    calls++
    timer.arm(0)
  })
  timer.arm(0)
  clock.runTimers()
  assert.ok(calls >= 1 && calls <= 1000)
})

test('counted time passes while a guest reads it over and over', () => {
  let instructions = 0
  let interruptions = 0
  const clock = new MachineClock('instructions')
  clock.countInstructions(() => instructions)
  clock.onInterruption = () => interruptions++
  const wait = (nanoseconds: number, between: number) => {
    const end = clock.poll() + nanoseconds
    for (let reads = 1; ; reads++) {
      instructions += between
      const now = clock.poll()
      assert.equal(clock.now(), now)
      if (now >= end) return [reads, now - end]
    }
  }
  const [reads, late] = wait(1_000_000, 16)
  assert.ok(reads > 50 && reads < 250, `${reads} reads of a millisecond`)
  assert.ok(late < 1_000_000 / 16, `${late} ns late`)
  // The shortest waits stay short.
  assert.ok(wait(10_000, 16)[1] < 2_000)
  // A guest that works between its reads pays for each alike.
  const before = clock.now()
  wait(1_000_000, 1000)
  assert.ok(clock.now() - before < 1_020_000)
  assert.equal(interruptions, 0)
  clock.timer(() => {}).arm(clock.now() + 500)
  clock.poll()
  assert.equal(interruptions, 1)
})

test('a guest that reads the host time over and over is noticed, one that works is not', () => {
  const { host, clock } = hostClock()
  let instructions = 0
  let interruptions = 0
  clock.countInstructions(() => instructions)
  clock.onInterruption = () => interruptions++
  clock.start()
  for (let i = 0; i < 1000; i++) {
    host.time += 0.01
    instructions += 1000
    clock.poll()
  }
  assert.equal(clock.takePolling(), 0)
  for (let i = 0; i < 20; i++) {
    host.time += 0.01
    instructions += 16
    clock.poll()
  }
  const polled = clock.takePolling()
  assert.ok(polled > 100_000 && polled < 250_000, `${polled} ns`)
  assert.equal(clock.takePolling(), 0)
  assert.ok(interruptions > 0)
})

test('in a short wait the host may stop for long without that the guest sees it at once; it is made up for', () => {
  const { host, clock } = hostClock()
  let instructions = 0
  clock.countInstructions(() => instructions)
  clock.start()
  const from = clock.poll()
  let reads = 0
  for (; clock.poll() < from + 1_000_000; reads++) {
    instructions += 16
    // Nothing of this is the guest's: the host was busy, the run loop had its turn, something was compiled.
    host.time += reads === 20 || reads === 60 ? 15 : 0.005
    if (reads === 80) {
      // What it rests is time that passes, a little more than that too, but not what a busy host makes of it.
      clock.resting(50_000)
      host.time += 5
    }
    if (reads % 16 === 0) clock.runTimers()
  }
  assert.ok(reads > 100, `a millisecond after ${reads} reads`)
  const behind = () => (host.time - 1000) * 1e6 - clock.now()
  assert.ok(behind() > 34_000_000, `${behind()} ns`)
  let latest = clock.now()
  for (let i = 0; i < 200; i++) {
    instructions += 10_000
    host.time += 1
    clock.runTimers()
    const now = clock.now()
    assert.ok(now - latest >= 1_000_000 && now - latest < 1_400_000, `${now - latest} ns in a millisecond`)
    latest = now
  }
  assert.ok(behind() < 1000, `${behind()} ns`)
  // No more than so much.
  for (let i = 0; i < 100; i++) {
    for (let j = 0; j < 10; j++) {
      instructions += 16
      clock.poll()
      host.time += 10
    }
    instructions += 1000
    clock.poll()
  }
  assert.ok(behind() < 101_000_000, `${behind()} ns`)
})
