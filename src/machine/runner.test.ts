import assert from 'node:assert/strict'
import { test } from 'node:test'
import type { Exit } from '../engines/contract.ts'
import { type ClockKind, MachineClock, NANOSECONDS_PER_INSTRUCTION } from './clock.ts'
import { type MachineEvent, Runner, type RunnerHost } from './runner.ts'

/** A host whose time passes by executing (a microsecond for each run) and by waiting, and which notes its waits. */
function fakeHost() {
  const host: FakeHost = {
    time: 0,
    turns: 0,
    waits: [],
    rests: [],
    now: () => host.time,
    rest: milliseconds => {
      host.rests.push(milliseconds)
      host.time += milliseconds
    },
    turn: async () => {
      host.turns++
    },
    after: (milliseconds: number, callback: () => void) => {
      host.waits.push(milliseconds)
      let cancelled = false
      queueMicrotask(() => {
        if (cancelled) return
        host.time += Math.min(milliseconds, 1e9)
        if (host.onSleep) host.onSleep()
        else callback()
      })
      return () => {
        cancelled = true
      }
    },
  }
  return host
}

interface FakeHost extends RunnerHost {
  time: number
  turns: number
  waits: number[]
  rests: number[]
  /** Called when the runner sleeps, instead of waking it. */
  onSleep?: () => void
}

/** A machine whose engine does what `step` says. */
function fakeMachine(kind: ClockKind, step: (budget: number, machine: Fake) => Exit | MachineEvent) {
  const host = fakeHost()
  let event: MachineEvent | undefined
  const machine: Fake = {
    executed: 0,
    flushes: true,
    budgets: [],
    slices: [],
    clock: new MachineClock(kind, { hostTime: () => host.time, hostWallTime: () => 0 }),
    engine: {
      name: 'interpreter',
      run(budget) {
        machine.budgets.push(budget)
        host.time += 0.1
        const result = step(budget, machine)
        if (['budget', 'halt', 'shutdown', 'stopped'].includes(result.kind)) return result as Exit
        event = result as MachineEvent
        return { kind: 'stopped' }
      },
    },
    instructions: () => machine.executed,
    beginSlice: nanoseconds => void machine.slices.push(nanoseconds),
    takeEvent() {
      const taken = event
      event = undefined
      return taken
    },
    flush: () => machine.flushes,
  }
  machine.clock.countInstructions(() => machine.executed)
  return { host, machine, runner: new Runner(machine, host) }
}

interface Fake {
  executed: number
  flushes: boolean
  budgets: number[]
  slices: number[]
  clock: MachineClock
  engine: { name: 'interpreter'; run(budget: number): Exit }
  instructions(): number
  beginSlice(nanoseconds: number): void
  takeEvent(): MachineEvent | undefined
  flush(): boolean
}

test('a starved guest gets on with its work between timer interrupts', async () => {
  let work = 0
  let inHandler = 0
  // Each tick takes 4000 instructions, and the host executes 1000 in the time between two ticks.
  const { host, machine, runner } = fakeMachine('host', (budget, m) => {
    const most = Math.min(budget, 1000)
    const handler = Math.min(inHandler, most)
    inHandler -= handler
    work += most - handler
    m.executed += most
    host.time += (most / 1000) * 4
    return work > 100_000 || m.executed > 1_000_000 ? { kind: 'poweroff' } : { kind: 'budget' }
  })
  const timer = machine.clock.timer(() => {
    inHandler += 4000
    timer.arm(machine.clock.now() + 4_000_000)
  })
  timer.arm(4_000_000)
  await runner.run()
  assert.ok(work > 100_000, `${work} of ${machine.executed} instructions were the guest's own`)
})

test('where time is counted, a timer fires exactly at its instruction', async () => {
  const firedAt: number[] = []
  const { machine, runner } = fakeMachine('instructions', (budget, fake) => {
    fake.executed += budget
    return fake.executed >= 5000 ? { kind: 'poweroff' } : { kind: 'budget' }
  })
  const timer = machine.clock.timer(() => {
    firedAt.push(machine.executed)
    if (firedAt.length < 3) timer.arm(machine.clock.now() + 1000 * NANOSECONDS_PER_INSTRUCTION)
  })
  timer.arm(1500 * NANOSECONDS_PER_INSTRUCTION)
  assert.deepEqual(await runner.run(), { kind: 'poweroff' })
  assert.deepEqual(firedAt, [1500, 2500, 3500])
})

test('where time is counted, a halt takes no host time until the next timer', async () => {
  let halts = 0
  const { host, machine, runner } = fakeMachine('instructions', () =>
    halts++ < 5 ? { kind: 'halt' } : { kind: 'poweroff' },
  )
  const timer = machine.clock.timer(() => timer.arm(machine.clock.now() + 4_000_000))
  timer.arm(4_000_000)
  await runner.run()
  assert.equal(machine.clock.now(), 5 * 4_000_000)
  assert.deepEqual(host.waits, [])
})

