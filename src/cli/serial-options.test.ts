import assert from 'node:assert/strict'
import { test } from 'node:test'
import { parsePort, serialChoices } from './serial-options.ts'

for (const [text, expected] of [
  ['stdio', { kind: 'stdio' }],
  ['none', { kind: 'none' }],
  ['file:/var/log/a,,b,append', { kind: 'file', path: '/var/log/a,b', append: true }],
  ['file:C:log', { kind: 'file', path: 'C:log' }],
  ['tcp:localhost:4000', { kind: 'tcp', host: 'localhost', port: 4000 }],
  ['tcp::0', { kind: 'tcp', host: '127.0.0.1', port: 0 }],
  ['tcp:[::1]:22,connect', { kind: 'tcp', host: '::1', port: 22, connect: true }],
  ['unix:a:b', { kind: 'unix', path: 'a:b' }],
  ['unix:sock,connect', { kind: 'unix', path: 'sock', connect: true }],
] as const)
  test(`--serial ${text}`, () => assert.deepEqual(parsePort('serial', text), expected))

for (const [option, text, sentence] of [
  ['serial', 'telnet:x', /^--serial 'telnet:x': give stdio, none, file:PATH, tcp:HOST:PORT or unix:PATH$/],
  ['parallel', 'stdio', /^--parallel 'stdio': give none, file:PATH/],
  ['serial', '', /give stdio/],
  ['serial', 'file:', /a path is missing, as in file:console\.log$/],
  ['serial', 'file:a,connect', /'connect' means nothing here, only append may follow/],
  ['serial', 'unix:a,b', /'b' means nothing here, only connect may follow \(a comma/],
  ['serial', 'tcp:4000', /give a host and a port/],
  ['serial', 'tcp:a:70000', /give a host and a port of 0 to 65535/],
  ['serial', 'tcp:a:-1', /give a host and a port/],
] as const)
  test(`refused: --${option} '${text}'`, () => {
    assert.throws(() => parsePort(option, text), { name: 'UserError', message: sentence })
  })

test('the first is COM1; what is not named leads nowhere', () => {
  const kinds = (given?: string[]) => serialChoices(given).map(({ kind }) => kind)
  assert.deepEqual(kinds(), ['stdio', 'none', 'none', 'none'])
  assert.deepEqual(kinds(['none', 'stdio']), ['none', 'stdio', 'none', 'none'])
  assert.deepEqual(
    serialChoices([], { kind: 'none' }).map(({ kind }) => kind),
    ['none', 'none', 'none', 'none'],
  )
  assert.throws(() => serialChoices(['stdio', 'stdio']), /given twice/)
  assert.throws(() => serialChoices(Array(5).fill('none')), /a machine has 4 serial ports/)
})
