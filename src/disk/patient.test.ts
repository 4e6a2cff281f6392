import assert from 'node:assert/strict'
import { test } from 'node:test'
import { type Disk, DiskError } from './disk.ts'
import { MemoryDisk } from './memory.ts'
import { patientDisk, type WriteHelp } from './patient.ts'

/** Help that counts, and does something each time that a write has failed. */
function helper(again: (error: Error) => Promise<void>): WriteHelp & { waiting: number } {
  return {
    waiting: 0,
    begin() {
      this.waiting++
    },
    again,
    end() {
      this.waiting--
    },
  }
}

/** A disk that has no room until it is told, and says how often it was asked. */
function fullDisk() {
  const disk = new MemoryDisk(65536)
  const state = { full: true, asked: 0 }
  const check = () => {
    state.asked++
    if (state.full) throw new DiskError('no-space', 'no room')
  }
  const full: Disk = {
    name: 'full',
    size: disk.size,
    sectorSize: 512,
    readOnly: false,
    immediate: {
      read: () => false,
      write(_offset, _from) {
        check()
        return false
      },
    },
    read: (offset, buffer) => disk.read(offset, buffer),
    async write(offset, buffer) {
      check()
      await disk.write(offset, buffer)
    },
    async writeZeroes() {
      check()
    },
    async discard() {},
    async flush() {
      check()
    },
    close: () => disk.close(),
  }
  return { full, disk, state }
}

test('a write without room waits until there is some, and is made then', async () => {
  const { full, disk, state } = fullDisk()
  const room = Promise.withResolvers<void>()
  const sentences: string[] = []
  const help = helper(error => {
    sentences.push(error.message)
    return room.promise
  })
  const patient = patientDisk(full, help)
  const bytes = new Uint8Array(512).fill(7)
  assert.equal(patient.immediate!.write(512, [bytes]), false, 'the caller is sent to the promise')
  let done = false
  const write = patient.write(512, bytes).then(() => {
    done = true
  })
  await new Promise(resolve => setTimeout(resolve, 5))
  assert.equal(done, false)
  assert.equal(help.waiting, 1)
  assert.deepEqual(sentences, ['no room'])
  await patient.read(0, new Uint8Array(512))
  state.full = false
  room.resolve()
  await write
  assert.equal(help.waiting, 0)
  const read = new Uint8Array(512)
  await disk.read(512, read)
  assert.deepEqual(read, bytes)
})

test('it asks again as often as there is still no room', async () => {
  const { full, state } = fullDisk()
  let rounds = 0
  const patient = patientDisk(
    full,
    helper(async () => {
      if (++rounds === 3) state.full = false
    }),
  )
  await patient.flush()
  assert.equal(rounds, 3)
  assert.equal(state.asked, 4)
})

test('other errors are not waited for', async () => {
  const { full } = fullDisk()
  full.write = async () => {
    throw new DiskError('input-output', 'broken')
  }
  const patient = patientDisk(
    full,
    helper(() => assert.fail('nobody can help')),
  )
  await assert.rejects(patient.write(0, new Uint8Array(512)), /broken/)
})

test('with `stop` every error is waited for but those that stay', async () => {
  const { full, state } = fullDisk()
  state.full = false
  let broken = true
  full.write = async offset => {
    if (offset > 0) throw new DiskError('out-of-range', 'too far')
    if (broken) throw new DiskError('input-output', 'broken')
  }
  const help = helper(async () => {
    broken = false
  })
  const patient = patientDisk(full, help, 'stop')
  await patient.write(0, new Uint8Array(512))
  await assert.rejects(patient.write(512, new Uint8Array(512)), /too far/)
  assert.equal(help.waiting, 0)
})
