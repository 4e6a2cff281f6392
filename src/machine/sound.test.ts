import assert from 'node:assert/strict'
import { test } from 'node:test'
import type { ToWorker } from './messages.ts'
import { SOUND_WINDOW, SoundView } from './sound.ts'

const piece = (frame: number) => ({ type: 'sound' as const, frame, samples: Int16Array.of(frame, -frame) })

test('each reader has its own samples; listening begins with the first and ends with the last', async () => {
  const posted: ToWorker[] = []
  const view = new SoundView(message => posted.push(message))
  const one = view.samples().getReader()
  const two = view.chunks().getReader()
  assert.deepEqual(posted, [{ type: 'sound-listen', on: true }])
  view.receive(piece(5))
  assert.deepEqual((await one.read()).value, Int16Array.of(5, -5))
  assert.deepEqual((await two.read()).value, { frame: 5, samples: Int16Array.of(5, -5) })
  assert.deepEqual(posted.splice(1), [{ type: 'sound-taken' }])
  await one.cancel()
  assert.equal(posted.length, 1)
  await two.cancel()
  assert.deepEqual(posted[1], { type: 'sound-listen', on: false })
})

test('a slow reader loses, and nothing grows; the end ends readers', async () => {
  const view = new SoundView(() => {})
  const reader = view.chunks().getReader()
  for (let i = 0; i < 10 * SOUND_WINDOW; i++) view.receive(piece(i))
  view.end()
  let count = 0
  while (!(await reader.read()).done) count++
  assert.equal(count, SOUND_WINDOW)
  assert.equal((await view.samples().getReader().read()).done, true)
})
