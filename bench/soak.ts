/**
 * Runs the default guest for a long time with varied work and watches what the machine keeps: `bin/node-new-enough bench/soak.ts --help`.
 */
import { parseArgs } from 'node:util'
import { startShell } from './shell.ts'

const HELP = `bin/node-new-enough bench/soak.ts [options]

Boots the default guest and lets its shell work, round after round: loops and pipes of the shell, gzip, awk, sort, sha256sum,
scripts that no round has run before. After each round a line tells what the machine keeps: resident memory of the
process, records of decoded instructions, bytes of WebAssembly compiled and what of it was dropped.

  --minutes N      how long; default 60
  --engine NAME    auto (default), interpreter, translator

The status is 1 when after the first third of the time resident memory grew by more than a tenth, or records left their bound.
`

/** Megabytes. */
const MIB = 2 ** 20
/** What records may take: twice the bound, should everything of a round be in use. */
const MOST_RECORDS = 16 * MIB
const GROWTH = 1.1

const { values } = parseArgs({
  options: {
    minutes: { type: 'string', default: '60' },
    engine: { type: 'string', default: 'auto' },
    help: { type: 'boolean', default: false },
  },
})
if (values.help) {
  process.stdout.write(HELP)
  process.exit(0)
}
const minutes = Number(values.minutes)
if (!(minutes > 0)) {
  console.error(`soak: --minutes ${values.minutes}: give a number above zero`)
  process.exit(2)
}

/** A round's work; numbers change, so that scripts and data do. */
const ROUND = (n: number): string =>
  [
    `i=0; while [ $i -lt ${3000 + (n % 7) * 100} ]; do i=$((i+1)); done`,
    `dd if=/dev/urandom of=/tmp/r bs=1k count=${200 + (n % 50)} 2>/dev/null; gzip -9 -c /tmp/r | gunzip -c | sha256sum`,
    `seq ${20000 + n} | awk '{ s${n} += $1 * ${n + 1} % 7; a[$1 % 97] = s${n} } END { print s${n} }'`,
    `seq ${5000 + n} | sort -r | sed 's/${n % 10}/x/g' | grep -c x`,
    `for f in /bin/* /sbin/*; do echo $f; done | wc -l; ls -lR /sys 2>/dev/null | md5sum`,
    `f${n}() { echo $(( $1 * ${n} )); }; for k in 1 2 3 4 5 6 7 8 9; do f${n} $k; done | tail -1`,
    'rm -f /tmp/r',
  ].join('; ')

const { machine, run } = await startShell({ engine: values.engine as 'auto' })

const rows: { minutes: number; resident: number; records: number }[] = []
const from = performance.now()
console.log('minutes  round  resident MiB  records MiB  trims  flushes  regions  dropped  WebAssembly MiB')
for (let n = 0; (performance.now() - from) / 60_000 < minutes; n++) {
  await run(ROUND(n))
  const { engineStats: s } = await machine.stats()
  const row = {
    minutes: (performance.now() - from) / 60_000,
    resident: process.memoryUsage.rss() / MIB,
    records: s.recordBytes ?? 0,
  }
  rows.push(row)
  const cells = [
    ...[row.minutes.toFixed(1).padStart(7), String(n).padStart(5), row.resident.toFixed(0).padStart(12)],
    ...[(row.records / MIB).toFixed(1).padStart(11), String(s.trims).padStart(5), String(s.flushes).padStart(7)],
    ...[
      String(s.regions ?? 0).padStart(7),
      String(s.dropped ?? 0).padStart(7),
      (s.codeBytes / MIB).toFixed(1).padStart(15),
    ],
  ]
  console.log(cells.join('  '))
}
const settled = rows.filter(row => row.minutes >= minutes / 3)
const half = Math.ceil(settled.length / 2)
const most = (part: typeof rows) => Math.max(...part.map(row => row.resident))
const grew = settled.length > 1 ? most(settled.slice(half)) / most(settled.slice(0, half)) : 1
const records = Math.max(...rows.map(row => row.records))
console.log(
  `resident memory of the last third against the second: ${grew.toFixed(3)}; most records ${(records / MIB).toFixed(1)} MiB`,
)
process.exit(grew > GROWTH || records > MOST_RECORDS ? 1 : 0)
