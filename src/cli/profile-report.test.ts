import assert from 'node:assert/strict'
import { test } from 'node:test'
import type { Profile, Stats } from '../index.ts'
import { formatProfile } from './profile-report.ts'
import { SymbolTable } from './symbols.ts'

const ACTIVITIES: Stats['activities'] = [
  { name: 'asleep', group: 'asleep', count: 3 },
  { name: 'interpreter', group: 'interpreter', count: 9 },
  { name: 'translated code', group: 'translator', count: 0 },
  { name: 'port I/O', group: 'exits', count: 1234 },
  { name: 'service cpuid', group: 'exits', count: 0 },
]

const PROFILE: Profile = {
  samples: 2000,
  milliseconds: 4000,
  activities: [1000, 200, 700, 100, 0],
  addresses: [
    { address: 0xffffffff81000010n, user: false, samples: 500, translated: 500 },
    { address: 0xffffffff81000040n, user: false, samples: 300, translated: 200 },
    { address: 0x401000n, user: true, samples: 200, translated: 0 },
  ],
  elsewhere: 0,
  systemCallEntries: { lstar: 0n, sysenter: 0n },
}

test('shares are of the time awake; kinds have counts and times', () => {
  assert.equal(
    formatProfile(PROFILE, ACTIVITIES, undefined),
    [
      'where time went: 2,000 samples in 4.0 s, 50.0 % of them asleep; shares are of the others',
      '  translated code        1.400 s  70.0 %',
      '  interpreter            0.400 s  20.0 %',
      '  exits from guest code  0.200 s  10.0 %',
      'outside of guest code, by kind: how often, how long',
      '  port I/O  1,234  0.200 s  10.0 %',
      "guest code, by address of the block or of the region's entry (3 addresses)",
      '  ffffffff81000010  50.0 %  100 % translated',
      '  ffffffff81000040  30.0 %   67 % translated',
      '  00401000 (user)   20.0 %    0 % translated',
      '',
    ].join('\n'),
  )
})

test('with symbols what belongs to one function is one line', () => {
  const symbols = new SymbolTable([[0xffffffff81000000n, 'schedule']])
  assert.match(formatProfile(PROFILE, ACTIVITIES, symbols), /^ {2}schedule +80\.0 % +88 % translated$/m)
})

test('nothing was seen', () => {
  assert.equal(formatProfile({ ...PROFILE, samples: 0 }, ACTIVITIES, undefined), '')
})
