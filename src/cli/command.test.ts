import assert from 'node:assert/strict'
import { test } from 'node:test'
import { manual, parseOptions, UsageError } from './command.ts'
import { RUN } from './run-options.ts'

const parse = (...words: string[]) => parseOptions(RUN, words)

test('options and their values', () => {
  assert.deepEqual(parse(), {})
  assert.deepEqual(
    parse('--memory', '1G', '--engine=translator', '--no-reboot', '--append', 'a b=c', '--memory', '2G'),
    {
      memory: '2G',
      engine: 'translator',
      'no-reboot': true,
      append: 'a b=c',
    },
  )
  assert.deepEqual(parse('--append', ''), { append: '' })
  assert.deepEqual(parse('--append=--x'), { append: '--x' })
  assert.equal(parse('--stats', '--help'), 'help')
  assert.equal(parse('-h'), 'help')
})

for (const [words, message] of [
  [['--memroy', '1G'], /^typetwo run: there is no option --memroy; did you mean --memory\? \('typetwo run --help'/],
  [['--frobnicate'], /^typetwo run: there is no option --frobnicate \('typetwo run --help'/],
  [['-m'], /there is no option -m/],
  [['--__proto__'], /there is no option --__proto__/],
  [['--memory'], /--memory needs a value, as in --memory 256M/],
  [['--memory='], /--memory needs a value/],
  [['--engine', '--stats'], /--engine needs a value, as in --engine auto/],
  [['--engine', 'kvm'], /--engine is auto, interpreter or translator, not 'kvm'/],
  [['--clock', 'sun'], /--clock is host or instructions, not 'sun'/],
  [['--stats=yes'], /--stats takes no value, but has 'yes'/],
  [['vmlinuz'], /the word 'vmlinuz' belongs to no option/],
] as const) {
  test(`refuses ${words.join(' ')}`, () => {
    assert.throws(
      () => parse(...words),
      (error: Error) => error instanceof UsageError && message.test(error.message),
    )
  })
}

test('the manual names every option and fits 80 columns', () => {
  const page = manual(RUN)
  for (const name of Object.keys(RUN.options)) assert.ok(page.includes(`  --${name}`), name)
  for (const line of page.split('\n')) assert.ok(line.length <= 80, line)
})
