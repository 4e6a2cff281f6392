import assert from 'node:assert/strict'
import { test } from 'node:test'
import { displayChoices, parseDisplay } from './display-options.ts'

test('displays are understood', () => {
  assert.deepEqual(parseDisplay('none'), { kind: 'none' })
  assert.deepEqual(parseDisplay('vnc=127.0.0.1:5900'), { kind: 'vnc', host: '127.0.0.1', port: 5900 })
  assert.deepEqual(parseDisplay('vnc=5901'), { kind: 'vnc', host: '127.0.0.1', port: 5901 })
  assert.deepEqual(parseDisplay('vnc=:0'), { kind: 'vnc', host: '127.0.0.1', port: 0 })
  assert.deepEqual(parseDisplay('vnc=[::1]:5900,password-file=a,,b,tls-cert=c=d,tls-key=e'), {
    kind: 'vnc',
    host: '::1',
    port: 5900,
    passwordFile: 'a,b',
    certificate: { cert: 'c=d', key: 'e' },
  })
  assert.deepEqual(parseDisplay('web=0.0.0.0:8080,media=isos,host-name=box.example'), {
    kind: 'web',
    host: '0.0.0.0',
    port: 8080,
    mediaFolder: 'isos',
    hostName: 'box.example',
  })
  assert.deepEqual(displayChoices(['none']), [])
  assert.deepEqual(displayChoices(), [])
})

test('what is wrong with a display is one sentence', () => {
  for (const [text, sentence] of [
    ['', /^--display '': give none/],
    ['vga', /: give none/],
    ['vnc', /: give a host and a port, as in vnc=127\.0\.0\.1:5900$/],
    ['web', /as in web=127\.0\.0\.1:8080$/],
    ['vnc=localhost', /: give a host and a port of 0 to 65535, as in vnc=127\.0\.0\.1:5900$/],
    ['vnc=localhost:70000', /: give a host and a port of 0 to 65535/],
    ['vnc=localhost:5900,pasword-file=x', /there is no 'pasword-file'; did you mean password-file\?/],
    ['vnc=localhost:5900,password-file', /password-file needs a value, as in password-file=PATH$/],
    ['vnc=localhost:5900,tls-cert=x', /give both tls-cert and tls-key$/],
  ] as const)
    assert.throws(() => parseDisplay(text), { name: 'UserError', message: sentence })
  assert.throws(() => displayChoices(['none', 'vnc=5900']), /--display none stands alone/)
})
