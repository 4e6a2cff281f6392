import assert from 'node:assert/strict'
import { test } from 'node:test'
import { PatientPeer } from './patient-peer.ts'
import { SerialChannel } from './serial-channel.ts'
import { SerialHub } from './serial-hub.ts'

const encode = (text: string) => new TextEncoder().encode(text)
const turn = () => new Promise(resolve => setImmediate(resolve))

/** A port whose guest is the test. */
function setUp(options = {}) {
  let input = ''
  let credit = 0
  const connected: boolean[] = []
  const channel = new SerialChannel(
    bytes => {
      input += Buffer.from(bytes).toString()
    },
    count => {
      credit += count
    },
    value => void connected.push(value),
  )
  const hub = new SerialHub(channel, options)
  return { channel, hub, connected, input: () => input, credit: () => credit }
}

/** A peer that keeps what it gets. */
function listener() {
  const got = {
    text: '',
    ended: false,
    receive(bytes: Uint8Array) {
      got.text += Buffer.from(bytes).toString()
    },
    end() {
      got.ended = true
    },
  }
  return got
}

test('all peers get everything, the guest gets what any of them sends, and hears who is there', async () => {
  const { channel, hub, connected, input } = setUp()
  assert.deepEqual(connected, [false])
  const peers = [listener(), listener()]
  const plugs = peers.map(peer => hub.attach(peer))
  channel.deliver(encode('hello '))
  await turn()
  plugs[0].detach()
  channel.deliver(encode('world'))
  await turn()
  await plugs[0].send(encode('lost'))
  await plugs[1].send(encode('kept'))
  assert.deepEqual(
    peers.map(({ text }) => text),
    ['hello ', 'hello world'],
  )
  assert.equal(input(), 'kept')
  plugs[1].detach()
  plugs[1].detach()
  assert.deepEqual(connected, [false, true, false])
  channel.end()
  await hub.ended
  assert.equal(peers[1].ended, false)
})

test('what nobody heard is for the first who listens, bounded; a record does not listen', async () => {
  const { channel, hub, credit } = setUp()
  const record = listener()
  hub.attach(record, { listens: false })
  const piece = 'x'.repeat(1000)
  for (let i = 0; i < 600; i++) {
    channel.deliver(encode(`${i} ${piece.slice(i < 300 ? 900 : 0)}`))
    await turn()
  }
  assert.equal(credit(), record.text.length, 'the guest is not held back')
  const [first, second] = [listener(), listener()]
  hub.attach(first)
  hub.attach(second)
  await turn()
  assert.ok(first.text.length >= 64 * 1024 && first.text.length < 66 * 1024, String(first.text.length))
  assert.ok(record.text.endsWith(first.text))
  assert.ok(first.text.endsWith(`599 ${piece}`))
  assert.equal(second.text, '')
  channel.end()
  await hub.ended
  assert.ok(first.ended && second.ended && record.ended)
  const late = listener()
  hub.attach(late)
  await turn()
  assert.equal(late.ended, true)
})

test('a peer that takes its time holds the guest back, until it is unplugged', async () => {
  const { channel, hub, credit } = setUp()
  const plug = hub.attach({ receive: () => new Promise(() => {}) })
  channel.deliver(encode('1'))
  channel.deliver(encode('2'))
  await turn()
  assert.equal(credit(), 1)
  plug.detach()
  await turn()
  assert.equal(credit(), 2)
  channel.end()
  await hub.ended
})

test('a peer that fails is unplugged; a lasting one leaves the cable in', async () => {
  const { channel, hub, connected } = setUp()
  hub.attach({ receive: () => Promise.reject(new Error('broken')) })
  channel.deliver(encode('1'))
  await turn()
  await turn()
  assert.equal(hub.peers, 0)
  hub.attach(listener(), { lasting: true }).detach()
  assert.deepEqual(connected, [false, true, false, true])
})

test('a stalled reader delays the guest once, then loses what does not fit, and gets what comes after', async () => {
  const queue: { text: string; taken: () => void }[] = []
  const write = (bytes: Uint8Array) =>
    new Promise<void>(taken => void queue.push({ text: Buffer.from(bytes).toString(), taken }))
  const peer = new PatientPeer(write, () => {}, { limit: 8, milliseconds: 20 })
  await peer.receive(encode('1234'))
  await peer.receive(encode('5678'))
  assert.equal(peer.dropped, 0)
  await peer.receive(encode('lost'))
  await peer.receive(encode('lost'))
  assert.equal(peer.dropped, 8)
  queue[0].taken()
  await turn()
  await peer.receive(encode('lost'))
  assert.equal(peer.dropped, 12, 'also while some of it is on its way')
  queue[1].taken()
  await turn()
  await peer.receive(encode('next'))
  assert.deepEqual(
    queue.map(({ text }) => text),
    ['1234', '5678', 'next'],
  )
})

test('a slow reader is waited for', async () => {
  const taken: string[] = []
  const write = async (bytes: Uint8Array) => {
    await turn()
    taken.push(Buffer.from(bytes).toString())
  }
  const peer = new PatientPeer(write, () => {}, { limit: 1, milliseconds: 60_000 })
  for (let i = 0; i < 100; i++) await peer.receive(encode(`${i}`))
  assert.equal(taken.join(), Array.from({ length: 100 }, (_, i) => i).join())
  assert.equal(peer.dropped, 0)
  await assert.rejects(
    new PatientPeer(
      () => Promise.reject(new Error('gone')),
      () => {},
      { limit: 1 },
    ).receive(encode('1')),
    /gone/,
  )
})
