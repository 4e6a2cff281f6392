import assert from 'node:assert/strict'
import { test } from 'node:test'
import { type Cell, type Conditions, emptyCell, measureBoot, measurePrograms } from './measure.ts'

/** A guest that is a shell script: it gets the `bench=` word as $1. */
const conditions = (script: string, timeout = 20): Conditions => ({
  command: (_, bench) => ['sh', '-c', script, 'guest', bench],
  cpu: undefined,
  timeout,
  progress: () => {},
})

const WELL = `
for name in $(echo "$1" | sed "s/^all$/one,two/" | tr , ' '); do
  printf "BEGIN $name\\r\\n"; sleep 0.5; printf "END $name\\r\\n"
  echo "BENCH $name 0.05 check=abc$name"
done
echo ALLDONE`

test('programs are timed between BEGIN and END, and their checksums kept', async () => {
  const cells = new Map<string, Cell>()
  await measurePrograms('tcg', conditions(WELL), undefined, cells)
  assert.deepEqual([...cells.keys()], ['one', 'two'])
  await measurePrograms('tcg', conditions(WELL), ['two'], cells)
  assert.equal(cells.get('one')!.samples.length, 1)
  assert.equal(cells.get('two')!.samples.length, 2)
  assert.deepEqual(cells.get('two')!.checks, ['abctwo'])
  assert.ok(cells.get('one')!.samples[0].seconds >= 0.04)
})

test('a guest that dies in a program is named, and the rest still measured', async () => {
  const cells = new Map<string, Cell>()
  const dies = WELL.replace('sleep 0.5', 'case $name in two) echo "Oops"; exit 1; esac')
  await measurePrograms('typetwo', conditions(dies), ['one', 'two', 'three'], cells)
  assert.equal(cells.get('one')!.samples.length, 1)
  assert.equal(cells.get('three')!.samples.length, 1)
  assert.match(cells.get('two')!.failure!, /Oops/)
})

test('a guest that falls silent is given up and ended', async () => {
  const cell = emptyCell()
  await measureBoot('typetwo', conditions('echo Booting; exec sleep 60', 0.3), cell)
  assert.equal(cell.samples.length, 0)
  assert.match(cell.failure!, /Booting/)
})

test('boot is from the start of the process to READY', async () => {
  const cell = emptyCell()
  await measureBoot('tcg', conditions('sleep 0.1; echo READY; exec sleep 60'), cell)
  assert.ok(cell.samples[0].seconds >= 0.1)
})

test('a command that is not there is a failure with a reason', async () => {
  const cell = emptyCell()
  await measureBoot('tcg', { ...conditions(''), command: () => ['/no/such/command'] }, cell)
  assert.match(cell.failure!, /ENOENT/)
})
