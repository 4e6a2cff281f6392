import assert from 'node:assert/strict'
import { test } from 'node:test'
import { DiskWait, threadTimes } from './disk-wait.ts'

/** A host on which a request takes so long, of which so much is spent waiting for a processor. */
function host(tells = true) {
  const times = { now: 0, waited: 0, asked: 0 }
  const wait = new DiskWait({
    now: () => times.now,
    waited: () => {
      times.asked++
      return tells ? times.waited : undefined
    },
    close() {},
  })
  const request = (took: number, waited = 0) => {
    wait.begin()
    times.now += took
    times.waited += waited
    return wait.end(1)
  }
  return { times, request }
}

test('a disk that is slow is told from a host that is busy', () => {
  const { request } = host()
  assert.equal(request(0.1), false)
  assert.equal(request(8, 7.9), false, 'nobody measured the first')
  assert.equal(request(8, 7.9), false, 'the processor was busy')
  assert.equal(request(8, 6.5), true, 'the disk took 1.5 ms')
  assert.equal(request(5), true)
})

test('a host that does not tell is taken to be slow at disks', () => {
  const { request } = host(false)
  assert.equal(request(0.1), false)
  assert.equal(request(5), true)
})

test('requests that the cache answers are not measured', () => {
  const { request, times } = host()
  for (let i = 0; i < 1000; i++) request(0.1)
  assert.equal(times.asked, 0)
  request(2)
  for (let i = 0; i < 1000; i++) request(0.1)
  assert.equal(times.asked, 5)
})

test('the host counts up, and closing twice is nothing', { skip: process.platform !== 'linux' }, () => {
  const times = threadTimes()
  const first = times.waited()
  if (first === undefined) return
  for (const end = times.now() + 20; times.now() < end; );
  assert.ok(times.waited()! >= first)
  times.close()
  times.close()
})