test('where time is counted, an idle guest comes to sleep', async () => {
  let halts = 0
  const { host, machine, runner } = fakeMachine('instructions', () =>
    halts++ < 600 ? { kind: 'halt' } : { kind: 'poweroff' },
  )
  const timer = machine.clock.timer(() => timer.arm(machine.clock.now() + 10_000_000))
  timer.arm(10_000_000)
  await runner.run()
  assert.ok(host.waits.length > 300, `${host.waits.length} waits`)
  assert.equal(machine.clock.now(), 600 * 10_000_000)
})

test('with host time, a halted guest sleeps until its timer', async () => {
  const { host, machine, runner } = fakeMachine('host', () =>
    machine.clock.now() > 250_000_000 ? { kind: 'poweroff' } : { kind: 'halt' },
  )
  machine.clock.timer(() => {}).arm(250_000_000)
  await runner.run()
  assert.deepEqual(host.waits, [250])
})

test('with host time, no slice is longer than the time to the next deadline', async () => {
  const { machine, runner } = fakeMachine('host', (_, fake) =>
    fake.budgets.length > 40 ? { kind: 'poweroff' } : { kind: 'budget' },
  )
  const timer = machine.clock.timer(() => timer.arm(machine.clock.now() + 300_000))
  timer.arm(300_000)
  await runner.run()
  assert.ok(machine.slices.every(nanoseconds => nanoseconds <= 300_000))
})

test('the budget follows the speed that was seen', async () => {
  const { machine, runner } = fakeMachine('host', (_, fake) => {
    // A tenth of a millisecond for each run, so 0.2 instructions a nanosecond.
    fake.executed += 20_000
    return fake.budgets.length > 100 ? { kind: 'poweroff' } : { kind: 'budget' }
  })
  await runner.run()
  const last = machine.budgets.at(-1)!
  assert.ok(last > 190_000 && last < 210_000, `${last} for a millisecond`)
})

test('a busy guest lets the event loop have its turn', async () => {
  const { host, runner } = fakeMachine('host', (_, fake) =>
    fake.budgets.length > 1000 ? { kind: 'poweroff' } : { kind: 'budget' },
  )
  await runner.run()
  assert.ok(host.turns >= 10)
})

test('input wakes a halted guest', async () => {
  let woken = false
  const { host, runner } = fakeMachine('host', () => (woken ? { kind: 'poweroff' } : { kind: 'halt' }))
  host.onSleep = () => {
    woken = true
    runner.wake()
  }
  assert.deepEqual(await runner.run(), { kind: 'poweroff' })
})

test('a paused machine executes nothing and its time stands', async () => {
  const { host, machine, runner } = fakeMachine('host', () => ({ kind: 'poweroff' }))
  runner.pause()
  host.onSleep = () => {
    assert.equal(machine.budgets.length, 0)
    assert.equal(machine.clock.now(), 0)
    runner.resume()
  }
  await runner.run()
  assert.ok(machine.clock.now() < 1e6)
  assert.equal(host.waits.length, 1)
})

test('a guest whose output is not read waits', async () => {
  const { host, machine, runner } = fakeMachine('host', () => ({ kind: 'poweroff' }))
  machine.flushes = false
  host.onSleep = () => {
    assert.equal(machine.budgets.length, 0)
    machine.flushes = true
    runner.wake()
  }
  await runner.run()
  assert.equal(machine.budgets.length, 1)
})

test('a triple fault and a stop end the run', async () => {
  const faulty = fakeMachine('host', () => ({ kind: 'shutdown', reason: 'no stack' }))
  assert.deepEqual(await faulty.runner.run(), { kind: 'triple-fault', message: 'no stack' })
  const endless = fakeMachine('host', (_, fake) => {
    if (fake.budgets.length === 10) endless.runner.stop()
    return { kind: 'budget' }
  })
  assert.equal(await endless.runner.run(), undefined)
})

test('while a guest reads the host time over and over, the host rests, but not beyond a deadline', async () => {
  const { host, machine, runner } = fakeMachine('host', (_, fake) => {
    if (host.rests.length >= 3) return { kind: 'poweroff' }
    for (let i = 0; i < 30; i++) {
      fake.executed += 16
      host.time += 0.01
      fake.clock.poll()
    }
    return { kind: 'budget' }
  })
  machine.clock.timer(() => {}).arm(870_000)
  await runner.run()
  assert.deepEqual(
    host.rests.map(rest => Math.round(rest * 100)),
    [5, 8, 17],
  )
})

test('timers are on time for a guest that reads the host time over and over, on a busy host too', async () => {
  let fired = 0
  let interrupted = false
  const { host, machine, runner } = fakeMachine('host', (_, fake) => {
    if (host.time < 20) {
      host.time += 1
      fake.executed += 1000
      return { kind: 'budget' }
    }
    interrupted = false
    while (!interrupted) {
      fake.executed += 16
      host.time += 0.01
      fake.clock.poll()
    }
    return host.time > 120 ? { kind: 'poweroff' } : { kind: 'stopped' }
  })
  machine.clock.onInterruption = () => {
    interrupted = true
  }
  const timer = machine.clock.timer(() => {
    fired++
    timer.arm(machine.clock.now() + 10_000_000)
  })
  timer.arm(30_000_000)
  await runner.run()
  assert.ok(fired >= 8, `${fired} of 9 ticks`)
})
