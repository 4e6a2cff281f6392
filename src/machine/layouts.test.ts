import assert from 'node:assert/strict'
import { test } from 'node:test'
import { LAYOUT_NAMES, Layout } from './layouts.ts'

test('every layout types what ASCII has, and its own letters', () => {
  const own: Record<string, string> = {
    gb: '£¬€áÉ',
    de: 'äöüÄÖÜß€@µâéÈ',
    fr: 'éèçàùâêîÔëÏ€£§',
    es: 'ñÑçÇ¡¿áÉìôü€',
    it: 'èéòàùç§€',
    pt: 'çÇãõáÀâü«»€',
    se: 'åäöÅÄÖéàñü€',
  }
  for (const name of LAYOUT_NAMES) {
    const layout = new Layout(name)
    for (let code = 32; code < 127; code++) {
      const character = String.fromCharCode(code)
      // On Italian keyboards these two are not to be had.
      if (name === 'it' && '`~'.includes(character)) continue
      assert.ok(layout.strokes(character), `${name} has no ${character}`)
    }
    for (const character of own[name] ?? '') assert.ok(layout.strokes(character), `${name} has no ${character}`)
  }
})

test('the keys are the right ones', () => {
  const keys = (name: string, text: string) =>
    [...text]
      .flatMap(character => new Layout(name).strokes(character)!)
      .map(({ code, shift, altGr }) => `${shift ? 'S-' : ''}${altGr ? 'G-' : ''}${code}`)
      .join(' ')
  assert.equal(keys('us', 'aA/?"\\|'), 'KeyA S-KeyA Slash S-Slash S-Quote Backslash S-Backslash')
  assert.equal(
    keys('de', 'zy@€ß-_|<>'),
    'KeyY KeyZ G-KeyQ G-KeyE Minus Slash S-Slash G-IntlBackslash IntlBackslash S-IntlBackslash',
  )
  assert.equal(keys('de', 'é^`'), 'Equal KeyE Backquote Space S-Equal Space')
  assert.equal(keys('fr', 'aqw1m.;'), 'KeyQ KeyA KeyZ S-Digit1 Semicolon S-Comma Comma')
  assert.equal(keys('gb', '"@#~\\|'), 'S-Digit2 S-Quote Backslash S-Backslash IntlBackslash S-IntlBackslash')
  assert.equal(keys('it', '@{'), 'G-Semicolon S-G-BracketLeft')
  assert.equal(new Layout('us').strokes('ä'), undefined)
  assert.throws(() => new Layout('xx'), /^RangeError: there is no keyboard layout 'xx': choose us, gb, de/)
})
