import assert from 'node:assert/strict'
import { test } from 'node:test'
import { WaitingWrites } from './waiting-writes.ts'

/** Enough turns for promises that have settled. */
const turns = () => new Promise(resolve => setTimeout(resolve, 5))

test('the machine stops with the first write that waits and goes on after the last', async () => {
  const said: string[] = []
  const writes = new WaitingWrites({ stop: sentence => said.push(sentence), goOn: () => said.push('on') }, 1e9)
  assert.equal(writes.tryNow(), false)
  writes.begin()
  writes.begin()
  const [first, second] = [writes.again(new Error('full')), writes.again(new Error('full'))]
  assert.deepEqual(said, ['full'], 'it is told once')
  let tries = 0
  for (const wait of [first, second]) void wait.then(() => tries++)
  await turns()
  assert.equal(tries, 0)
  assert.equal(writes.tryNow(), true)
  await turns()
  assert.equal(tries, 2)
  writes.end()
  assert.deepEqual(said, ['full'])
  const third = writes.again(new Error('full'))
  assert.deepEqual(said, ['full', 'full'], 'who asked for another try hears of its failure')
  writes.tryNow()
  await third
  writes.end()
  assert.deepEqual(said, ['full', 'full', 'on'])
})

test('it tries again by itself', async () => {
  const writes = new WaitingWrites({ stop() {}, goOn() {} }, 1)
  writes.begin()
  for (let i = 0; i < 3; i++) await writes.again(new Error('full'))
  writes.end()
})
